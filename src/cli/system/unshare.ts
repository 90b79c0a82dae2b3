import { StaveError } from '#error.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'

/** Runs a command, a shell by default, as root of the user namespace in which the store's files have their owners. @returns its exit status */
export async function run({ cx, args, settings, shareSignals }: Invocation): Promise<number> {
  if (settings.uid === 0) {
    throw new StaveError('usage', 'stave unshare is for ordinary users: root sees the files of a store as they are', {
      exitCode: 125,
    })
  }
  await using session = await openSession(settings)
  const env = Object.entries({ ...settings.env, STAVE_ROOT: settings.root }).map(([name, value]) => `${name}=${value ?? ''}`)
  const { exitCode } = await session.runner.unshare(
    cx,
    { args: args.length > 0 ? args : [settings.env['SHELL'] || '/bin/sh'], env },
    { stdin: 'inherit', stdout: 'inherit', stderr: 'inherit' },
    shareSignals,
  )
  return exitCode ?? 0
}
