import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Where the inputs, the stores and the registries of one run of the benchmark are. */
export interface Machine extends Disposable {
  readonly directory: string
  readonly env: NodeJS.ProcessEnv
  path(...parts: string[]): string
  /** Runs a command to its end, and fails if it does. */
  must(command: readonly string[]): void
  /** Starts a docker-registry. @returns its `host:port` */
  registry(name: string): Promise<string>
}

export const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0

export function openMachine(): Machine {
  const directory = mkdtempSync(join(tmpdir(), 'stave-bench-'))
  const servers: ChildProcess[] = []
  const path = (...parts: string[]): string => join(directory, ...parts)
  const env: NodeJS.ProcessEnv = { ...process.env, STAVE_ROOT: path('stave'), DOCKER_BUILDKIT: '1' }
  return {
    directory,
    env,
    path,
    must(command) {
      const done = spawnSync(command[0]!, command.slice(1), { env, encoding: 'utf8' })
      if (done.status !== 0) throw new Error(`${command.join(' ')} failed:\n${done.stderr}`)
    },
    async registry(name) {
      const port = await freePort()
      mkdirSync(path(name))
      const config = `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${path(name)}}, delete: {enabled: true}}\nhttp: {addr: "127.0.0.1:${port}"}\n`
      writeFileSync(path(`${name}.yml`), config)
      servers.push(spawn('docker-registry', ['serve', path(`${name}.yml`)], { stdio: 'ignore' }))
      for (let attempt = 0; attempt < 100; attempt++) {
        if ((await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined))?.ok) return `127.0.0.1:${port}`
        await new Promise((done) => setTimeout(done, 50))
      }
      throw new Error('docker-registry did not start')
    },
    [Symbol.dispose]() {
      for (const server of servers) server.kill()
      spawnSync('podman', ['--root', path('podman'), 'rm', '-af'], { env, stdio: 'ignore' })
      spawnSync('sh', ['-c', `grep ' ${directory}' /proc/mounts | cut -d' ' -f2 | sort -r | xargs -r umount`])
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => done(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
