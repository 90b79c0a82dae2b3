import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { background } from '#context.ts'
import { StaveError } from '#error.ts'
import { parsePlatform } from '#oci/platform.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { isManifestOrIndex } from '#oci/media-type.ts'
import type { Source, Target } from './content.ts'
import { copy } from './copy.ts'
import { makeIndex } from './edit.ts'
import { openImage } from './image.ts'
import { memory, type Memory } from './memory.ts'
import { overlay, union } from './overlay.ts'
import { putReferrer, recording, sampleImage, sampleIndex } from './testing.ts'
import { validate } from './validate.ts'
import { leavesFirst, walk } from './walk.ts'

const cx = background

/** A target that notes what is written, in order. */
function noting(place: Memory = memory('target')): { to: Target; place: Memory; order: string[]; mentioned: () => boolean } {
  const order: string[] = []
  const to: Target = {
    ...place,
    async write(inner, what, bytes) {
      await place.write(inner, what, bytes)
      order.push(what.digest)
    },
    async name(inner, root, name) {
      await place.name(inner, root, name)
      order.push(`name ${name}`)
    },
  }
  return { to, place, order, mentioned: () => true }
}

describe('copy', () => {
  test('an image: manifest after its blobs, name last, same bytes', async () => {
    const image = await sampleImage(cx)
    const { to, place, order } = noting()
    expect(await copy(cx, image.source, image.descriptor, to, { name: 'a:b' })).toMatchObject({ digest: image.descriptor.digest })
    expect(order.at(-1)).toBe('name a:b')
    expect(order.at(-2)).toBe(image.descriptor.digest)
    expect(order).toHaveLength(6)
    expect(place.blobs.get(image.descriptor.digest)).toEqual(Buffer.from(image.raw))
    expect(await validate(cx, await openImage(cx, place, await place.resolve(cx, 'a:b')))).toEqual([])
  })

  test('an index: all of it, each blob once, children before parents', async () => {
    const index = await sampleIndex(cx)
    const { to, order } = noting()
    await copy(cx, index.source, index.descriptor, to)
    expect(new Set(order).size).toBe(order.length)
    expect(order.at(-1)).toBe(index.descriptor.digest)
    const nodes = leavesFirst(await walk(cx, index.source, index.descriptor))
    for (const node of nodes) {
      for (const before of [...node.blobs, ...node.children.map((child) => child.descriptor)]) {
        expect(order.indexOf(before.digest)).toBeGreaterThanOrEqual(0)
        expect(order.indexOf(before.digest)).toBeLessThan(order.indexOf(node.descriptor.digest))
      }
    }
  })

  test('what is there is not moved again', async () => {
    const image = await sampleImage(cx)
    const { to, order } = noting()
    await copy(cx, image.source, image.descriptor, to)
    order.length = 0
    const other = recording()
    await copy(other, image.source, image.descriptor, to)
    expect(order).toEqual([])
    expect(new Set(other.events.map((event) => event.type === 'step' && event.state))).toEqual(new Set(['started', 'cached']))
  })

  test('some platforms of an index, with their attestations; the index stays as it is', async () => {
    const index = await sampleIndex(cx)
    const { to, place } = noting()
    const copied = await copy(cx, index.source, index.descriptor, to, { platforms: [parsePlatform('linux/amd64')] })
    expect(copied.digest).toBe(index.descriptor.digest)
    const there = index.index.manifests.map((entry) => place.blobs.has(entry.digest))
    expect(there).toEqual([true, false, true])
    // What was left out can follow.
    await copy(cx, index.source, index.descriptor, to)
    expect(index.index.manifests.every((entry) => place.blobs.has(entry.digest))).toBe(true)
    await expect(copy(cx, index.source, index.descriptor, to, { platforms: [parsePlatform('linux/s390x')] })).rejects.toMatchObject({
      code: 'platform-mismatch',
    })
  })

  test('foreign layers stay where they are', async () => {
    const place = memory()
    const config = place.put(
      Buffer.from('{"os":"windows","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}'),
      'application/vnd.docker.container.image.v1+json',
    )
    const foreign = {
      mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
      digest: `sha256:${'1'.repeat(64)}`,
      size: 10,
      urls: ['https://example.com/x'],
    }
    const mediaType = 'application/vnd.docker.distribution.manifest.v2+json'
    const root = place.put(Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [foreign] })), mediaType)
    const { to, order } = noting()
    await copy(cx, place, root, to)
    expect(order).toEqual([config.digest, root.digest])
  })

  test('referrers, and what refers to them', async () => {
    const place = memory()
    const image = await sampleImage(cx)
    await copy(cx, image.source, image.descriptor, place)
    const signature = putReferrer(place, image.descriptor, 'application/x-signature')
    const countersignature = putReferrer(place, signature, 'application/x-countersignature')
    const { to, order, place: target } = noting()
    await copy(cx, place, image.descriptor, to, { referrers: true, name: 'x' })
    const position = (what: Descriptor): number => order.indexOf(what.digest)
    expect(position(image.descriptor)).toBeLessThan(position(signature))
    expect(position(signature)).toBeLessThan(position(countersignature))
    expect(order.at(-1)).toBe('name x')
    expect((await target.referrers!(cx, image.descriptor.digest)).map((entry) => entry.artifactType)).toEqual(['application/x-signature'])
  })

  test('never more at a time than allowed', async () => {
    const index = await sampleIndex(cx)
    const place = memory()
    let running = 0
    let most = 0
    const to: Target = {
      ...place,
      async write(inner, what, bytes) {
        most = Math.max(most, ++running)
        await sleep(2)
        await place.write(inner, what, bytes)
        running--
      },
    }
    await copy(cx, index.source, index.descriptor, to, { concurrency: 2 })
    expect(most).toBe(2)
  })

  test('what the target can take over is not read', async () => {
    const image = await sampleImage(cx)
    const place = memory()
    const to: Target = {
      ...place,
      async adopt(_cx, what, from) {
        const bytes = (from as Memory).blobs.get(what.digest)
        if (bytes === undefined) return false
        place.put(bytes, what.mediaType)
        return true
      },
      async write(inner, what, bytes) {
        // Layers and config are taken from where they really are, below the overlay that `edit` makes.
        expect(isManifestOrIndex(what.mediaType)).toBe(true)
        await place.write(inner, what, bytes)
      },
    }
    await copy(cx, image.source, image.descriptor, to)
    expect(await validate(cx, await openImage(cx, place, image.descriptor))).toEqual([])
  })

  test('a failure cancels the others, waits for them, and names nothing', async () => {
    const image = await sampleImage(cx)
    const [bad, ...others] = image.manifest.layers
    const place = memory()
    const running = new Set<string>()
    const started = new Set<string>()
    const from: Source = {
      ...image.source,
      origin: undefined as never,
      async open(inner, what) {
        if (isManifestOrIndex(what.mediaType)) return image.source.open(inner, what)
        return (async function* () {
          running.add(what.digest)
          started.add(what.digest)
          try {
            if (what.digest === bad!.digest) {
              await sleep(20)
              throw new StaveError('network', 'cut')
            }
            await sleep(60_000, undefined, { signal: inner.signal })
            yield Buffer.alloc(0)
          } finally {
            running.delete(what.digest)
          }
        })()
      },
    }
    const report = recording()
    await expect(copy(report, from, image.descriptor, place, { name: 'x', concurrency: 3 })).rejects.toMatchObject({ code: 'network' })
    expect(running).toEqual(new Set())
    expect(started.size).toBe(3)
    expect(place.names.size).toBe(0)
    expect([...place.blobs.keys()].filter((digest) => others.some((layer) => layer.digest === digest))).toEqual([])
    const states = report.events.flatMap((event) => (event.type === 'step' && event.state !== 'started' ? [event.state] : []))
    expect(states.toSorted()).toEqual(['cancelled', 'cancelled', 'failed'])
  })

  test('cancelled from outside', async () => {
    const image = await sampleImage(cx)
    const abort = new AbortController()
    abort.abort(new StaveError('cancelled', 'no more'))
    await expect(copy(recording(abort.signal), image.source, image.descriptor, memory())).rejects.toMatchObject({ code: 'cancelled' })
  })

  test('a source that lies', async () => {
    const image = await sampleImage(cx)
    const from: Source = {
      ...image.source,
      origin: undefined as never,
      async open(inner, what) {
        if (isManifestOrIndex(what.mediaType)) return image.source.open(inner, what)
        return (async function* () {
          yield Buffer.alloc(what.size, 1)
        })()
      },
    }
    const place = memory()
    await expect(copy(cx, from, image.descriptor, place, { name: 'x' })).rejects.toMatchObject({ code: 'digest-mismatch' })
    expect(place.blobs.size).toBe(0)
  })
})

describe('walk', () => {
  test('too many manifests', async () => {
    const index = await sampleIndex(cx)
    await expect(walk(cx, index.source, index.descriptor, { maxManifests: 2 })).rejects.toMatchObject({ code: 'too-large' })
  })

  test('a manifest in two places is one node', async () => {
    const image = await sampleImage(cx)
    const index = makeIndex([image, { ...image, platform: { os: 'linux', architecture: '386' } }])
    const nodes = leavesFirst(await walk(cx, index.source, index.descriptor))
    expect(nodes).toHaveLength(2)
  })
})

describe('places over places', () => {
  test('a union asks one after the other', async () => {
    const [a, b] = [memory('a'), memory('b')]
    const what = b.put(Buffer.from('x'), 'text/plain')
    const both = union([a, b, a])!
    expect(Buffer.concat(await Array.fromAsync(await both.open(cx, what)))).toEqual(Buffer.from('x'))
    await expect(both.open(cx, { ...what, digest: `sha256:${'0'.repeat(64)}` as never })).rejects.toMatchObject({ code: 'blob-unknown' })
  })

  test('an overlay of nothing says so', async () => {
    const what = memory().put(Buffer.from('x'), 'text/plain')
    await expect(overlay('new', new Map(), undefined).open(cx, what)).rejects.toMatchObject({ code: 'blob-unknown' })
  })
})
