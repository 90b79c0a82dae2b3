import { createReadStream, createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import type { Source } from '#image/content.ts'
import { copy } from '#image/copy.ts'
import { memory } from '#image/memory.ts'
import { sampleImage, tarOf } from '#image/testing.ts'
import type { RegistryClient } from '#registry/client/registry.ts'
import { createFiles, openFiles } from './files.ts'
import type { Location } from './location.ts'
import { openPlaces, resolveOrLeave, type Means } from './places.ts'

let cwd: string
beforeEach(() => (cwd = mkdtempSync(join(tmpdir(), 'stave-places-'))))
afterEach(() => rmSync(cwd, { recursive: true }))

const nobody = (what: string) => () => Promise.reject(new Error(`${what} was asked`))
const means = (some: Partial<Means> = {}): Means => ({ cwd, client: nobody('a registry'), store: nobody('the store'), ...some })

/** Writes a sample image there, and closes the place. */
async function put(place: string) {
  const { descriptor, source } = await sampleImage(cx)
  await using places = openPlaces(means())
  const { target, name } = await places.target(cx, place)
  await copy(cx, source, descriptor, target, { ...(name !== undefined && { name }) })
  await target.finish?.(cx)
  return descriptor
}

describe('a relative place on this machine, written and read', () => {
  test.each(['oci:a:1', 'dir:a', 'oci-archive:a.tar:1', 'docker-archive:a.tar:web:1'])('%s', async (place) => {
    const written = await put(place)
    await using places = openPlaces(means())
    const { source, name } = await places.source(cx, place)
    expect((await source.resolve(cx, name)).digest).toBe(written.digest)
  })

  test('tarball:, which is only read', async () => {
    writeFileSync(join(cwd, 'a.tar'), await tarOf({ a: 'a' }))
    await using places = openPlaces(means())
    const { source, name } = await places.source(cx, 'tarball:a.tar')
    expect((await source.resolve(cx, name)).mediaType).toMatch(/manifest/)
    await expect(places.target(cx, 'tarball:a.tar')).rejects.toMatchObject({ code: 'usage' })
  })
})

test('blobs that layouts share', async () => {
  await using places = openPlaces(means({ sharedBlobs: 'shared' }))
  const { descriptor, source } = await sampleImage(cx)
  const { target } = await places.target(cx, 'oci:a:1')
  await copy(cx, source, descriptor, target, { name: '1' })
  expect(readFileSync(join(cwd, 'shared/sha256', descriptor.digest.slice(7))).length).toBe(descriptor.size)
  expect((await (await places.source(cx, 'oci:a:1')).source.resolve(cx, '1')).digest).toBe(descriptor.digest)
})

test('an archive over a stream, both ways', async () => {
  const { descriptor, source } = await sampleImage(cx)
  const location = { transport: 'docker-archive', path: '-', name: undefined } as const
  const { target } = await createFiles({ ...location, stream: createWriteStream(join(cwd, 'a')) }, { cwd })
  await copy(cx, source, descriptor, target, { name: 'web:1' })
  await target.finish?.(cx)
  const opened = await openFiles(cx, { ...location, stream: createReadStream(join(cwd, 'a')) }, { cwd, temporary: () => cwd })
  await using archive = opened.source
  expect((await archive.list?.(cx))?.map(({ descriptor: { digest } }) => digest)).toEqual([descriptor.digest])
})

test('a docker-archive that is there is not replaced, an OCI archive is', async () => {
  await put('docker-archive:a.tar:web')
  await using places = openPlaces(means())
  await expect(places.target(cx, 'docker-archive:a.tar')).rejects.toMatchObject({ code: 'conflict' })
  await put('oci-archive:a.tar:1')
})

test('the store is what was given, and stays open', async () => {
  let isClosed = false
  const store = { ...memory(), [Symbol.asyncDispose]: async () => void (isClosed = true) }
  {
    await using places = openPlaces(means({ store: async () => store, guard: nobody('the policy') }))
    expect(await places.source(cx, 'web')).toEqual({ source: store, name: 'web' })
    expect(await places.target(cx, 'containers-storage:web')).toEqual({ target: store, name: 'docker.io/library/web:latest' })
  }
  expect(isClosed).toBe(false)
})

test('a client for all registries, opened once and closed at the end', async () => {
  const seen: string[] = []
  const client = {
    open({ repository }: { repository: string }) {
      seen.push(repository)
      return memory(repository)
    },
    [Symbol.asyncDispose]: async () => void seen.push('closed'),
  } as unknown as RegistryClient
  let opened = 0
  {
    await using places = openPlaces(means({ client: async () => (opened++, client) }))
    expect((await places.source(cx, `docker://localhost/a:1@sha256:${'0'.repeat(64)}`)).name).toBe(`sha256:${'0'.repeat(64)}`)
    expect((await places.source(cx, 'docker://localhost/b')).name).toBe('latest')
    expect((await places.target(cx, 'docker://localhost/c:2')).name).toBe('2')
  }
  expect({ opened, seen }).toEqual({ opened: 1, seen: ['a', 'b', 'c', 'closed'] })
})

test('what is outside the store passes the guard, and what is written does not', async () => {
  await put('oci:a:1')
  const seen: string[] = []
  const guard = <S extends Source>(source: S, { transport }: Location): S => {
    seen.push(transport)
    return { ...source, title: 'guarded' }
  }
  await using places = openPlaces(means({ guard: async () => guard }))
  expect((await places.source(cx, 'oci:a:1')).source.title).toBe('guarded')
  expect((await places.target(cx, 'oci:a:1')).target.title).not.toBe('guarded')
  expect(seen).toEqual(['oci'])
})

test('an image that is missing has the exit status that scripts ask for', async () => {
  await expect(resolveOrLeave(cx, memory(), 'web')).rejects.toMatchObject({ code: 'not-found', exitCode: 2 })
})
