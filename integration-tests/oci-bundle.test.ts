/** `stave bundle`: an image as a bundle that OCI runtimes run, this one and others. */
import { existsSync, readdirSync, statSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ociRuntimes, runBundle } from './oci-runtimes.ts'
import { busyboxTar, ordinaryUser, workshop } from './stave.ts'

const dockerfile = `FROM base
RUN echo ann:x:1234:1234::/home/ann:/bin/sh >/etc/passwd && echo ann:x:1234: >/etc/group && mkdir /data && chown 1234 /data && ln /bin/busybox /data/box && mkfifo /data/pipe && chmod 0 /data/pipe
ENV NAME=value
USER ann
WORKDIR /data
VOLUME /data
CMD ["sh", "-c", "id; pwd; echo $NAME $HOME; grep -E '^(Seccomp|CapBnd|CapEff|NoNewPrivs):' /proc/self/status; unshare -U true; exit 7"]
`

const shop = workshop('oci-bundle')
beforeAll(() => {
  shop.must(['import', '-q', busyboxTar(), 'base'])
  shop.must(['build', '-q', '-t', 'app', '-'], { input: dockerfile })
})
afterAll(() => shop[Symbol.dispose]())

describe.each(ociRuntimes('root'))('of root: $name', (runtime) => {
  test.skipIf(runtime.why !== undefined)(`runs what the image says${runtime.why ?? ''}`, () => {
    const bundle = shop.path(`bundle-${runtime.name}`)
    shop.must(['bundle', 'app', bundle])
    expect(runBundle(runtime, bundle, shop.directory)).toEqual({
      status: 7,
      stdout: [
        'uid=1234(ann) gid=1234(ann)',
        '/data',
        'value /home/ann',
        'CapEff:\t0000000000000000',
        'CapBnd:\t00000000a80425fb',
        'NoNewPrivs:\t0',
        'Seccomp:\t2',
        '',
      ].join('\n'),
      stderr: expect.stringContaining('Operation not permitted') as string,
    })
  })
})

const user = ordinaryUser()
describe.skipIf(typeof user === 'string')('of an ordinary user', () => {
  const own = workshop('oci-bundle-rootless', typeof user === 'string' ? undefined : user)
  beforeAll(() => void own.must(['import', '-q', busyboxTar(), 'base']))
  afterAll(() => own[Symbol.dispose]())

  test.each(ociRuntimes('user'))('$name runs it', (runtime) => {
    if (runtime.why !== undefined) return
    const bundle = own.path(`bundle-${runtime.name}`)
    own.must(['bundle', 'base', bundle, 'sh', '-c', 'id -u; cat /proc/self/uid_map; touch /made; exit 3'])
    const outcome = runBundle(runtime, bundle, own.directory, typeof user === 'string' ? undefined : user)
    expect(outcome).toMatchObject({ status: 3, stderr: '' })
    expect(outcome.stdout.replaceAll(/ +/g, ' ').trim()).toBe(`0\n 0 ${typeof user === 'string' ? 0 : user.uid} 1`)
  })

  test('has one id, and says so of an image that wants another', () => {
    expect(own.stave(['bundle', '--user', '5', 'base', own.path('x'), 'true'])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/ordinary user has that user alone.*\n.*--user 0:0/) as string,
    })
    expect(readdirSync(own.directory).filter((name) => name.startsWith('.stave-bundle'))).toEqual([])
  })
})

test('comes into place whole or not at all', () => {
  for (const [args, message] of [
    [['base', shop.path('none')], 'neither the image nor the command line names a command'],
    [['base', shop.path('no/where'), 'true'], 'nothing can be written in'],
    [['--user', 'nobody-there', 'base', shop.path('none'), 'true'], 'no user "nobody-there"'],
    [['base', shop.directory, 'true'], 'something is there already'],
  ] as const) {
    const { status, stderr } = shop.stave(['bundle', ...args])
    expect(stderr).toContain(message)
    expect(status).toBeGreaterThan(0)
  }
  expect(existsSync(shop.path('none'))).toBe(false)
  expect(readdirSync(shop.directory).filter((name) => name.startsWith('.stave-bundle'))).toEqual([])
})

test('has the files as the image has them', () => {
  const bundle = shop.path('files')
  shop.must(['bundle', 'app', bundle])
  const of = (path: string) => statSync(`${bundle}/rootfs/${path}`)
  expect(of('data/box').ino).toBe(of('bin/busybox').ino)
  expect(of('data/pipe').isFIFO()).toBe(true)
  expect([of('data').uid, of('data/pipe').mode & 0o7777, of('tmp').mode & 0o7777]).toEqual([1234, 0, 0o1777])
})
