import { describe, expect, test } from 'vitest'
import { buildCredentials } from './credentials.ts'

const common = { context: '.', cwd: '/' }

describe('--creds of a build', () => {
  test('is for what is pushed to, and not for base images elsewhere', () => {
    const credentials = buildCredentials({ ...common, tags: ['a.example/x'], outputs: [{ type: 'image', push: true }] })
    credentials.expect(['b.example/y', 'debian'], false)
    expect(['a.example', 'b.example', 'docker.io'].map((registry) => credentials.isFor(registry))).toEqual([true, false, false])
  })

  test('is for registries of caches', () => {
    const credentials = buildCredentials({ ...common, cacheFrom: [{ type: 'registry', ref: 'c.example/cache' }] })
    expect(credentials.isFor('c.example')).toBe(true)
  })

  test('is for the one registry of a local Dockerfile', () => {
    const credentials = buildCredentials({ ...common, tags: ['x'], outputs: [{ type: 'image' }] })
    credentials.expect(['b.example/y', 'b.example/z:1', 'oci:dir'], true)
    expect(['b.example', 'docker.io'].map((registry) => credentials.isFor(registry))).toEqual([true, false])
    // ONBUILD of its base names another one.
    expect(() => credentials.expect(['b.example/y', 'evil.example/z'], true)).toThrow(expect.objectContaining({ code: 'usage' }))
  })

  test.each([
    ['two registries', ['a.example/x', 'b.example/y'], true],
    ['a Dockerfile from elsewhere', ['a.example/x'], false],
  ])('is refused for %s', (_name, references, isLocal) => {
    expect(() => buildCredentials(common).expect(references, isLocal)).toThrow(expect.objectContaining({ code: 'usage' }))
  })
})
