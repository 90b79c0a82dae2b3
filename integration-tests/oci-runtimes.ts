/** The OCI runtimes of this machine, for tests. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Outcome, User } from './stave.ts'

export interface OciRuntime {
  readonly name: string
  /** A path. */
  readonly program: string
  /** Why it cannot be tried here. */
  readonly why?: string
}

const ours = join(import.meta.dirname, '../dist/stave-runtime')

/** This one and those of others. Every one is listed, with a reason if it cannot be tried. */
export function ociRuntimes(who: 'root' | 'user'): readonly OciRuntime[] {
  const isRoot = process.getuid?.() === 0
  const why = who === 'root' && !isRoot ? ', skipped: this is not root' : undefined
  return [
    { name: 'stave-runtime', program: ours, ...(why !== undefined && { why }) },
    ...['runc', 'crun'].map((name) => other(name, who, why)),
  ]
}

function other(name: string, who: 'root' | 'user', why: string | undefined): OciRuntime {
  const program = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim()
  if (program === '') return { name, program, why: `, skipped: ${name} is missing` }
  if (why !== undefined) return { name, program, why }
  if (name !== 'crun' || !isHybrid()) return { name, program }
  // crun refuses machines that have both versions of control groups, so it is shown one.
  if (who === 'user') return { name, program, why: ', skipped: crun refuses both versions of control groups' }
  const wrapper = join(mkdtempSync(join(tmpdir(), 'stave-crun-')), 'crun')
  const unmounted = `umount /sys/fs/cgroup/unified && exec ${program} "$@"`
  writeFileSync(wrapper, `#!/bin/sh\nexec unshare --mount sh -c '${unmounted}' crun "$@"\n`, { mode: 0o755 })
  return { name, program: wrapper }
}

function isHybrid(): boolean {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
  return / - cgroup2 /.test(mounts) && / - cgroup /.test(mounts)
}

/** Runs a bundle to its end, with a directory of its own for the runtime's state. */
export function runBundle({ program }: OciRuntime, bundle: string, directory: string, user?: User): Outcome {
  const root = mkdtempSync(join(directory, 'state-'))
  if (user !== undefined) spawnSync('chown', [String(user.uid), root])
  const { status, stdout, stderr } = spawnSync(program, ['--root', root, 'run', '--bundle', bundle, basename(root)], {
    encoding: 'utf8',
    input: '',
    cwd: directory,
    env: { PATH: process.env['PATH'], HOME: directory },
    ...(user !== undefined && process.getuid?.() === 0 && user),
  })
  return { status, stdout, stderr }
}
