import type { Stdio } from '#runner/runner.ts'

/** The caller's own streams, handed to the container: no byte of them passes through this process. */
export function containerStdio(flags: {
  readonly interactive?: boolean | undefined
  readonly tty?: boolean | undefined
  readonly detach?: boolean | undefined
}): Stdio {
  if (flags.detach) return { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' }
  return { stdin: flags.interactive || flags.tty ? 'inherit' : 'ignore', stdout: 'inherit', stderr: 'inherit' }
}
