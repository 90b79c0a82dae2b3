import { describe, expect, test } from 'vitest'
import type { Descriptor, Platform } from './descriptor.ts'
import { digestOf } from './digest.ts'
import { formatPlatform, hostPlatform, matchPlatform, normalizePlatform, parsePlatform, selectPlatform } from './platform.ts'

describe('parsePlatform', () => {
  test.each([
    ['linux/amd64', 'linux/amd64'],
    ['linux/x86_64', 'linux/amd64'],
    ['Linux/AMD64', 'linux/amd64'],
    ['linux/amd64/v1', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64/v3'],
    ['linux/i386', 'linux/386'],
    ['linux/aarch64', 'linux/arm64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/arm64/8', 'linux/arm64'],
    ['linux/arm64/v9', 'linux/arm64/v9'],
    ['linux/arm', 'linux/arm/v7'],
    ['linux/arm/7', 'linux/arm/v7'],
    ['linux/armhf', 'linux/arm/v7'],
    ['linux/armel', 'linux/arm/v6'],
    ['linux/arm/v6', 'linux/arm/v6'],
    ['macos/arm64', 'darwin/arm64'],
    ['windows(10.0.17763)/amd64', 'windows(10.0.17763)/amd64'],
    ['linux', 'linux/amd64'],
    ['windows', 'windows/amd64'],
    ['arm64', 'linux/arm64'],
    ['x86_64', 'linux/amd64'],
    ['riscv64', 'linux/riscv64'],
    ['linux/something-new', 'linux/something-new'],
  ])('%s is %s', (text, normalized) => {
    expect(formatPlatform(parsePlatform(text))).toBe(normalized)
  })

  test.each(['', '/', 'linux/', '/amd64', 'a/b/c/d', 'linux amd64', 'nonsense', 'linux/am(d64'])('%j is refused', (text) => {
    expect(() => parsePlatform(text)).toThrow(expect.objectContaining({ code: 'usage' }) as Error)
  })

  test('the host fills in what is missing', () => {
    const host: Platform = { os: 'linux', architecture: 'arm64' }
    expect(formatPlatform(parsePlatform('windows', host))).toBe('windows/arm64')
    expect(formatPlatform(parsePlatform('s390x', { os: 'freebsd', architecture: 'amd64' }))).toBe('freebsd/s390x')
  })
})

test.each([
  ['x64', 'linux/amd64'],
  ['arm64', 'linux/arm64'],
  ['arm', 'linux/arm/v7'],
  ['aarch64', 'linux/arm64'],
  ['armv6l', 'linux/arm/v6'],
  ['ppc64le', 'linux/ppc64le'],
  ['s390x', 'linux/s390x'],
  ['loongarch64', 'linux/loong64'],
])('the host %s is %s', (architecture, platform) => {
  expect(formatPlatform(hostPlatform(architecture))).toBe(platform)
})

test('fields that are empty are left out', () => {
  expect(normalizePlatform({ os: 'linux', architecture: 'amd64', variant: '', 'os.version': '', 'os.features': [] })).toEqual({
    os: 'linux',
    architecture: 'amd64',
  })
})

describe('matchPlatform', () => {
  test.each([
    ['linux/amd64', 'linux/amd64', true],
    ['linux/amd64', 'linux/amd64/v2', false],
    ['linux/amd64/v3', 'linux/amd64', true],
    ['linux/amd64/v3', 'linux/amd64/v2', true],
    ['linux/arm/v7', 'linux/arm/v6', true],
    ['linux/arm/v6', 'linux/arm/v7', false],
    ['linux/arm64', 'linux/arm/v7', false],
    ['linux/arm64/v9', 'linux/arm64', true],
    ['linux/amd64', 'windows/amd64', false],
    ['linux/ppc64le', 'linux/ppc64le/power9', false],
    ['windows(10.0.17763.100)/amd64', 'windows(10.0.17763.999)/amd64', true],
    ['windows(10.0.17763)/amd64', 'windows(10.0.20348)/amd64', false],
  ])('on %s, %s runs: %s', (wanted, have, runs) => {
    expect(matchPlatform(parsePlatform(wanted), parsePlatform(have))).toBe(runs)
  })
})

describe('selectPlatform', () => {
  const entry = (platform: Platform | undefined, name: string): Descriptor => ({
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: digestOf(name),
    size: 1,
    ...(platform !== undefined && { platform }),
  })
  const index = [
    entry({ os: 'unknown', architecture: 'unknown' }, 'attestation'),
    entry(undefined, 'without'),
    entry({ os: 'linux', architecture: 'arm', variant: 'v5' }, 'v5'),
    entry({ os: 'linux', architecture: 'arm', variant: 'v6' }, 'v6'),
    entry({ os: 'linux', architecture: 'amd64' }, 'amd64'),
    entry({ os: 'linux', architecture: 'amd64' }, 'second amd64'),
    entry({ os: 'linux', architecture: 'arm64', variant: 'v8' }, 'arm64'),
  ]

  test.each([
    ['linux/amd64', 'amd64'],
    ['linux/amd64/v4', 'amd64'],
    ['linux/arm64', 'arm64'],
    ['linux/arm/v7', 'v6'],
    ['linux/arm/v5', 'v5'],
  ])('for %s it is %s', (wanted, name) => {
    expect(selectPlatform(parsePlatform(wanted), index)?.digest).toBe(digestOf(name))
  })

  test.each([
    ['linux/amd64', 'v2'],
    ['linux/amd64/v1', 'v2'],
    ['linux/amd64/v3', 'v3'],
    ['linux/amd64/v4', 'v3'],
    ['linux/arm/v7', undefined],
    ['windows/amd64', undefined],
  ])('of those for later processors alone, for %s it is %s', (wanted, name) => {
    const of = (variant: string): Descriptor => entry({ os: 'linux', architecture: 'amd64', variant }, variant)
    const arm = entry({ os: 'linux', architecture: 'arm', variant: 'v8' }, 'arm')
    expect(selectPlatform(parsePlatform(wanted), [arm, of('v3'), of('v2'), of('odd')])?.digest).toBe(name && digestOf(name))
  })

  test.each(['linux/s390x', 'windows/amd64', 'unknown/unknown'])('for %s there is none', (wanted) => {
    expect(selectPlatform(parsePlatform(wanted), index)).toBeUndefined()
  })
})
