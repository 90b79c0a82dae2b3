/** `stave system reset` and `stave unshare`: what an owner does with a whole store. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { busyboxTar, ordinaryUser, workshop, type User } from './stave.ts'

const isRoot = process.getuid?.() === 0
const user = ordinaryUser()
const users: readonly (readonly [string, User | string | undefined])[] = [
  ...(isRoot ? [['root', undefined] as const] : []),
  ['an ordinary user', user],
]

describe.each(users)('as %s', (_who, as) => {
  const why = typeof as === 'string' ? as : undefined
  const shop = workshop('reset', typeof as === 'string' ? undefined : as)
  afterAll(() => shop[Symbol.dispose]())

  test.skipIf(why !== undefined)('everything goes, whoever owns it, also what runs', () => {
    fill(shop)
    const pid = Number(shop.must(['inspect', '--format', '{{.State.Pid}}', 'runs']))
    expect(existsSync(`/proc/${pid}`)).toBe(true)
    expect(shop.must(['system', 'reset', '--force'])).toBe(`Removed ${shop.store}`)
    expect(existsSync(`/proc/${pid}`)).toBe(false)
    expect(existsSync(shop.store)).toBe(false)
    expect(shop.must(['system', 'reset', '--force'])).toBe(`There is no store at ${shop.store}.`)
    // And a new one begins there.
    shop.must(['import', '-q', busyboxTar(), 'base'])
    expect(shop.must(['images', '--format', '{{.Repository}}'])).toBe('base')
    expect(shop.must(['ps', '-aq'])).toBe('')
    shop.must(['system', 'reset', '-f'])
  })

  test.skipIf(why !== undefined)('also with a database that is damaged, and what runs is killed', () => {
    fill(shop)
    const pid = Number(shop.must(['inspect', '--format', '{{.State.Pid}}', 'runs']))
    for (const name of ['stave.db-wal', 'stave.db-shm', 'stave.db']) writeFileSync(`${shop.store}/${name}`, 'no database '.repeat(1000))
    expect(shop.stave(['ps'])).toMatchObject({ status: 1, stderr: expect.stringContaining('stave system reset') as string })
    shop.must(['system', 'reset', '--force'])
    expect(existsSync(`/proc/${pid}`)).toBe(false)
    expect(existsSync(shop.store)).toBe(false)
  })
})

describe('while somebody works in it', () => {
  const shop = workshop('reset-busy')
  afterAll(() => shop[Symbol.dispose]())

  test('the store stays, and who it is is said', async () => {
    shop.must(['import', '-q', busyboxTar(), 'base'])
    mkdirSync(shop.path('context'))
    writeFileSync(shop.path('context/Dockerfile'), 'FROM base\nRUN echo begun && sleep 120\n')
    const build = shop.start(['build', '--no-cache', '--progress', 'plain', 'context'])
    await new Promise<void>((resolve) => {
      build.stderr!.on('data', (chunk) => String(chunk).includes(' begun') && resolve())
    })
    const { status, stderr } = shop.stave(['system', 'reset', '--force'])
    expect(stderr).toContain(`process ${build.pid} uses it`)
    expect(status).toBe(1)
    expect(shop.must(['images', '--format', '{{.Repository}}'])).toBe('base')
    const ended = new Promise((resolve) => build.once('close', resolve))
    build.kill('SIGTERM')
    await ended
    shop.must(['system', 'reset', '--force'])
    expect(existsSync(shop.store)).toBe(false)
  })
})

/** An image, files of other owners, a volume, a network, a container that runs and one that has ended. */
function fill(shop: ReturnType<typeof workshop>): void {
  shop.must(['import', '-q', busyboxTar(), 'base'])
  const command = 'mkdir -p /mine/deep && chown -R 33:33 /mine && chmod 0 /mine/deep && chown 12:13 /v && chmod 0700 /v'
  shop.must(['run', '--name', 'ended', '--network', 'none', '-v', 'data:/v', 'base', 'sh', '-c', command])
  shop.must(['network', 'create', 'own'])
  // Where stave serve keeps its images unless told otherwise.
  mkdirSync(`${shop.store}/registry`, { recursive: true })
  shop.must(['run', '-d', '--name', 'runs', '--network', 'none', 'base', 'sleep', '600'])
}

describe('what is no store is left alone', () => {
  const shop = workshop('reset-not')
  afterAll(() => shop[Symbol.dispose]())

  test.each([
    ['a home', ['tmp', 'cache', 'letters'], 'it is not one'],
    ['a directory with names that a store has too', ['tmp', 'cache', 'logs'], 'it is not one'],
    ['a store with other things beside it', ['blobs', 'snapshots', 'letters'], 'there is also letters'],
  ])('%s', (_what, names, message) => {
    const root = shop.path(names.join('-'))
    for (const name of names) mkdirSync(`${root}/${name}`, { recursive: true })
    const { status, stderr } = shop.stave(['--root', root, 'system', 'reset', '--force'])
    expect(stderr).toContain(message)
    expect(status).toBe(2)
    expect(readdirSync(root).toSorted()).toEqual(names.toSorted())
  })

  test('without a terminal somebody has to say --force; on one, yes', () => {
    shop.must(['import', '-q', busyboxTar(), 'base'])
    expect(shop.stave(['system', 'reset'])).toMatchObject({ status: 2, stderr: expect.stringContaining('--force') as string })
    const onTerminal = (answer: string) =>
      spawnSync('script', ['-qec', `${process.cwd()}/bin/stave system reset`, '/dev/null'], {
        env: { PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: shop.store },
        input: answer,
        encoding: 'utf8',
      })
    expect(onTerminal('no\n')).toMatchObject({ status: 130, stdout: expect.stringContaining('nothing was removed') as string })
    expect(shop.must(['images', '-q'])).not.toBe('')
    expect(onTerminal('yes\n')).toMatchObject({ status: 0, stdout: expect.stringContaining('Removed') as string })
    expect(existsSync(shop.store)).toBe(false)
  })
})

describe('unshare', () => {
  const why = typeof user === 'string' ? user : undefined
  const shop = workshop('unshare', typeof user === 'string' ? undefined : user)
  afterAll(() => shop[Symbol.dispose]())

  test.skipIf(why !== undefined)('files have the owners that containers gave them, and can be removed', () => {
    fill(shop)
    const data = `${shop.store}/volumes/data/_data`
    expect(shop.must(['unshare', 'stat', '-c', '%u:%g %a', data])).toBe('12:13 700')
    expect(shop.must(['unshare', 'sh', '-c', 'id -u; echo $STAVE_ROOT; echo $0', 'zero'])).toBe(`0\n${shop.store}\nzero`)
    shop.must(['unshare', 'touch', `${data}/new`])
    shop.must(['unshare', 'chown', '5:6', `${data}/new`])
    expect(spawnSync('stat', ['-c', '%u', `${data}/new`], { encoding: 'utf8' }).stdout.trim()).not.toBe('5')
    expect(shop.must(['run', '--rm', '--network', 'none', '-v', 'data:/v', 'base', 'stat', '-c', '%u:%g', '/v/new'])).toBe('5:6')
    shop.must(['unshare', 'rm', `${data}/new`])
    // The same store, from inside.
    expect(shop.must(['unshare', `${process.cwd()}/bin/stave`, 'images', '--format', '{{.Repository}}'])).toBe('base')
  })

  test.skipIf(why !== undefined)('mounts stay inside', () => {
    mkdirSync(shop.path('mnt'), { mode: 0o777 })
    const script = `mount -t tmpfs none ${shop.path('mnt')} && echo x > ${shop.path('mnt')}/inside && ls ${shop.path('mnt')}`
    expect(shop.must(['unshare', 'sh', '-c', script])).toBe('inside')
    expect(readdirSync(shop.path('mnt'))).toEqual([])
  })

  test.skipIf(why !== undefined)('the shell of the user by default; its status; signals', async () => {
    expect(shop.must(['unshare'], { input: 'id -u; exit 0\n', env: { SHELL: '/bin/sh' } })).toBe('0')
    expect(shop.stave(['unshare', 'sh', '-c', 'exit 7']).status).toBe(7)
    expect(shop.stave(['unshare', 'sh', '-c', 'kill -9 $$']).status).toBe(137)
    expect(shop.stave(['unshare', 'no-such-program'])).toMatchObject({
      status: 127,
      stderr: expect.stringContaining('no-such-program') as string,
    })
    expect(shop.stave(['unshare', shop.directory])).toMatchObject({ status: 126 })
    const waits = shop.start(['unshare', 'sh', '-c', 'trap "echo told; exit 3" TERM; echo ready; while :; do sleep 0.05; done'])
    let said = ''
    waits.stdout!.on('data', (chunk) => {
      said += String(chunk)
      if (said === 'ready\n') waits.kill('SIGTERM')
    })
    expect(await new Promise((resolve) => waits.once('close', resolve))).toBe(3)
    expect(said).toBe('ready\ntold\n')
  })

  test.skipIf(!isRoot)('root needs none', () => {
    const { status, stderr } = workshop('unshare-root').stave(['unshare', 'true'])
    expect(stderr).toContain('is for ordinary users')
    expect(status).toBe(125)
  })
})
