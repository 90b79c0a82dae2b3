import { spawnSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { oneFile } from './inputs.ts'
import { has, type Machine } from './machine.ts'
import { runtimeWorkloads } from './runtimes.ts'

export const stave = join(import.meta.dirname, '../../bin/stave')

/** One tool at one workload. */
export interface Case {
  readonly tool: string
  readonly command: readonly string[]
  /** Before each run, not timed. */
  prepare?(): void
  /** Once before all of them. */
  first?(): void
  /** After that: whether it can do it here. Absent: it can. */
  possible?(): boolean
}

interface Tool {
  readonly name: string
  readonly command: readonly string[]
  readonly build: readonly string[]
  readonly pull: readonly string[]
  readonly push: (target: string) => readonly string[]
  readonly run: readonly string[] | undefined
  /** Forgets all that it has. */
  empty(): void
  /** The command line on a store of its own, which is made empty by `prepare`. Absent: it has only the one. */
  readonly elsewhere?: (place: string) => readonly string[]
}

/** @param withDocker Its daemon takes part, and loses all its images. */
export function workloads(machine: Machine, source: string, target: string, withDocker: boolean): ReadonlyMap<string, readonly Case[]> {
  const tools = toolsOf(machine, withDocker)
  const bases = [`${source}/busybox`, `${source}/debian`]
  const emptied = (tool: Tool) => () => {
    tool.empty()
    for (const base of bases) machine.must([...tool.pull, base])
    // Those of the others are unpacked when they are pulled.
    if (tool.name === 'stave') for (const base of bases) machine.must([...tool.command, 'run', '--rm', '--network', 'none', base, 'true'])
  }
  const build = (context: string, tool: Tool, ...flags: string[]): readonly string[] => [
    ...tool.build,
    ...flags,
    '-t',
    `${target}/${context}-${tool.name}`,
    machine.path(context),
  ]
  const each = (make: (tool: Tool) => Omit<Case, 'tool'>): readonly Case[] => tools.map((tool) => ({ tool: tool.name, ...make(tool) }))
  const uncached = (context: string): readonly Case[] =>
    each((tool) => ({ first: emptied(tool), command: build(context, tool, '--no-cache') }))
  let change = 0
  const starts = (network: string): readonly Case[] =>
    tools.flatMap(({ name, run }) =>
      run === undefined
        ? []
        : [
            {
              tool: name,
              first: () => machine.must([...run, '--network', network, bases[0]!, 'true']),
              command: [...run, '--network', network, bases[0]!, 'true'],
            },
          ],
    )
  return new Map([
    ['build', each((tool) => ({ prepare: emptied(tool), command: build('small', tool) }))],
    ['cached', each((tool) => ({ first: () => machine.must(build('small', tool)), command: build('small', tool) }))],
    ['copy', each((tool) => ({ prepare: emptied(tool), command: build('copy', tool) }))],
    [
      'changed',
      each((tool) => ({
        first: () => machine.must(build('copy', tool)),
        prepare: () => writeFileSync(machine.path(oneFile), `export const change = ${change++}\n`),
        command: build('copy', tool),
      })),
    ],
    [
      'push',
      each((tool) => ({
        first: () => machine.must(build('copy', tool)),
        prepare: () => rmSync(machine.path('target/docker'), { recursive: true, force: true }),
        command: tool.push(`${target}/copy-${tool.name}`),
      })),
    ],
    ['pull', each((tool) => pull(machine, tool, `${source}/big`))],
    ['steps', uncached('steps')],
    ['one-stage', uncached('one-stage')],
    ['stages', uncached('stages')],
    ['apt', uncached('apt')],
    ['run-host', starts('host')],
    ['run-none', starts('none')],
    ...runtimeWorkloads(machine, bases[0]!),
  ])
}

/** Into an empty store. Stave unpacks when a container is to run, so it has to run one. */
function pull(machine: Machine, tool: Tool, image: string): Omit<Case, 'tool'> {
  if (tool.elsewhere === undefined) return { prepare: () => tool.empty(), command: [...tool.pull, image] }
  const place = machine.path(`pull-${tool.name}`)
  const command = tool.elsewhere(place)
  return {
    prepare: () => {
      spawnSync('umount', ['-q', join(place, 'overlay')])
      rmSync(place, { recursive: true, force: true })
    },
    command:
      tool.name === 'stave'
        ? [...command, 'sh', '-c', `${stave} pull -q ${image} && exec ${stave} run --rm --network none ${image} true`]
        : [...command, ...tool.pull.slice(tool.command.length), image],
  }
}

function toolsOf(machine: Machine, withDocker: boolean): readonly Tool[] {
  const tools: Tool[] = [
    {
      name: 'stave',
      command: [stave],
      build: [stave, 'build', '--network', 'host'],
      pull: [stave, 'pull', '-q'],
      push: (name) => [stave, 'push', '-q', name],
      run: [stave, 'run', '--rm'],
      empty: () => rmSync(machine.path('stave'), { recursive: true, force: true }),
      elsewhere: (place) => ['env', `STAVE_ROOT=${place}`],
    },
  ]
  if (has('buildah')) tools.push(ofContainers(machine, 'buildah', []))
  const runtime = has('runc') ? ['--runtime', 'runc'] : []
  if (has('podman')) tools.push(ofContainers(machine, 'podman', ['--cgroup-manager', 'cgroupfs', '--events-backend', 'file', ...runtime]))
  if (withDocker) tools.push(docker)
  return tools
}

function ofContainers(machine: Machine, name: 'buildah' | 'podman', flags: readonly string[]): Tool {
  const at = (place: string): readonly string[] => [name, '--root', place, '--runroot', `${place}-run`, ...flags]
  const command = at(machine.path(name))
  const insecure = '--tls-verify=false'
  return {
    name,
    command,
    build:
      name === 'buildah'
        ? [...command, 'bud', '--layers', '--isolation', 'chroot', '--network', 'host', insecure]
        : [...command, 'build', '--network', 'host', insecure],
    pull: [...command, 'pull', '-q', insecure],
    push: (target) => [...command, 'push', '-q', insecure, target, `docker://${target}`],
    run: name === 'podman' ? [...command, 'run', '--rm'] : undefined,
    empty: () => {
      spawnSync('umount', ['-q', machine.path(name, 'overlay')])
      rmSync(machine.path(name), { recursive: true, force: true })
    },
    elsewhere: at,
  }
}

const docker: Tool = {
  name: 'docker',
  command: ['docker'],
  build: ['docker', 'build', '--network', 'host'],
  pull: ['docker', 'pull', '-q'],
  push: (target) => ['docker', 'push', '-q', target],
  run: ['docker', 'run', '--rm'],
  empty: () =>
    void spawnSync('sh', ['-c', 'docker images -aq | sort -u | xargs -r docker rmi -f; docker builder prune -af'], { stdio: 'ignore' }),
}
