import type { Stdio } from '#runner/stdio.ts'

/**
 * The caller's own streams, handed to the container: no byte of them passes through this process.
 *
 * @param flags `attach` names the streams, where not all are wanted.
 */
export function containerStdio(flags: {
  readonly interactive?: boolean | undefined
  readonly tty?: boolean | undefined
  readonly detach?: boolean | undefined
  readonly attach?: readonly string[] | undefined
}): Stdio {
  const wants = (stream: string) => !flags.detach && (!flags.attach?.length || flags.attach.includes(stream))
  return {
    stdin: wants('stdin') && (flags.interactive || flags.tty) ? 'inherit' : 'ignore',
    stdout: wants('stdout') ? 'inherit' : 'ignore',
    stderr: wants('stderr') ? 'inherit' : 'ignore',
  }
}
