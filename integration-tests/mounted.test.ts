/** Layers that are mounted as they came: builds, and stores that are moved, shared and damaged. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, renameSync, truncateSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { busyboxTar, workshop, type RunOptions } from './stave.ts'

const shop = workshop('mounted')
const probed = JSON.parse(shop.must(['info'])) as { machine: { erofs: boolean; whyNoErofs?: string } }
const { erofs, whyNoErofs } = probed.machine
if (!erofs) console.error(`mounted layers: skipped, because ${whyNoErofs}`)

const dockerfile = `FROM base
WORKDIR /srv
COPY --chown=7:8 --chmod=u+x tree tree
ADD packed.tar /opt/
RUN echo changed >> tree/a && rm tree/sub/b && mkdir tree/new && cat tree/sub/deep/c
COPY tree/a again/
FROM base
COPY --from=0 /srv /srv
RUN find /srv -type f -exec stat -c "%n %a %u:%g %s" {} + | sort > /listing
`
const mounted = { env: { STAVE_STORAGE_DRIVER: 'erofs' } }
const build = (store: string, driver: string, env: Readonly<Record<string, string>> = {}) =>
  shop.must(['build', '-q', '--network', 'none', '-t', 'made', shop.path('context')], {
    store: shop.path(store),
    env: { STAVE_STORAGE_DRIVER: driver, ...env },
  })
const snapshots = (store: string) => {
  const directory = shop.path(store, 'snapshots')
  return readdirSync(directory).map((id) => ({ id, files: readdirSync(`${directory}/${id}`).sort() }))
}
const isIndex = ({ files }: { files: readonly string[] }) => files.join() === 'fs,tar'

beforeAll(() => {
  const put = (name: string, text: string) => writeFileSync(shop.path('context', name), text)
  mkdirSync(shop.path('context/tree/sub/deep'), { recursive: true })
  put('tree/a', 'a\n')
  put('tree/sub/b', 'b\n')
  put('tree/sub/deep/c', 'c\n')
  put('Dockerfile', dockerfile)
  spawnSync('tar', ['-C', shop.path('context'), '-cf', shop.path('context/packed.tar'), 'tree/sub'])
  for (const driver of ['dir', 'erofs']) shop.must(['import', busyboxTar(), 'base'], { store: shop.path(driver) })
})
afterAll(() => shop[Symbol.dispose]())

describe.skipIf(!erofs)('a build', () => {
  test('gives the same layers', () => {
    const [unpacked, indexed] = ['dir', 'erofs'].map((driver) => {
      build(driver, driver, { SOURCE_DATE_EPOCH: '1700000000' })
      return shop.must(['inspect', '--format', '{{json .RootFS.Layers}}', 'made'], { store: shop.path(driver) })
    })
    expect(indexed).toBe(unpacked)
    expect(snapshots('dir').filter(isIndex)).toEqual([])
  })

  test('makes no files of what it copies', () => {
    const store = shop.path('erofs')
    shop.must(['prune', '--all', '--force', '--keep-storage', '0'], { store })
    shop.must(['import', busyboxTar(), 'base'], { store })
    build('erofs', 'erofs')
    // The base, WORKDIR, ADD and two COPYs of the first stage, and COPY of the second; what RUN left is the directory it is.
    const [indexes, others] = [snapshots('erofs').filter(isIndex), snapshots('erofs').filter((one) => !isIndex(one))]
    expect([indexes.length, others.length]).toEqual([6, 2])
    const run = ['run', '--rm', '--network', 'none', 'made', 'cat', '/srv/tree/a', '/listing']
    expect(shop.must(run, { ...mounted, store })).toContain('a\nchanged\n')
    expect(shop.damage(shop.path('erofs'))).toEqual([])
  })

  test('is all removed again', () => {
    const store = shop.path('erofs')
    shop.must(['rmi', 'made', 'base'], { store })
    shop.must(['prune', '--all', '--force', '--keep-storage', '0'], { store })
    expect(snapshots('erofs')).toEqual([])
  })
})

describe.skipIf(!erofs)('a store', () => {
  const cat = (store: string, options: RunOptions = mounted) =>
    shop.stave(['run', '--rm', '--network', 'none', 'made', 'cat', '/srv/tree/a'], { ...options, store: shop.path(store) })
  let name = ''
  beforeEach(({ task }) => {
    name = `store-${task.id}`
    shop.must(['import', busyboxTar(), 'base'], { store: shop.path(name) })
    build(name, 'erofs')
  })

  test.each([
    ['cp -a', ['-a']],
    ['cp that makes holes and keeps no times', ['-r', '--sparse=always']],
  ])('that was moved with %s is used as it is', (_, flags) => {
    const copy = `${name}-copy`
    expect(spawnSync('cp', [...flags, shop.path(name), shop.path(copy)]).status).toBe(0)
    renameSync(shop.path(name), shop.path(`${name}-gone`))
    const before = snapshots(copy)
    expect(cat(copy)).toMatchObject({ status: 0, stdout: 'a\nchanged\n' })
    expect(snapshots(copy)).toEqual(before)
    expect(shop.damage(shop.path(copy))).toEqual([])
  })

  test('is used where layers are unpacked, which makes trees', () => {
    expect(cat(name, {})).toMatchObject({ status: 0, stdout: 'a\nchanged\n' })
    expect(cat(name)).toMatchObject({ status: 0, stdout: 'a\nchanged\n' })
  })

  test('with a cut tar says what to do, and that helps', () => {
    const tars = snapshots(name)
      .filter(isIndex)
      .map(({ id }) => shop.path(name, 'snapshots', id, 'tar'))
    for (const tar of tars) truncateSync(tar, 1024)
    const { status, stderr } = cat(name)
    expect([status, stderr]).toEqual([
      125,
      expect.stringMatching(
        /cannot mount a layer[^]*the tar of a layer has another length than was written[^]*stave doctor --verify --repair/,
      ),
    ])
    shop.stave(['doctor', '--verify', '--repair'], { store: shop.path(name) })
    expect(cat(name)).toMatchObject({ status: 0, stdout: 'a\nchanged\n' })
  })

  test('in which several processes make one layer at once has it once', async () => {
    const fresh = `${name}-fresh`
    shop.must(['save', '-o', `${name}.tar`, 'made'], { store: shop.path(name) })
    shop.must(['load', '-i', `${name}.tar`], { store: shop.path(fresh) })
    const started = Array.from({ length: 4 }, () =>
      shop.start(['run', '--rm', '--network', 'none', 'made', 'true'], { ...mounted, store: shop.path(fresh) }),
    )
    const ended = await Promise.all(started.map((child) => new Promise<number | null>((resolve) => child.once('exit', resolve))))
    expect(ended).toEqual([0, 0, 0, 0])
    expect(snapshots(fresh)).toHaveLength(3)
    expect(shop.damage(shop.path(fresh))).toEqual([])
  })
})
