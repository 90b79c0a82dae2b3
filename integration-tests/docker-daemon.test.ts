/** `docker-daemon:` with Docker's own daemon, which this starts: no network, its own directories. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { createServer, type Server } from 'node:http'
import { rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { copy } from '#image/copy.ts'
import { sampleImage } from '#image/testing.ts'
import { openLayout } from '#layout/layout.ts'
import { has } from '../registry-tests/registries.ts'
import { workshop } from './stave.ts'

const shop = workshop('docker-daemon')
const host = `unix://${shop.path('docker.sock')}`
let daemon: ChildProcess | undefined
afterAll(async () => {
  if (daemon !== undefined && daemon.exitCode === null) {
    const ended = new Promise((resolve) => daemon!.once('exit', resolve))
    daemon.kill('SIGTERM')
    await ended
  }
  shop[Symbol.dispose]()
})

const docker = (...args: string[]) => spawnSync('docker', ['-H', host, ...args], { encoding: 'utf8' })

/** @returns why there is none */
async function startDaemon(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'only root can start a Docker daemon'
  if (!has('dockerd') || !has('docker')) return 'dockerd and docker are not installed'
  const directories = ['--data-root', shop.path('data'), '--exec-root', shop.path('exec'), '-p', shop.path('pid')]
  const alone = ['--iptables=false', '--ip6tables=false', '--bridge=none', '--storage-driver=vfs', '--config-file', shop.path('none.json')]
  spawnSync('sh', ['-c', `echo '{}' > ${shop.path('none.json')}`])
  daemon = spawn('dockerd', [...directories, '-H', host, ...alone], { stdio: 'ignore' })
  for (let attempt = 0; attempt < 200; attempt++) {
    if (daemon.exitCode !== null) return `dockerd ends with ${daemon.exitCode} here`
    if (docker('version').status === 0) return undefined
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return 'dockerd does not answer here'
}

const why = await startDaemon()

describe.skipIf(why !== undefined)(`with a daemon${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  let id: string
  beforeAll(async () => {
    const image = await sampleImage(cx, { seed: 'daemon' })
    await using layout = await openLayout(shop.path('layout'), { create: true })
    await copy(cx, image.source, image.descriptor, layout, { name: '1' })
    id = shop.must(['image', 'config', 'oci:layout:1'])
  })

  test('an image goes there and comes back with its config', () => {
    shop.must(['copy', '-q', '--dest-daemon-host', host, 'oci:layout:1', 'docker-daemon:acme/web:1'])
    expect(docker('image', 'inspect', '--format', '{{index .RepoTags 0}}', 'acme/web:1').stdout).toBe('acme/web:1\n')
    shop.must(['copy', '-q', 'docker-daemon:acme/web:1', 'oci:back:1'], { env: { DOCKER_HOST: host } })
    expect(shop.must(['image', 'config', 'oci:back:1'])).toBe(id)
    expect(shop.must(['image', 'validate', 'oci:back:1'])).toContain('is sound')
    const inspected = JSON.parse(shop.must(['inspect', '--daemon-host', host, 'docker-daemon:acme/web:1'])) as object
    expect(inspected).toMatchObject({ Os: 'linux', Architecture: 'amd64' })
    // The store has nothing of it.
    expect(shop.must(['images', '-q'])).toBe('')
  })

  test('a policy speaks of its images', () => {
    const scopes = { 'docker.io/acme': [{ type: 'reject' }] }
    const policy = { default: [{ type: 'insecureAcceptAnything' }], transports: { 'docker-daemon': scopes } }
    spawnSync('tee', [shop.path('policy.json')], { input: JSON.stringify(policy) })
    const words = [
      'copy',
      '-q',
      '--src-daemon-host',
      host,
      '--policy',
      shop.path('policy.json'),
      'docker-daemon:acme/web:1',
      'oci:refused:1',
    ]
    const refused = shop.stave(words)
    expect(refused.status).toBe(1)
    expect(refused.stderr).toContain('transports.docker-daemon."docker.io/acme"')
  })

  test('no such image: 2, as with skopeo', () => {
    const ran = shop.stave(['inspect', '--daemon-host', host, 'docker-daemon:nothing:1'])
    expect(ran).toMatchObject({ status: 2, stdout: '' })
    expect(ran.stderr).toContain('docker-daemon:nothing:1')
  })
})

describe('without a daemon', () => {
  let server: Server
  const socket = shop.path('odd.sock')
  beforeAll(async () => {
    // What says that it has loaded an image, and then what went wrong: 200 is sent before that is known.
    server = createServer((request, response) => {
      request.resume()
      request.on('end', () => response.writeHead(200).end('{"stream":"loading"}\n{"error":"no space left on device"}\n'))
    })
    await new Promise<void>((resolve) => server.listen(socket, resolve))
  })
  afterAll(() => {
    server.close()
    rmSync(socket, { force: true })
  })

  test.each([
    [`unix://${shop.path('nowhere.sock')}`, 'cannot reach a Docker daemon'],
    ['tcp://127.0.0.1:9', 'cannot reach a Docker daemon'],
    ['ssh://me@elsewhere', 'as the address of a Docker daemon'],
    ['tcp://user@127.0.0.1:9', 'as the address of a Docker daemon'],
  ])('%s: %s', async (address, message) => {
    const image = await sampleImage(cx, { seed: 'nowhere' })
    await using layout = await openLayout(shop.path('nowhere'), { create: true })
    await copy(cx, image.source, image.descriptor, layout, { name: '1' })
    for (const words of [
      ['copy', '-q', '--src-daemon-host', address, 'docker-daemon:web:1', 'oci:out:1'],
      ['copy', '-q', '--dest-daemon-host', address, 'oci:nowhere:1', 'docker-daemon:web:1'],
    ]) {
      const ran = shop.stave(words)
      expect(ran.status).toBe(1)
      expect(ran.stderr).toContain(message)
    }
  })

  test('what a daemon says only at the end of its answer is an error too', async () => {
    const image = await sampleImage(cx, { seed: 'odd' })
    await using layout = await openLayout(shop.path('odd'), { create: true })
    await copy(cx, image.source, image.descriptor, layout, { name: '1' })
    const ran = await shop.run(['copy', '-q', '--dest-daemon-host', `unix://${socket}`, 'oci:odd:1', 'docker-daemon:web:1'])
    expect(ran.status).toBe(1)
    expect(ran.stderr).toContain('no space left on device')
  })
})
