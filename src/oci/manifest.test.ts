import { anything, assert, constant, json, oneof, property, record, uint8Array } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { decodeConfig } from './config.ts'
import { decodeDescriptor } from './descriptor.ts'
import { digestOf } from './digest.ts'
import { decodeIndex, decodeManifest, decodeManifestOrIndex, sniffMediaType } from './manifest.ts'
import { mediaTypes } from './media-type.ts'

const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value))
const descriptor = (mediaType: string, extra = {}): object => ({ mediaType, digest: digestOf('x'), size: 1, ...extra })
const manifest = { schemaVersion: 2, config: descriptor(mediaTypes.ociConfig), layers: [descriptor(mediaTypes.ociLayerGzip)] }
const index = {
  schemaVersion: 2,
  manifests: [descriptor(mediaTypes.ociManifest, { platform: { os: 'linux', architecture: 'arm', variant: 'v7' } })],
}

describe('manifests', () => {
  test('one of OCI', () => {
    const decoded = decodeManifest(bytes({ ...manifest, mediaType: mediaTypes.ociManifest, annotations: { a: 'b' }, unknown: [1] }), {
      mediaType: mediaTypes.ociManifest,
    })
    expect(decoded.layers).toHaveLength(1)
    expect(decoded.annotations).toEqual(Object.assign(Object.create(null), { a: 'b' }))
    expect(decoded).not.toHaveProperty('unknown')
  })

  test('one of Docker, as Go writes empty lists', () => {
    expect(decodeManifest(bytes({ ...manifest, mediaType: mediaTypes.dockerManifest, layers: null, annotations: null })).layers).toEqual([])
  })

  test.each([
    ['no JSON', Buffer.from('{'), /not JSON/],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]), /not JSON/],
    ['an array', bytes([]), /the document must be an object, not an array/],
    [
      'no version',
      bytes({ ...manifest, schemaVersion: undefined }),
      /schemaVersion must be 2, not absent \(image-spec, "Image Manifest"\)/,
    ],
    ['version 3', bytes({ ...manifest, schemaVersion: 3 }), /schemaVersion must be 2, not 3/],
    ['no layers', bytes({ ...manifest, layers: undefined }), /layers must be an array, not absent/],
    [
      'a negative size',
      bytes({ ...manifest, config: descriptor('a', { size: -1 }) }),
      /config\.size must be an integer from 0 on, not -1 \(image-spec, "Content Descriptors"\)/,
    ],
    ['half a byte', bytes({ ...manifest, layers: [descriptor('a'), descriptor('a', { size: 0.5 })] }), /layers\[1\]\.size/],
    ['an impossible size', bytes({ ...manifest, config: descriptor('a', { size: 2 ** 60 }) }), /config\.size/],
    [
      'a short digest',
      bytes({ ...manifest, config: descriptor('a', { digest: 'sha256:abc' }) }),
      /config\.digest must be a digest, not "sha256:abc"/,
    ],
    ['a path for a digest', bytes({ ...manifest, config: descriptor('a', { digest: '../../etc/passwd' }) }), /config\.digest/],
    ['no media type', bytes({ ...manifest, config: descriptor('') }), /config\.mediaType/],
    ['annotations that are no text', bytes({ ...manifest, annotations: { a: 1 } }), /annotations\.a must be a string, not 1/],
    ['CVE-2021-41190: both kinds', bytes({ ...manifest, manifests: [] }), /CVE-2021-41190/],
    ['CVE-2021-41190: another media type', bytes({ ...manifest, mediaType: mediaTypes.ociIndex }), /CVE-2021-41190/],
  ])('%s is refused', (_name, input, message) => {
    expect(() => decodeManifest(input, { mediaType: mediaTypes.ociManifest })).toThrow(
      expect.objectContaining({ code: 'invalid-document', message: expect.stringMatching(message) as string }) as Error,
    )
  })

  test.each([
    [{ schemaVersion: 1, name: 'a', fsLayers: [] }, {}],
    [{ ...manifest }, { mediaType: mediaTypes.dockerSchema1Signed }],
  ])('schema 1 has its own error', (input, options) => {
    expect(() => decodeManifest(bytes(input), options)).toThrow(
      expect.objectContaining({ code: 'unsupported', message: expect.stringContaining('schema 1') as string }) as Error,
    )
    expect(() => decodeManifestOrIndex(bytes(input), options)).toThrow(expect.objectContaining({ code: 'unsupported' }) as Error)
  })

  test('bounds', () => {
    expect(() => decodeManifest(Buffer.alloc(limit.manifestBytes + 1, ' '))).toThrow(
      expect.objectContaining({ code: 'too-large' }) as Error,
    )
    const layers = Array.from({ length: limit.descriptors + 1 }, () => descriptor('a'))
    expect(() => decodeManifest(bytes({ ...manifest, layers }))).toThrow(expect.objectContaining({ code: 'too-large' }) as Error)
  })
})

describe('indexes', () => {
  test('platforms', () => {
    expect(decodeIndex(bytes(index)).manifests[0]?.platform).toEqual({ os: 'linux', architecture: 'arm', variant: 'v7' })
  })

  test.each([
    ['with layers', { ...index, layers: [] }],
    ['with a config', { ...index, config: descriptor('a') }],
    ['a manifest', { ...manifest, mediaType: mediaTypes.ociManifest }],
  ])('%s is refused', (_name, input) => {
    expect(() => decodeIndex(bytes(input))).toThrow(expect.objectContaining({ code: 'invalid-document' }) as Error)
  })

  test('what a document without a media type is', () => {
    expect(sniffMediaType(bytes(index))).toBe(mediaTypes.ociIndex)
    expect(sniffMediaType(bytes(manifest))).toBe(mediaTypes.ociManifest)
    expect(sniffMediaType(bytes({ ...manifest, mediaType: mediaTypes.dockerManifest }))).toBe(mediaTypes.dockerManifest)
    expect(decodeManifestOrIndex(bytes(index)).kind).toBe('index')
    expect(decodeManifestOrIndex(bytes(manifest), { mediaType: `${mediaTypes.ociManifest}; charset=utf-8` }).kind).toBe('manifest')
  })
})

describe('configs', () => {
  test('all of Docker’s fields', () => {
    const config = {
      os: 'linux',
      architecture: 'amd64',
      config: {
        User: 'a',
        Env: null,
        Cmd: ['/bin/sh'],
        Entrypoint: null,
        Labels: null,
        Volumes: { '/v': {} },
        ExposedPorts: { '80/tcp': null },
        Healthcheck: { Test: ['CMD', 'true'], Interval: 30_000_000_000 },
        OnBuild: ['RUN true'],
        Shell: ['/bin/bash', '-c'],
        StopTimeout: 3,
        Hostname: 'kept only in the bytes',
      },
      rootfs: { type: 'layers', diff_ids: [digestOf('x')] },
      history: [{ created_by: 'ADD', empty_layer: false }, { empty_layer: true }],
    }
    const decoded = decodeConfig(bytes(config))
    expect(decoded.config).toMatchObject({ User: 'a', Cmd: ['/bin/sh'], StopTimeout: 3, Healthcheck: { Interval: 30_000_000_000 } })
    expect(Object.keys(decoded.config!)).not.toContain('Env')
    expect(decoded.config!.ExposedPorts).toHaveProperty(['80/tcp'], {})
    expect(decoded.history).toHaveLength(2)
  })

  test('the oldest ones', () => {
    expect(decodeConfig(bytes({ rootfs: { type: 'layers', diff_ids: null }, config: null, history: null }))).toEqual({
      os: 'linux',
      architecture: 'amd64',
      rootfs: { type: 'layers', diff_ids: [] },
    })
  })

  test.each([
    [{ rootfs: { type: 'other', diff_ids: [] } }, /rootfs\.type/],
    [{}, /rootfs must be an object, not absent \(image-spec, "Image Configuration"\)/],
    [{ rootfs: { type: 'layers', diff_ids: ['x'] } }, /rootfs\.diff_ids\[0\]/],
    [{ rootfs: { type: 'layers' }, config: { Env: 'A=b' } }, /config\.Env must be an array, not "A=b"/],
    [{ rootfs: { type: 'layers' }, config: { Labels: { 'a.b': [] } } }, /config\.Labels\["a\.b"\]/],
  ])('%j is refused', (config, message) => {
    expect(() => decodeConfig(bytes(config))).toThrow(message)
  })

  test('a label may be called __proto__', () => {
    const decoded = decodeConfig(Buffer.from('{"rootfs":{"type":"layers"},"config":{"Labels":{"__proto__":"x"}}}'))
    expect(Object.entries(decoded.config!.Labels!)).toEqual([['__proto__', 'x']])
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  })
})

test('a descriptor', () => {
  expect(decodeDescriptor({ ...descriptor('a'), urls: ['https://a'], data: 'eA==', artifactType: 'b' })).toMatchObject({
    urls: ['https://a'],
    data: 'eA==',
  })
  expect(() => decodeDescriptor({})).toThrow('cannot read a descriptor: mediaType must be a string, not absent')
})

test('nothing but StaveErrors, whatever comes', () => {
  const decoders = [decodeManifest, decodeIndex, decodeManifestOrIndex, (input: Uint8Array) => decodeConfig(input)]
  const shaped = record(
    { schemaVersion: constant(2), config: anything(), layers: anything(), manifests: anything(), rootfs: anything() },
    { requiredKeys: [] },
  )
  assert(
    property(
      oneof(
        json().map((text) => Buffer.from(text)),
        uint8Array(),
        shaped.map((value) => Buffer.from(JSON.stringify(value) ?? '')),
      ),
      (input) => {
        for (const decode of decoders) {
          try {
            decode(input)
          } catch (error) {
            expect(error).toBeInstanceOf(StaveError)
          }
        }
      },
    ),
    { numRuns: 500 },
  )
})

test.each(['', ' a/b', 'a/b\r\nx: y', 'a/\u001b[2J', 'ä/b', `a/${'b'.repeat(254)}`])('%j is no media type', (mediaType) => {
  const what = { mediaType, digest: `sha256:${'0'.repeat(64)}`, size: 1 }
  const raw = Buffer.from(JSON.stringify({ schemaVersion: 2, config: what, layers: [] }))
  expect(() => decodeManifest(raw)).toThrow(expect.objectContaining({ code: 'invalid-document' }))
})
