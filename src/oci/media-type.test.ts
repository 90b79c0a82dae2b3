import { describe, expect, test } from 'vitest'
import {
  compressionOf,
  formatOf,
  isForeignLayer,
  isIndex,
  isLayer,
  isManifest,
  isSchema1,
  layerMediaType,
  mediaTypeIn,
  mediaTypes,
  normalizeMediaType,
} from './media-type.ts'

describe('layers', () => {
  test.each([
    [mediaTypes.ociLayer, 'none', false],
    [mediaTypes.ociLayerGzip, 'gzip', false],
    [mediaTypes.ociLayerZstd, 'zstd', false],
    [mediaTypes.ociForeignLayerGzip, 'gzip', true],
    [mediaTypes.dockerLayer, 'none', false],
    [mediaTypes.dockerLayerGzip, 'gzip', false],
    [mediaTypes.dockerLayerZstd, 'zstd', false],
    [mediaTypes.dockerForeignLayerGzip, 'gzip', true],
  ] as const)('%s', (mediaType, compression, foreign) => {
    expect(isLayer(mediaType)).toBe(true)
    expect(compressionOf(mediaType)).toBe(compression)
    expect(isForeignLayer(mediaType)).toBe(foreign)
  })

  test('what is no layer', () => {
    for (const mediaType of [mediaTypes.ociConfig, 'application/vnd.in-toto+json', '', 'application/gzip'])
      expect(isLayer(mediaType)).toBe(false)
  })

  test.each([
    ['none', 'oci', mediaTypes.ociLayer],
    ['gzip', 'oci', mediaTypes.ociLayerGzip],
    ['zstd', 'oci', mediaTypes.ociLayerZstd],
    ['none', 'docker', mediaTypes.dockerLayer],
    ['gzip', 'docker', mediaTypes.dockerLayerGzip],
    ['zstd', 'docker', undefined],
  ] as const)('%s in %s', (compression, format, mediaType) => {
    expect(layerMediaType(compression, format)).toBe(mediaType)
  })
})

test('kinds of manifests', () => {
  expect([mediaTypes.ociIndex, mediaTypes.dockerIndex].every(isIndex)).toBe(true)
  expect([mediaTypes.ociManifest, mediaTypes.dockerManifest].every(isManifest)).toBe(true)
  expect([mediaTypes.dockerSchema1, mediaTypes.dockerSchema1Signed].every(isSchema1)).toBe(true)
  expect(isIndex(mediaTypes.ociManifest) || isManifest(mediaTypes.ociIndex)).toBe(false)
})

test.each([
  ['docker', mediaTypes.ociManifest, mediaTypes.dockerManifest],
  ['docker', mediaTypes.ociIndex, mediaTypes.dockerIndex],
  ['docker', mediaTypes.ociConfig, mediaTypes.dockerConfig],
  ['docker', mediaTypes.ociLayerZstd, undefined],
  ['docker', 'application/vnd.in-toto+json', undefined],
  ['docker', mediaTypes.dockerLayerGzip, mediaTypes.dockerLayerGzip],
  ['oci', mediaTypes.dockerLayerZstd, mediaTypes.ociLayerZstd],
  ['oci', mediaTypes.dockerForeignLayer, mediaTypes.ociForeignLayer],
  ['oci', 'application/vnd.in-toto+json', 'application/vnd.in-toto+json'],
] as const)('in %s, %s is %s', (format, mediaType, other) => {
  expect(mediaTypeIn(format, mediaType)).toBe(other)
})

test('a media type is compared without parameters', () => {
  expect(normalizeMediaType(' Application/VND.oci.image.index.v1+json; charset=utf-8')).toBe(mediaTypes.ociIndex)
  expect(formatOf(mediaTypes.dockerConfig)).toBe('docker')
})
