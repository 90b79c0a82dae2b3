import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { parseReference } from '#oci/reference.ts'
import { bytesOf, configOf, layerOf, manifestOf, pushImage, startRig, type Rig } from '#registry/testing.ts'
import { applyPlan, type MirrorOptions } from './apply.ts'
import { findInRegistries } from './find.ts'
import { planMirror, type Pair } from './plan.ts'
import { openState } from './state.ts'
import { parseRepository } from './wanted.ts'

const rigs: Rig[] = []
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig[Symbol.asyncDispose]()
})

async function rig(options: Parameters<typeof startRig>[0] = {}): Promise<Rig> {
  const made = await startRig(options)
  rigs.push(made)
  return made
}

async function pairsOf(from: Rig, to: Rig, repositories: readonly string[]): Promise<readonly Pair[]> {
  const wanted = repositories.map((name) => ({
    repository: parseRepository(`${from.server.host}/${name}`),
    choice: { kind: 'all' } as const,
  }))
  const client = from.client()
  const { found } = await findInRegistries(from.cx, wanted, async () => client)
  return planMirror(found, { transport: 'docker', target: `${to.server.host}/mirror` })
}

function ends(from: Rig, to: Rig): Pick<MirrorOptions, 'sources' | 'targets'> {
  const [source, target] = [from.client(), to.client()]
  return { sources: async () => source, targets: async () => target }
}

test('what is there already costs one request at each end', async () => {
  const [from, to] = [await rig(), await rig()]
  const source = from.open('web')
  const tags = ['1', '2', '3', '4', '5', '6', '7', '8']
  const images = new Map<string, string>()
  for (const tag of tags) images.set(tag, (await pushImage(from.cx, source, tag)).manifest.what.digest)
  const pairs = await pairsOf(from, to, ['web'])
  const first = await applyPlan(to.cx, pairs, ends(from, to))
  expect(first.map(({ state }) => state)).toEqual(tags.map(() => 'copied'))
  for (const tag of tags) expect((await to.open('mirror/web').resolve(to.cx, tag)).digest).toBe(images.get(tag))
  from.log()
  to.log()
  const second = await applyPlan(to.cx, pairs, ends(from, to))
  expect(second.map(({ state, root }) => [state, root?.digest])).toEqual(tags.map((tag) => ['present', images.get(tag)]))
  expect(from.log().sort()).toEqual(tags.map((tag) => `HEAD /v2/web/manifests/${tag} 200`))
  expect(to.log().sort()).toEqual(tags.map((tag) => `HEAD /v2/mirror/web/manifests/${tag} 200`))
})

test('a tag that moved is copied again, the others are not', async () => {
  const [from, to] = [await rig(), await rig()]
  for (const tag of ['1', '2']) await pushImage(from.cx, from.open('web'), tag)
  const pairs = await pairsOf(from, to, ['web'])
  await applyPlan(to.cx, pairs, ends(from, to))
  const { manifest } = await pushImage(from.cx, from.open('web'), '2', layerOf(2000))
  const outcomes = await applyPlan(to.cx, pairs, ends(from, to))
  expect(outcomes.map(({ state }) => state)).toEqual(['present', 'copied'])
  expect((await to.open('mirror/web').resolve(to.cx, '2')).digest).toBe(manifest.what.digest)
})

test('a layer that images share is uploaded once, and mounted into other repositories', async () => {
  const [from, to] = [await rig(), await rig()]
  const layer = layerOf(300_000)
  for (const tag of ['1', '2', '3', '4', '5', '6']) await pushImage(from.cx, from.open('a'), tag, layer)
  await pushImage(from.cx, from.open('b'), '1', layer)
  const downloads = () => from.requests.filter(({ method, path }) => method === 'GET' && path.endsWith(layer.what.digest)).length
  const outcomes = await applyPlan(to.cx, await pairsOf(from, to, ['a']), ends(from, to))
  expect(outcomes.map(({ state }) => state)).toEqual(Array.from({ length: 6 }, () => 'copied'))
  expect(downloads()).toBe(1)
  const elsewhere = await rig()
  await applyPlan(elsewhere.cx, await pairsOf(from, elsewhere, ['a', 'b']), ends(from, elsewhere))
  expect(downloads()).toBe(2)
  const mounts = elsewhere.requests.filter(({ method, path, status }) => method === 'POST' && path.includes('mount=') && status === 201)
  expect(mounts.map(({ path }) => path.split('/blobs/')[0])).toContain('/v2/mirror/b')
})

/** Six images of which one cannot be read: a layer that its manifest mentions is not there. */
async function withOneBroken(): Promise<{ from: Rig; to: Rig; pairs: readonly Pair[] }> {
  const [from, to] = [await rig(), await rig()]
  const source = from.open('web')
  for (const tag of ['a', 'b', 'd', 'e', 'f']) await pushImage(from.cx, source, tag)
  const { config, layer, manifest } = await pushImage(from.cx, source, 'c')
  await source.deleteBlob(from.cx, layer.what.digest)
  expect(manifestOf(config, [layer]).what.digest).toBe(manifest.what.digest)
  return { from, to, pairs: await pairsOf(from, to, ['web']) }
}

test('with keepGoing, a failure is that of one image', async () => {
  const { from, to, pairs } = await withOneBroken()
  const outcomes = await applyPlan(to.cx, pairs, { ...ends(from, to), keepGoing: true })
  expect(outcomes.map(({ state }) => state)).toEqual(['copied', 'copied', 'failed', 'copied', 'copied', 'copied'])
  expect(outcomes[2]!.error).toMatchObject({
    code: 'blob-unknown',
    message: `cannot sync docker://${from.server.host}/web:c to docker://${to.server.host}/mirror/web:c`,
  })
  expect(await to.open('mirror/web').listTags(to.cx)).toEqual(['a', 'b', 'd', 'e', 'f'])
})

test('without, nothing is started after it', async () => {
  const { from, to, pairs } = await withOneBroken()
  const outcomes = await applyPlan(to.cx, pairs, { ...ends(from, to), concurrency: 1 })
  expect(outcomes.map(({ state }) => state)).toEqual(['copied', 'copied', 'failed', 'skipped', 'skipped', 'skipped'])
  expect(await to.open('mirror/web').listTags(to.cx)).toEqual(['a', 'b'])
})

test('cancelling ends it, and is no failure of an image', async () => {
  const { from, to, pairs } = await withOneBroken()
  const stop = new AbortController()
  const report = (): void => stop.abort(new Error('enough'))
  await expect(applyPlan({ signal: stop.signal, report }, pairs, { ...ends(from, to), keepGoing: true })).rejects.toThrow('enough')
})

test('an account of a list has its own client', async () => {
  const [from, to] = [await rig({ auth: { kind: 'basic', users: { john: 'secret' } } }), await rig()]
  const { givenCredentials } = await import('#registry/login/credentials.ts')
  const john = from.client({ credentials: givenCredentials('john', 'secret') })
  const config = configOf()
  const layer = layerOf(10)
  const manifest = manifestOf(config, [layer])
  const source = john.open(parseReference(`${from.server.host}/web`))
  for (const { what, raw } of [layer, config, manifest]) await source.write(from.cx, what, bytesOf(raw))
  await source.name(from.cx, manifest.what, '1')
  const wanted = [{ repository: parseRepository(`${from.server.host}/web`), choice: { kind: 'all' }, account: 'listed' } as const]
  const anonymous = from.client()
  const sources = async (account: string | undefined) => (account === 'listed' ? john : anonymous)
  const { found } = await findInRegistries(from.cx, wanted, sources)
  const pairs = planMirror(found, { transport: 'docker', target: to.server.host })
  const target = to.client()
  const outcomes = await applyPlan(to.cx, pairs, { sources, targets: async () => target })
  expect(outcomes.map(({ state }) => state)).toEqual(['copied'])
})

test('tags that cannot be had are a failure, and with keepGoing only of that repository', async () => {
  const [from, to] = [await rig(), await rig()]
  await pushImage(from.cx, from.open('web'), '1')
  const wanted = ['none', 'web'].map((name) => ({
    repository: parseRepository(`${from.server.host}/${name}`),
    choice: { kind: 'all' } as const,
  }))
  const client = from.client()
  await expect(findInRegistries(to.cx, wanted, async () => client)).rejects.toMatchObject({ code: 'not-found' })
  const { found, failures, empty } = await findInRegistries(to.cx, wanted, async () => client, { keepGoing: true })
  expect(found.map(({ scope }) => scope)).toEqual([`${from.server.host}/web:1`])
  expect(failures).toMatchObject([{ repository: `${from.server.host}/none`, error: { code: 'not-found' } }])
  expect(empty).toEqual([])
})

test('with a state, what has not changed costs one request at the source, and none at the target', async () => {
  const [from, to] = [await rig(), await rig()]
  const tags = ['1', '2', '3']
  for (const tag of tags) await pushImage(from.cx, from.open('web'), tag)
  const directory = await mkdtemp(join(tmpdir(), 'stave-mirror-'))
  try {
    const run = async () => {
      const state = await openState(join(directory, 'state'))
      const outcomes = await applyPlan(to.cx, await pairsOf(from, to, ['web']), { ...ends(from, to), state })
      await state.close()
      return outcomes.map((outcome) => outcome.state)
    }
    expect(await run()).toEqual(['copied', 'copied', 'copied'])
    from.log()
    to.log()
    expect(await run()).toEqual(['present', 'present', 'present'])
    expect(from.log()).toHaveLength(tags.length + 1)
    expect(to.log()).toEqual([])
    const { manifest } = await pushImage(from.cx, from.open('web'), '2', layerOf(2000))
    expect(await run()).toEqual(['present', 'copied', 'present'])
    expect((await to.open('mirror/web').resolve(to.cx, '2')).digest).toBe(manifest.what.digest)
  } finally {
    await rm(directory, { recursive: true })
  }
})
