import { accessSync, constants, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { StaveError } from '#error.ts'
import type { Flags } from './command.ts'
import type { Settings } from './settings.ts'

export const runtimeFlag = {
  runtime: { kind: 'string', value: 'NAME|PATH', doc: 'OCI runtime that makes it: runc, crun, … (default stave; docs/runtime.md)' },
} as const satisfies Flags

/** What containerd calls those that have a command line, and Stave's own. */
const otherNames: Readonly<Record<string, string>> = {
  'io.containerd.runc.v2': 'runc',
  'io.containerd.runsc.v1': 'runsc',
  'stave-runtime': 'stave',
}

/** Programs of that kind that no engine can call so, and what to do instead. */
const notSo: Readonly<Record<string, string>> = {
  'systemd-nspawn': 'Write a bundle: stave bundle IMAGE DIR, and systemd-nspawn --oci-bundle=DIR.',
  kata: 'Kata Containers have no command line for it since 2.0: they need containerd.',
  'kata-runtime': 'Kata Containers have no command line for it since 2.0: they need containerd.',
  'io.containerd.kata.v2': 'Kata Containers have no command line for it since 2.0: they need containerd.',
  runhcs: 'Containers of Windows run on Windows: stave pulls, copies and inspects their images.',
  'io.containerd.runhcs.v1': 'Containers of Windows run on Windows: stave pulls, copies and inspects their images.',
}

/** Where administrators' programs are, if PATH does not say so. */
const usual = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/**
 * The program of an OCI runtime, by its name or path.
 *
 * @returns its absolute path; nothing for Stave's own
 * @throws StaveError `not-found`, with where it was looked for; `unsupported`
 */
export function findRuntime(text: string | undefined, settings: Pick<Settings, 'cwd' | 'env'>): string | undefined {
  if (text === undefined || text === '') return undefined
  const name = otherNames[text] ?? text
  if (name === 'stave') return undefined
  const instead = notSo[name]
  if (instead !== undefined) throw new StaveError('unsupported', `--runtime ${text}: it cannot run containers for stave`, { hint: instead })
  const directories = [...new Set([...(settings.env['PATH'] ?? '').split(':').filter((path) => path.startsWith('/')), ...usual])]
  const candidates = name.includes('/') ? [resolve(settings.cwd, name)] : directories.map((directory) => join(directory, name))
  const found = candidates.find(isProgram)
  if (found !== undefined) return found
  const where = name.includes('/') ? 'it is not an executable file' : `there is no such program in ${directories.join(', ')}`
  throw new StaveError('not-found', `--runtime ${text}: ${where}`, {
    hint: 'Install it, name its path, or leave --runtime out: then the runtime of Stave makes the container.',
  })
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
