import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { has, type Machine } from './machine.ts'
import type { Case } from './workloads.ts'

const checkout = join(import.meta.dirname, '../..')

/** The OCI runtimes that work here, on one bundle: as `run`, and as engines call them. */
export function runtimeWorkloads(machine: Machine, base: string): readonly (readonly [string, readonly Case[]])[] {
  const bundle = machine.path('bundle')
  const programs = [
    ['stave', join(checkout, 'dist/stave-runtime')] as const,
    ...['runc', 'crun'].filter(has).map((name) => [name, name] as const),
  ]
  const cases = (script: (runtime: string) => string): readonly Case[] =>
    programs.map(([tool, program]) => ({
      tool,
      first: () => prepare(machine, base, bundle),
      command: ['sh', '-c', script(`${program} --root ${machine.path(`state-${tool}`)}`)],
      possible: () => spawnSync(program, ['--root', machine.path(`state-${tool}`), 'run', '--bundle', bundle, 'bench-first']).status === 0,
    }))
  return [
    ['bundle-run', cases((runtime) => `exec ${runtime} run --bundle ${bundle} bench`)],
    [
      'bundle-start',
      cases((runtime) => `${runtime} create --bundle ${bundle} bench && ${runtime} start bench && ${runtime} delete --force bench`),
    ],
  ]
}

function prepare(machine: Machine, base: string, bundle: string): void {
  if (existsSync(bundle)) return
  const stave = join(checkout, 'bin/stave')
  machine.must([stave, 'pull', '-q', base])
  machine.must([stave, 'bundle', '-q', base, bundle, 'true'])
}
