import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import type { Image } from '#image/image.ts'
import type { Stdio } from '#runner/stdio.ts'
import { addBusybox, removeStore, temporaryRoot, testRunner, whyNoContainers } from '#store/busybox.fixture.ts'
import { doctor } from '#store/doctor.ts'
import type { NetworkSettings } from './network.ts'
import { openStore, type LocalStore } from '#store/open.ts'
import { prune } from '#store/prune.ts'
import {
  createContainer,
  findContainer,
  listContainers,
  refresh,
  removeContainer,
  renameContainer,
  updateContainer,
  type Container,
  type CreateOptions,
} from './container.ts'
import { killContainer, pauseContainer, stopContainer, unpauseContainer, waitContainer } from './control.ts'
import { attachContainer, execContainer } from './exec.ts'
import { inspectContainer } from './inspect.ts'
import { readLog } from './log.ts'
import { parseTmpfs, parseVolume } from './mount.ts'
import { parseMount } from './mount-fields.ts'
import { restartContainer, startContainer } from './start.ts'
import { createVolume, listVolumes, pruneVolumes, removeVolume } from './volume.ts'

const reason = whyNoContainers()
const nothing: Stdio = { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' }

describe.skipIf(reason !== undefined)(`containers${reason === undefined ? '' : `: skipped, because ${reason}`}`, () => {
  let root: string
  let store: LocalStore
  let image: Image

  beforeAll(async () => {
    root = temporaryRoot()
    store = await openStore({ root, runner: testRunner(root) })
    image = await addBusybox(store, 'busybox')
  })
  afterAll(async () => {
    for (const container of listContainers(store)) await removeContainer(cx, store, container, { force: true, volumes: true })
    await removeStore(store)
  })

  const create = (options: CreateOptions = {}, from = image) =>
    createContainer(cx, store, from, 'busybox', { network: { choice: { mode: 'none' } }, ...options })
  /** Runs in the foreground, and removes it. */
  async function run(
    command: string,
    options: CreateOptions = {},
    from = image,
  ): Promise<{ exitCode: number | undefined; stdout: string; stderr: string }> {
    const container = await create({ command: ['sh', '-c', command], autoRemove: true, ...options }, from)
    const output = { stdout: '', stderr: '' }
    const stdio: Stdio = {
      stdin: 'ignore',
      stdout: (chunk) => void (output.stdout += chunk.toString()),
      stderr: (chunk) => void (output.stderr += chunk.toString()),
    }
    const { exitCode } = await startContainer(cx, store, container, { detach: false, stdio })
    expect(existsSync(join(root, 'containers', container.id))).toBe(false)
    return { exitCode, ...output }
  }
  async function detached(command: string, options: CreateOptions = {}): Promise<Container> {
    const container = await create({ command: ['sh', '-c', command], ...options })
    expect(await startContainer(cx, store, container, { detach: true, stdio: nothing })).toMatchObject({ detached: true })
    return refresh(store, container)
  }
  const remove = (container: Container) => removeContainer(cx, store, container, { force: true, volumes: true })
  async function logOf(container: Container): Promise<string> {
    let text = ''
    for await (const entry of readLog(cx, store, container)) text += entry.text
    return text
  }
  async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = performance.now() + 10_000
    while (!(await holds())) {
      if (performance.now() > deadline) throw new Error(`did not happen within ten seconds: ${holds.toString()}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  async function code(promise: Promise<unknown>): Promise<string> {
    return promise.then(
      () => 'no error',
      (error: { code?: string }) => error.code ?? String(error),
    )
  }

  describe('in the foreground', () => {
    test('output and exit status are the command’s', async () => {
      expect(await run('echo out; echo err >&2; exit 7')).toEqual({ exitCode: 7, stdout: 'out\n', stderr: 'err\n' })
      expect((await run('kill -9 $$', { init: true })).exitCode).toBe(137)
      // The first process of a pid namespace cannot kill itself: the kernel's rule.
      expect((await run('kill -9 $$; exit 5')).exitCode).toBe(5)
      expect((await run('true')).exitCode).toBe(0)
    })

    test('the root is the image: layers, whiteout, owners and modes', async () => {
      expect((await run('cat /data/sub/file; test -e /etc/gone || echo gone; stat -c "%u:%g %a" /data /tmp')).stdout).toBe(
        'from the image\ngone\n1000:1000 750\n0:0 1777\n',
      )
    })

    test('environment, directory, user, host name', async () => {
      const script = 'echo $A; echo $HOSTNAME; pwd; id -u; id -g; id -G; hostname; cat /etc/hostname; echo $HOME'
      const { stdout } = await run(script, { env: ['A=1'], workdir: '/made/here', user: 'app', hostname: 'box' })
      expect(stdout).toBe('1\nbox\n/made/here\n1000\n1000\n1000 2000\nbox\nbox\n/data\n')
      expect((await run('id -u; id -g', { user: '1234:5678' })).stdout).toBe('1234\n5678\n')
    })

    test('hosts and resolvers are those that are asked for; with the host’s network it has the host’s name', async () => {
      const network: NetworkSettings = {
        choice: { mode: 'none' },
        addHosts: [{ host: 'there', address: '192.0.2.7' }],
        resolver: { nameservers: ['192.0.2.1'], searchDomains: ['.'], options: ['ndots:2'] },
      }
      const { stdout } = await run('cat /etc/hosts; grep -v "^#" /etc/resolv.conf', { network, hostname: 'here' })
      expect(stdout).toContain('192.0.2.7\tthere\n127.0.1.1\there\n')
      expect(stdout).toMatch(/nameserver 192\.0\.2\.1\noptions ndots:2\n$/)
      expect((await run('hostname', { network: { choice: { mode: 'host' } } })).stdout).toBe(`${hostname()}\n`)
    })

    test.each([
      ['no-such-program', 127, 'command-not-found'],
      ['/no/such/program', 127, 'command-not-found'],
      ['/etc/noexec', 126, 'command-not-executable'],
      ['/etc', 126, 'command-not-executable'],
    ])('%s cannot be started: %i', async (program, exitCode, expected) => {
      const container = await create({ command: [program] })
      const error = await startContainer(cx, store, container, { detach: false, stdio: nothing }).catch((caught: unknown) => caught)
      expect(error).toMatchObject({ code: expected, exitCode })
      await remove(container)
    })

    test('nothing of the store or the host can be written, and a read-only root not at all', async () => {
      expect((await run('echo x > /file', { readonly: true })).exitCode).not.toBe(0)
      expect((await run('echo x > /tmp/file && cat /tmp/file', { readonly: true, mounts: [parseTmpfs('/tmp:size=1m')] })).stdout).toBe(
        'x\n',
      )
      await run('echo changed > /data/sub/file')
      expect((await run('cat /data/sub/file')).stdout).toBe('from the image\n')
    })

    test('binds: directories, files, read-only; a missing one is made by -v and refused by --mount', async () => {
      const host = join(root, 'host')
      mkdirSync(host)
      writeFileSync(join(host, 'file'), 'of the host\n')
      chmodSync(host, 0o777)
      const mounts = [
        parseVolume(`${host}:/mnt/rw`, '/'),
        parseVolume(`${host}:/mnt/ro:ro`, '/'),
        parseVolume(`${join(host, 'file')}:/etc/single`, '/'),
      ]
      const { stdout } = await run(
        'cat /mnt/ro/file /etc/single; echo new > /mnt/rw/new; echo x 2>/dev/null > /mnt/ro/no || echo refused',
        { mounts },
      )
      expect(stdout).toBe('of the host\nof the host\nrefused\n')
      expect(readFileSync(join(host, 'new'), 'utf8')).toBe('new\n')
      await run('true', { mounts: [parseVolume(`${host}/made:/m`, '/')] })
      expect(statSync(join(host, 'made')).isDirectory()).toBe(true)
      expect(await code(run('true', { mounts: [parseMount(`type=bind,source=${host}/missing,target=/m`, '/')] }))).toBe('container-start')
      expect(listContainers(store)).toEqual([])
    })

    test('is cheap', async () => {
      const times: number[] = []
      for (let round = 0; round < 10; round++) {
        const started = performance.now()
        await run('true')
        times.push(performance.now() - started)
      }
      times.sort((one, other) => one - other)
      console.log(`a container from creation to removal: ${times[5]!.toFixed(1)} ms`)
      expect(times[5]).toBeLessThan(300)
    })
  })

  describe('volumes', () => {
    test('a new one gets what the image has, with owner and mode; it outlives containers', async () => {
      const mounts = [parseVolume('store:/data', '/')]
      expect((await run('stat -c "%u:%g %a" /data; cat /data/sub/file; echo mine > /data/own', { mounts })).stdout).toBe(
        '1000:1000 750\nfrom the image\n',
      )
      expect((await run('cat /data/own; rm /data/sub/file', { mounts })).stdout).toBe('mine\n')
      // Not filled again.
      expect((await run('test -e /data/sub/file || echo removed', { mounts })).stdout).toBe('removed\n')
      expect((await run('cat /elsewhere/own', { mounts: [parseVolume('store:/elsewhere:ro', '/')] })).stdout).toBe('mine\n')
      await removeVolume(cx, store, 'store')
      expect(existsSync(join(root, 'volumes/store'))).toBe(false)
    })

    test('nocopy, and a directory that the image does not have', async () => {
      const mounts = [parseVolume('bare:/data:nocopy', '/'), parseVolume('fresh:/nowhere', '/')]
      expect((await run('ls /data /nowhere', { mounts })).stdout.trim()).toBe('/data:\n\n/nowhere:')
      await removeVolume(cx, store, 'bare')
      await removeVolume(cx, store, 'fresh')
    })

    test('those of the image are anonymous and go with the container', async () => {
      const withVolume = await addBusybox(store, 'with-volume', { Volumes: { '/data': {} } })
      const container = await create({ command: ['sh', '-c', 'cat /data/sub/file'] }, withVolume)
      expect(container.anonymousVolumes).toHaveLength(1)
      expect(listVolumes(store).map((volume) => volume.name)).toEqual(container.anonymousVolumes)
      expect(await code(removeVolume(cx, store, container.anonymousVolumes[0]!))).toBe('in-use')
      expect(await pruneVolumes(cx, store)).toEqual([])
      await startContainer(cx, store, container, { detach: false, stdio: nothing })
      expect(await logOf(container)).toBe('from the image\n')
      await removeContainer(cx, store, container)
      expect(listVolumes(store)).toHaveLength(1)
      expect(await pruneVolumes(cx, store)).toEqual(container.anonymousVolumes)
    })

    test('named ones are pruned only if asked', async () => {
      createVolume(store, { name: 'kept', labels: { a: 'b' } })
      expect(await pruneVolumes(cx, store)).toEqual([])
      expect(await pruneVolumes(cx, store, { all: true })).toEqual(['kept'])
    })
  })

  describe('detached', () => {
    test('lives on, is seen, logs, ends by the stop signal', async () => {
      const container = await detached('trap "echo stopped; exit 5" TERM; echo ready; while :; do sleep 0.05; done', { name: 'server' })
      expect(container.status).toMatchObject({ state: 'running', pid: expect.any(Number) })
      expect(existsSync(`/proc/${container.status.pid}`)).toBe(true)
      expect(findContainer(store, 'server').id).toBe(container.id)
      expect(findContainer(store, container.id.slice(0, 8)).name).toBe('server')
      await until(async () => (await logOf(container)).includes('ready'))
      expect(await code(removeContainer(cx, store, container))).toBe('container-state')
      expect(await code(startContainer(cx, store, container, { detach: true, stdio: nothing }))).toBe('container-state')
      await stopContainer(cx, store, container)
      expect(refresh(store, container).status).toMatchObject({
        state: 'exited',
        exitCode: 5,
        startedAt: expect.any(String),
        finishedAt: expect.any(String),
      })
      expect(await logOf(container)).toBe('ready\nstopped\n')
      expect(await waitContainer(cx, store, container)).toBe(5)
      await stopContainer(cx, store, container)
      expect(await code(killContainer(cx, store, container))).toBe('container-state')
      await remove(container)
      expect(await code(Promise.try(() => findContainer(store, 'server')))).toBe('not-found')
    })

    test('what ignores the stop signal is killed', async () => {
      const container = await detached('trap "" TERM; while :; do sleep 0.05; done', { stopTimeout: 1 })
      const started = performance.now()
      await stopContainer(cx, store, container)
      expect(performance.now() - started).toBeGreaterThan(900)
      expect(refresh(store, container).status).toMatchObject({ state: 'exited', exitCode: 137 })
      await remove(container)
    })

    test('its own stop signal is used', async () => {
      const container = await detached('trap "exit 9" INT; while :; do sleep 0.05; done', { stopSignal: 'SIGINT' })
      await new Promise((resolve) => setTimeout(resolve, 100))
      await stopContainer(cx, store, container)
      expect(refresh(store, container).status.exitCode).toBe(9)
      await remove(container)
    })

    test('exec: output, status, environment, user; and errors', async () => {
      const container = await detached('while :; do sleep 1; done', { env: ['A=1'] })
      let stdout = ''
      const stdio: Stdio = { stdin: 'ignore', stdout: (chunk) => void (stdout += chunk.toString()), stderr: 'ignore' }
      const command = ['sh', '-c', 'echo $A; echo $B; id -u; pwd; exit 4']
      expect(await execContainer(cx, store, container, { command, env: ['B=2'], user: 'app', workdir: '/data' }, stdio)).toBe(4)
      expect(stdout).toBe('1\n2\n1000\n/data\n')
      const error = await execContainer(cx, store, container, { command: ['nope'] }, nothing).catch((caught: unknown) => caught)
      expect(error).toMatchObject({ code: 'command-not-found', exitCode: 127 })
      await killContainer(cx, store, container, 'KILL', { wait: true })
      expect(await code(execContainer(cx, store, container, { command: ['true'] }, nothing))).toBe('container-state')
      expect(await code(attachContainer(cx, store, container, {}, nothing))).toBe('container-state')
      await remove(container)
    })

    test('one that removes itself is gone for everybody when it ends, and its name is free', async () => {
      const container = await detached('sleep 0.2', { name: 'fleeting', autoRemove: true })
      // As if the command that started it had ended, which is so outside of a test.
      updateContainer(store, container, { creator: { pid: 999_999_999, start: 1 } })
      expect(listContainers(store).map(({ name }) => name)).toContain('fleeting')
      await waitContainer(cx, store, container)
      expect(listContainers(store).map(({ name }) => name)).not.toContain('fleeting')
      expect((await run('true', { name: 'fleeting' })).exitCode).toBe(0)
      expect(existsSync(join(root, 'containers', container.id))).toBe(false)
    })

    test('restart: the same files, a new start', async () => {
      const container = await detached('echo x >> /count; wc -l < /count; while :; do sleep 0.05; done', { stopTimeout: 0 })
      await until(async () => (await logOf(container)) === '1\n')
      const first = container.status.startedAt
      await restartContainer(cx, store, container, {})
      const after = refresh(store, container)
      expect(after.status.state).toBe('running')
      expect(after.status.startedAt).not.toBe(first)
      await until(async () => (await logOf(container)) === '1\n2\n')
      await remove(after)
    })

    test('two may not have one name; a renamed one is found by the new one', async () => {
      const container = await create({ name: 'first' })
      expect(await code(create({ name: 'first' }))).toBe('conflict')
      expect(await code(create({ name: 'not allowed' }))).toBe('usage')
      renameContainer(store, container, 'second')
      expect(findContainer(store, 'second').id).toBe(container.id)
      expect(await code(create({ name: 'second' }))).toBe('conflict')
      await remove(container)
    })

    test('pause and unpause, where there are cgroups', async () => {
      const container = await detached('while :; do sleep 0.05; done')
      const paused = await code(pauseContainer(cx, store, container))
      if (paused === 'no error') {
        expect(refresh(store, container).status.state).toBe('paused')
        await unpauseContainer(cx, store, refresh(store, container))
        expect(refresh(store, container).status.state).toBe('running')
      } else expect(paused).toMatch(/^(unsupported|permission|isolation)$/)
      await remove(refresh(store, container))
    })

    test('inspect has Docker’s shape', async () => {
      const container = await detached('sleep 100', { mounts: [parseTmpfs('/tmp')], labels: { a: 'b' }, stopTimeout: 0 })
      expect(inspectContainer(store, container)).toMatchObject({
        Id: container.id,
        Path: 'sh',
        Args: ['-c', 'sleep 100'],
        State: { Status: 'running', Running: true, Pid: container.status.pid },
        Config: { Labels: { a: 'b' }, Cmd: ['sh', '-c', 'sleep 100'] },
        Mounts: [{ Type: 'tmpfs', Destination: '/tmp' }],
      })
      await remove(container)
    })

    test('one whose processes and monitor were killed counts as ended, and can be removed', async () => {
      const container = await detached('while :; do sleep 1; done')
      const state = JSON.parse(readFileSync(join(root, 'containers', container.id, 'state.json'), 'utf8')) as {
        pid: number
        monitorPid?: number
      }
      if (state.monitorPid !== undefined) process.kill(state.monitorPid, 'SIGKILL')
      process.kill(state.pid, 'SIGKILL')
      await until(() => refresh(store, container).status.state !== 'running')
      expect(refresh(store, container).status).toMatchObject({ state: 'exited', exitCode: 137 })
      await removeContainer(cx, store, container)
    })

    test('prune keeps what a container needs, although its image lost its name', async () => {
      const other = await addBusybox(store, 'nameless', { Labels: { only: 'here' } })
      const container = await create({ command: ['true'] }, other)
      store.names.delete('docker.io/library/nameless:latest')
      store.database.run('DELETE FROM writer')
      await prune(cx, store, { images: 'none' })
      expect((await startContainer(cx, store, container, { detach: false, stdio: nothing })).exitCode).toBe(0)
      await remove(container)
      expect(await doctor(cx, store, { verify: true })).toEqual([])
    })
  })
})
