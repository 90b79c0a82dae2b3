import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { openSaved, type Built } from '../image.ts'
import { commonFlags, execute, reasonOf, type OpenPeer } from './peer.ts'

/** BuildKit as Debian's dockerd has it, on a socket and in directories of its own. */
export const openBuildKit: OpenPeer = async (work, bases) => {
  if (process.getuid?.() !== 0) return 'the Docker daemon needs root'
  if (!existsSync('/usr/sbin/dockerd') || !existsSync('/usr/bin/docker')) return "Debian's docker.io is not installed"
  const home = join(work, 'docker')
  mkdirSync(home, { recursive: true })
  const socket = `unix://${home}/socket`
  const env = { DOCKER_HOST: socket, DOCKER_BUILDKIT: '1', BUILDKIT_PROGRESS: 'plain', DOCKER_CONFIG: home }
  const docker = (...args: readonly string[]) => execute('/usr/bin/docker', args, { env })

  writeFileSync(join(home, 'daemon.json'), JSON.stringify({ 'deprecated-key-path': join(home, 'key.json') }))
  const log = openSync(join(home, 'log'), 'w')
  const daemon = spawn(
    '/usr/sbin/dockerd',
    [
      ...['--host', socket, '--data-root', join(home, 'data'), '--exec-root', join(home, 'exec'), '--pidfile', join(home, 'pid')],
      ...['--config-file', join(home, 'daemon.json'), '--iptables=false', '--ip6tables=false', '--bridge=none'],
    ],
    { stdio: ['ignore', log, log] },
  )
  closeSync(log)
  const ended = new Promise<void>((resolve) => daemon.on('exit', () => resolve()))
  const stop = async (): Promise<void> => {
    daemon.kill('SIGTERM')
    await Promise.race([ended, setTimeout(20_000, undefined, { ref: false })])
    rmSync(home, { recursive: true, force: true })
  }
  for (let tries = 0; (await docker('version')).status !== 0; tries++) {
    if (tries > 60 || daemon.exitCode !== null) {
      const reason = reasonOf(readFileSync(join(home, 'log'), 'utf8'))
      await stop()
      return `the Docker daemon did not start: ${reason}`
    }
    await setTimeout(500)
  }
  for (const archive of bases.values()) {
    const loaded = await docker('load', '--input', archive)
    if (loaded.status !== 0) {
      await stop()
      return `the Docker daemon does not load images: ${reasonOf(loaded.output)}`
    }
  }
  async function save(tag: string, directory: string): Promise<Built> {
    const inspected = await docker('image', 'inspect', tag)
    const [image] = JSON.parse(inspected.output) as { Config: Record<string, unknown>; RootFS: { Layers?: string[] } }[]
    // What has no layers cannot be saved by this version ("empty export").
    if (image?.RootFS.Layers === undefined) return { config: { config: image?.Config ?? {}, rootfs: {} }, layers: [] }
    mkdirSync(directory)
    const { status, output } = await execute('sh', ['-c', `/usr/bin/docker save ${tag} | tar -x -C ${directory}`], { env })
    if (status !== 0) throw new Error(`docker cannot save ${tag}: ${output}`)
    return openSaved(directory)
  }

  let count = 0
  return {
    async build(one, directory) {
      const tag = `case:${++count}`
      const built = await docker(
        'build',
        '--no-cache',
        '--network',
        'host',
        '--tag',
        tag,
        ...commonFlags(one, directory),
        join(directory, 'context'),
      )
      if (built.status !== 0) return { failed: reasonOf(built.output) }
      return { built: await save(tag, join(work, `buildkit-image-${count}`)) }
    },
    [Symbol.asyncDispose]: stop,
  }
}
