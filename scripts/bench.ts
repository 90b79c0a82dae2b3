/**
 * Times the everyday workloads with Stave and with every peer that is installed, in turn and in one run, and prints a
 * table of medians with the ratio to the fastest peer. Needs root (the peers do), docker-registry, skopeo, busybox-static.
 *
 *     npm run bench [-- -r RUNS] [WORKLOAD...]      build cached copy push pull run-host run-none
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { measure, type Sample } from './bench/measure.ts'
import { makeTree } from './bench/tree.ts'

const root = join(import.meta.dirname, '..')
const stave = join(root, 'bin/stave')
const words = process.argv.slice(2)
const runsAt = words.indexOf('-r')
const runs = runsAt < 0 ? 5 : Number(words.splice(runsAt, 2)[1])

interface Case {
  readonly tool: string
  readonly command: readonly string[]
  /** Before each run, not timed. */
  prepare?(): void
  readonly warm?: boolean
}

const work = mkdtempSync(join(tmpdir(), 'stave-bench-'))
const servers: ChildProcess[] = []
const env: NodeJS.ProcessEnv = { ...process.env, STAVE_ROOT: join(work, 'stave') }

const has = (program: string) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
const quietly = (command: readonly string[]) => spawnSync(command[0]!, command.slice(1), { env, stdio: 'ignore' })
function must(command: readonly string[]): void {
  const done = spawnSync(command[0]!, command.slice(1), { env, encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`${command.join(' ')} failed:\n${done.stderr}`)
}

try {
  await main()
} finally {
  for (const server of servers) server.kill()
  quietly(['podman', '--root', join(work, 'podman'), 'rm', '-af'])
  spawnSync('sh', ['-c', `grep ' ${work}' /proc/mounts | cut -d' ' -f2 | sort -r | xargs -r umount`])
  rmSync(work, { recursive: true, force: true })
}

async function main(): Promise<void> {
  for (const program of ['docker-registry', 'skopeo', 'busybox', 'mmdebstrap']) {
    if (!has(program)) throw new Error(`${program} is missing; run: sh scripts/setup.sh --peers`)
  }
  const source = await registry('source')
  const target = await registry('target')
  inputs(source)
  const wanted = (workload: string) => words.length === 0 || words.includes(workload)
  console.log(`workload\ttool\tmedian_s\tmin\tmax\tcpu_s\tpeak_mb\tto_best_peer   (${runs} runs each, in turn)`)
  for (const [workload, cases] of workloads(source, target)) if (wanted(workload)) await bench(workload, cases)
}

function workloads(source: string, target: string): [string, Case[]][] {
  const [busybox, debian] = [`${source}/busybox`, `${source}/debian`]
  const runtime = has('runc') ? ['--runtime', 'runc'] : []
  const podman = [
    'podman',
    '--root',
    join(work, 'podman'),
    '--runroot',
    join(work, 'run-podman'),
    '--cgroup-manager',
    'cgroupfs',
    '--events-backend',
    'file',
    ...runtime,
  ]
  const buildah = ['buildah', '--root', join(work, 'buildah'), '--runroot', join(work, 'run-buildah')]
  const bases = (tool: readonly string[]) =>
    [busybox, debian].forEach((image) => must([...tool, 'pull', '-q', '--tls-verify=false', image]))
  const emptied = (tool: string, again: readonly string[]) => () => {
    rmSync(join(work, tool), { recursive: true, force: true })
    bases(again)
    if (tool === 'stave') for (const image of [busybox, debian]) must([stave, 'run', '--rm', '--network', 'none', image, 'true'])
  }
  const wiped = () => rmSync(join(work, 'target/docker'), { recursive: true, force: true })
  const peers: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['stave', [stave], [stave, 'build', '--network', 'host']],
    ...(has('buildah')
      ? ([
          ['buildah', buildah, [...buildah, 'bud', '--layers', '--isolation', 'chroot', '--network', 'host', '--tls-verify=false']],
        ] as const)
      : []),
    ...(has('podman') ? ([['podman', podman, [...podman, 'build', '--network', 'host', '--tls-verify=false']]] as const) : []),
  ]
  const builds = (context: string, name: string, options: { warm: boolean }) =>
    peers.map(([tool, base, build]): Case => ({
      tool,
      command: [...build, '-t', name, join(work, context)],
      ...(options.warm ? { warm: true } : { prepare: emptied(tool, base) }),
    }))
  const pushes = peers.map(([tool, base]): Case => ({
    tool,
    command: [...base, 'push', '-q', '--tls-verify=false', 't3', `${tool === 'podman' ? '' : 'docker://'}${target}/${tool}:1`],
    prepare: wiped,
  }))
  const pulls = peers.map(([tool]): Case => {
    const place = join(work, `pull-${tool}`)
    const prepare = () => {
      spawnSync('umount', ['-q', join(place, 'overlay')])
      rmSync(place, { recursive: true, force: true })
    }
    const image = `${source}/big`
    if (tool === 'stave')
      return {
        tool,
        prepare,
        command: [
          'env',
          `STAVE_ROOT=${place}`,
          'sh',
          '-c',
          `${stave} pull -q ${image} && exec ${stave} run --rm --network none ${image} true`,
        ],
      }
    return {
      tool,
      prepare,
      command: [tool, '--root', place, '--runroot', join(work, `run-${tool}-pull`), 'pull', '-q', '--tls-verify=false', image],
    }
  })
  const starts = (network: string) =>
    peers
      .filter(([tool]) => tool !== 'buildah')
      .map(([tool, base]): Case => ({ tool, warm: true, command: [...base, 'run', '--rm', '--network', network, busybox, 'true'] }))
  return [
    ['build', builds('small', 't1', { warm: false })],
    ['cached', builds('small', 't1', { warm: true })],
    ['copy', builds('copy', 't3', { warm: false })],
    ['push', pushes],
    ['pull', pulls],
    ['run-host', starts('host')],
    ['run-none', starts('none')],
  ]
}

/** Runs the tools in turn, so that a machine that drifts is as slow for one as for the other. */
async function bench(workload: string, cases: readonly Case[]): Promise<void> {
  const samples = new Map<string, Sample[]>(cases.map(({ tool }) => [tool, []]))
  for (let run = 0; run < runs; run++) {
    for (const one of cases) {
      if (run === 0 && one.warm) must(one.command)
      one.prepare?.()
      spawnSync('sync')
      samples.get(one.tool)!.push(await measure(one.command, env))
    }
  }
  const medians = new Map([...samples].map(([tool, list]) => [tool, median(list.map(({ wallS }) => wallS))]))
  const best = Math.min(...[...medians].filter(([tool]) => tool !== 'stave').map(([, value]) => value))
  for (const [tool, list] of samples) {
    const walls = list.map(({ wallS }) => wallS)
    const own = medians.get(tool)!
    const row = [own, Math.min(...walls), Math.max(...walls), median(list.map(({ cpuS }) => cpuS))].map((value) => value.toFixed(3))
    console.log(
      [
        workload,
        tool,
        ...row,
        Math.max(...list.map(({ peakMb }) => peakMb)).toFixed(0),
        Number.isFinite(best) ? (own / best).toFixed(2) : '-',
      ].join('\t'),
    )
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

async function registry(name: string): Promise<string> {
  const port = await freePort()
  const directory = join(work, name)
  mkdirSync(directory)
  const config = `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${directory}}, delete: {enabled: true}}\nhttp: {addr: "127.0.0.1:${port}"}\n`
  writeFileSync(`${directory}.yml`, config)
  servers.push(spawn('docker-registry', ['serve', `${directory}.yml`], { stdio: 'ignore' }))
  for (let attempt = 0; attempt < 100; attempt++) {
    if ((await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined))?.ok) return `127.0.0.1:${port}`
    await new Promise((done) => setTimeout(done, 50))
  }
  throw new Error('docker-registry did not start')
}

function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => done(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

/** Base images, contexts and an image of 20,000 files, all made here. */
function inputs(source: string): void {
  const busybox = join(work, 'busybox')
  mkdirSync(join(busybox, 'bin'), { recursive: true })
  for (const directory of ['dev', 'etc', 'proc', 'root', 'sys', 'tmp']) mkdirSync(join(busybox, directory))
  must([
    'sh',
    '-c',
    `cp "$(command -v busybox)" ${busybox}/bin/busybox && for a in $(busybox --list); do [ $a = busybox ] || ln -sf busybox ${busybox}/bin/$a; done; tar -C ${busybox} -cf ${work}/busybox.tar .`,
  ])
  const debian = join(root, '.setup/debian.tar')
  if (!existsSync(debian)) must(['sh', join(root, 'scripts/debian-root.sh'), debian])
  const copy = ['skopeo', 'copy', '-q', '--src-tls-verify=false', '--dest-tls-verify=false']
  must([...copy, `tarball:${work}/busybox.tar`, `docker://${source}/busybox`])
  must([...copy, `tarball:${debian}`, `docker://${source}/debian`])

  const small = join(work, 'small')
  mkdirSync(small)
  for (const name of ['a', 'b', 'c']) writeFileSync(join(small, `${name}.txt`), `file ${name}\n`)
  const steps = [
    'ENV A=1',
    'WORKDIR /app',
    'COPY a.txt /app/',
    'RUN echo one $A > one',
    'ENV B=2',
    'COPY b.txt /app/',
    'RUN echo two > two',
    'WORKDIR /srv',
    'RUN echo three > three',
    'COPY c.txt .',
    'RUN mkdir -p x/y && echo four > x/y/four',
    'CMD ["true"]',
  ]
  writeFileSync(join(small, 'Dockerfile'), `FROM ${source}/busybox\n${steps.join('\n')}\n`)

  makeTree(join(work, 'copy/tree'))
  writeFileSync(join(work, 'copy/Dockerfile'), `FROM ${source}/debian\nCOPY tree /srv/tree\nRUN cd /srv/tree/pkg00/lib00 && touch f0*\n`)
  // What is pulled is made by a peer where there is one: then it favours nobody's own layers.
  if (has('buildah')) {
    const buildah = ['buildah', '--root', join(work, 'maker'), '--runroot', join(work, 'run-maker')]
    must([
      ...buildah,
      'bud',
      '--layers',
      '--isolation',
      'chroot',
      '--network',
      'host',
      '--tls-verify=false',
      '-t',
      'big',
      join(work, 'copy'),
    ])
    must([...buildah, 'push', '-q', '--tls-verify=false', 'big', `docker://${source}/big:latest`])
  } else must([stave, 'build', '-t', `${source}/big`, '--push', join(work, 'copy')])
}
