/** What another user of the machine can reach of a store: nothing, at any moment. */
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tarOf } from './hostile.ts'
import { busyboxTar, workshop, type Workshop } from './stave.ts'

const isRoot = process.getuid?.() === 0
/** Anybody: no entry in passwd is needed to be one. */
const attacker = { uid: 54_321, gid: 54_321 }
const why = isRoot ? '' : ' (skipped, because only root can become another user)'

/** Looks, again and again, for anything below the store that can be listed, read or executed, and prints it. */
const watcher = `
while :; do
  find "$1" -mindepth 1 2>/dev/null
  for file in stave.db stave.db-wal stave.db-shm volumes/secret/_data/key; do cat "$1/$file" 2>/dev/null; done
done`

describe.skipIf(!isRoot)(`another user of the machine${why}`, () => {
  let shop: Workshop
  beforeAll(() => {
    shop = workshop('private')
    // The way to the store is open: what holds is the store's own door.
    chmodSync(shop.directory, 0o755)
  })
  afterAll(() => shop?.[Symbol.dispose]())

  const asAttacker = (...args: readonly string[]) => spawnSync(args[0]!, args.slice(1), { ...attacker, cwd: '/', encoding: 'utf8' })

  test('finds nothing while images come in, builds and containers run', async () => {
    const watching = spawn('sh', ['-c', watcher, 'sh', shop.store], { ...attacker, cwd: '/', stdio: ['ignore', 'pipe', 'ignore'] })
    let seen = ''
    watching.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString('latin1')))
    try {
      shop.must(['import', '-q', busyboxTar(), 'base'])
      const layer = await tarOf([
        { name: 'su', mode: 0o4755, data: '#!/bin/sh\nid\n' },
        { name: 'null', type: 'character-device', mode: 0o666, devmajor: 1, devminor: 3 },
      ])
      writeFileSync(shop.path('odd.tar'), layer)
      shop.must(['import', '-q', shop.path('odd.tar'), 'odd'])
      writeFileSync(
        shop.path('Dockerfile'),
        'FROM base\nCOPY --from=odd / /odd\nRUN --mount=type=cache,target=/cache echo secret > /cache/key && chmod 4755 /odd/su\n',
      )
      shop.must(['build', '-q', '-t', 'made', '-f', shop.path('Dockerfile'), shop.directory])
      shop.must(['volume', 'create', 'secret'])
      shop.must([
        'run',
        '--name',
        'kept',
        '-e',
        'PASSWORD=hunter2',
        '-v',
        'secret:/v',
        'made',
        'sh',
        '-c',
        'echo secret | tee /v/key /root/key',
      ])
      shop.must(['run', '-d', '--name', 'runs', '-v', 'secret:/v', 'made', 'sleep', '600'])
    } finally {
      watching.kill()
    }
    expect(seen).toBe('')
  })

  test('cannot enter it afterwards, by any name that is known', () => {
    const id = shop.must(['ps', '-aq', '--no-trunc', '--filter', 'name=kept'])
    const paths = [
      '',
      'stave.db',
      'blobs/sha256',
      'snapshots',
      `containers/${id}/fs/root/key`,
      'volumes/secret/_data/key',
      'cache/mounts',
      'logs',
    ]
    for (const path of paths) {
      expect(spawnSync('stat', [`${shop.store}/${path}`]).status, `${path} is there`).toBe(0)
      expect(asAttacker('ls', `${shop.store}/${path}`).stderr, path).toContain('Permission denied')
    }
  })

  test('cannot enter one of before, once it has been opened by its owner', () => {
    const open = 'chmod 755 "$1" "$1"/* && chmod 644 "$1"/stave.db*'
    expect(spawnSync('sh', ['-c', open, 'sh', shop.store]).status).toBe(0)
    expect(asAttacker('head', '-c15', `${shop.store}/stave.db`).stdout).toBe('SQLite format 3')
    expect(shop.damage().filter((problem) => problem.startsWith('open-to-others'))).toEqual([])
    expect(asAttacker('ls', shop.store).stderr).toContain('Permission denied')
    chmodSync(shop.store, 0o711)
    expect(asAttacker('cat', `${shop.store}/stave.db`).stderr).toContain('Permission denied')
  })
})
