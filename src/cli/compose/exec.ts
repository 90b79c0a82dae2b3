import { execContainer } from '#container/exec.ts'
import type { Invocation } from '../command.ts'
import { containerStdio } from '../containers/stdio.ts'
import { environmentWords } from '../key-values.ts'
import { openSession } from '../session.ts'
import type { execFlags } from './commands.ts'
import { memberOf, openNamed } from './project.ts'

/** Runs a command in a container of a service. @returns its exit status */
export async function run(invocation: Invocation<typeof execFlags>): Promise<number> {
  const { cx, flags, args, settings } = invocation
  const [service = '', ...command] = args
  await using session = await openSession(settings)
  const { name } = await openNamed(invocation)
  const container = memberOf(session.store, name, service, flags.index)
  const tty = flags.tty ?? (flags['no-tty'] !== true && flags.detach !== true && process.stdin.isTTY && process.stdout.isTTY)
  const interactive = flags.interactive ?? flags.detach !== true
  return await execContainer(
    cx,
    session.store,
    container,
    {
      command,
      env: environmentWords(flags.env, settings),
      terminal: tty,
      interactive,
      privileged: flags.privileged ?? false,
      detach: flags.detach ?? false,
      ...(flags.user !== undefined && { user: flags.user }),
      ...(flags.workdir !== undefined && { workdir: flags.workdir }),
    },
    containerStdio({ interactive, tty, detach: flags.detach }),
  )
}
