/** The same, as somebody who is not root: in a user namespace with subordinate ids. */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tarOf } from './hostile.ts'
import { busyboxTar, embeddedRegistry, ordinaryUser, workshop, type User } from './stave.ts'

const user = ordinaryUser()
const why = typeof user === 'string' ? ` (skipped, because ${user})` : ''

describe.skipIf(typeof user === 'string')(`rootless${why}`, () => {
  const { uid, gid } = user as User
  const shop = workshop('rootless', { uid, gid })
  let registry: Awaited<ReturnType<typeof embeddedRegistry>>

  beforeAll(async () => {
    registry = await embeddedRegistry(shop)
    shop.must(['import', '-q', busyboxTar(), 'base'])
  })
  afterAll(() => {
    registry.process.kill()
    shop[Symbol.dispose]()
  })

  test('build with RUN, COPY and owners; push, pull into an empty store, run', () => {
    mkdirSync(shop.path('context'))
    writeFileSync(
      shop.path('context/Dockerfile'),
      `FROM base
RUN echo one > /one && chown 12:34 /one && mkdir -p /dir/gone && id -u
COPY --chown=5:6 --chmod=4750 file /dir/
RUN rm -r /dir/gone && chown -R 7:8 /dir && touch /dir/root
USER 1000:1000
CMD ["sh", "-c", "id -u; stat -c '%n %u:%g %a' /one /dir /dir/*"]
`,
    )
    writeFileSync(shop.path('context/file'), 'file\n')
    chownSync(shop.path('context'), uid, gid)
    const id = shop.must(['build', '-q', '-t', 'made', shop.path('context')])
    expect(shop.must(['build', '-q', '-t', 'made', shop.path('context')])).toBe(id)
    const expected = ['1000', '/one 12:34 644', '/dir 7:8 755', '/dir/file 7:8 4750', '/dir/root 0:0 644']
    expect(shop.must(['run', '--rm', '--network', 'none', 'made']).split('\n')).toEqual(
      expected.with(3, expect.stringMatching(/^\/dir\/file 7:8 4?750$/)),
    )
    shop.must(['push', '-q', 'made', `docker://${registry.host}/made`])
    const store = shop.path('other')
    shop.must(['pull', '-q', `${registry.host}/made`], { store })
    expect(shop.must(['run', '--rm', '--network', 'none', `${registry.host}/made`], { store })).toBe(
      shop.must(['run', '--rm', '--network', 'none', 'made']),
    )
    expect(shop.damage()).toEqual([])
    expect(shop.damage(store)).toEqual([])
  })

  test('the same image as root makes, with the same layers', () => {
    if (process.getuid?.() !== 0) return
    const root = workshop('rooted')
    root.must(['import', '-q', busyboxTar(), 'base'])
    const flags = ['--no-cache', '--source-date-epoch', '1000000000', '-t', 'same', shop.path('context')]
    root.must(['build', '-q', ...flags])
    shop.must(['build', '-q', ...flags])
    const layers = (text: string) => text.split('\n').slice(1)
    const format = ['inspect', '--format', '{{range .RootFS.Layers}}{{println .}}{{end}}', 'same']
    expect(layers(shop.must(format))).toEqual(layers(root.must(format)))
    root[Symbol.dispose]()
  })

  test('in the background: exec, logs, stop, rm, with files of other owners', async () => {
    shop.must([
      'run',
      '-d',
      '--network',
      'none',
      '--name',
      'job',
      'base',
      'sh',
      '-c',
      'mkdir /mine && chown 33:33 /mine && echo ready; trap "exit 6" TERM; while :; do sleep 0.05; done',
    ])
    for (let tries = 0; shop.must(['logs', 'job']) !== 'ready' && tries < 100; tries++) await delay(50)
    expect(shop.must(['exec', 'job', 'stat', '-c', '%u', '/mine'])).toBe('33')
    expect(shop.must(['exec', '-u', '1234', 'job', 'id', '-u'])).toBe('1234')
    expect(shop.must(['stop', 'job'])).toBe('job')
    expect(shop.must(['wait', 'job'])).toBe('6')
    shop.must(['rm', 'job'])
    expect(shop.must(['ps', '-aq'])).toBe('')
  })

  test('a step of a build has an agent under any owner, and a bind of which the caller may read only a part', async () => {
    const bound = shop.path('partly')
    mkdirSync(join(bound, 'closed'), { recursive: true })
    chmodSync(join(bound, 'closed'), 0)
    const socket = shop.path('agent.sock')
    // Nobody asks it anything; that it listens is enough.
    const agent = createServer().listen(socket)
    await once(agent, 'listening')
    const mount = '--mount=type=ssh,required,uid=1000,gid=1001,mode=640'
    const dockerfile = `FROM base\nRUN ${mount} test "$(stat -c %a:%u:%g $SSH_AUTH_SOCK)" = 640:1000:1001 && test -d /mnt/closed\n`
    const words = ['build', '-q', '--no-cache', '--ssh', `default=${socket}`, '-v', `${bound}:/mnt`, '-f', '-', shop.path('context')]
    const { status, stderr } = shop.stave(words, { input: dockerfile })
    agent.close()
    expect([status, stderr]).toEqual([0, ''])
  })

  test("binds are the caller's own, and nobody else's", () => {
    mkdirSync(shop.path('bound'))
    chownSync(shop.path('bound'), uid, gid)
    expect(
      shop.must([
        'run',
        '--rm',
        '--network',
        'none',
        '-v',
        `${shop.path('bound')}:/mnt`,
        'base',
        'sh',
        '-c',
        'stat -c %u /mnt; echo x > /mnt/x',
      ]),
    ).toBe('0')
    expect(spawnSync('stat', ['-c', '%u', shop.path('bound/x')], { encoding: 'utf8' }).stdout.trim()).toBe(String(uid))
    expect(shop.stave(['run', '--rm', '--network', 'none', '-v', '/etc:/mnt', 'base', 'sh', '-c', 'echo x > /mnt/x']).status).toBe(1)
    expect(shop.stave(['run', '--rm', '--network', 'none', '--privileged', '-v', '/:/mnt', 'base', 'cat', '/mnt/etc/shadow']).status).toBe(
      1,
    )
  })

  test('a directory that may not be entered is named', () => {
    mkdirSync(shop.path('closed'), { mode: 0 })
    chownSync(shop.path('closed'), uid, gid)
    expect(shop.stave(['run', '--rm', '--network', 'none', '-v', `${shop.path('closed')}:/mnt`, 'base', 'true'])).toMatchObject({
      status: 125,
      stderr: expect.stringMatching(/closed cannot be mounted\n.*permission denied\n.*may enter/) as string,
    })
  })

  test('a layer with a device node', async () => {
    writeFileSync(
      shop.path('device.tar'),
      await tarOf([
        { name: 'sda', type: 'block-device', devmajor: 8, devminor: 0 },
        { name: 'file', data: 'x' },
      ]),
    )
    const outcome = shop.stave(['import', shop.path('device.tar'), 'device'])
    if (outcome.status !== 0) expect(outcome.stderr).toMatch(/^error: .*(device|permi)/im)
    // Whatever it is there, it opens no disk.
    else expect(shop.stave(['run', '--rm', '--network', 'none', 'device', '/sda']).status).not.toBe(0)
    expect(shop.damage()).toEqual([])
  })

  test('everything can be removed again', () => {
    shop.must(['rmi', '--all', '--force'])
    shop.must(['prune', '--all'])
    expect(shop.must(['images', '-q'])).toBe('')
  })
})
