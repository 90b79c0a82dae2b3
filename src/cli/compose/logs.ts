import { logTimes } from '../containers/logs.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { composeLogsFlags } from './commands.ts'
import { showLines } from './log-lines.ts'
import { chosenMembers, openNamed } from './project.ts'

export async function run(invocation: Invocation<typeof composeLogsFlags>): Promise<void> {
  const { cx, flags, args, settings, report } = invocation
  await using session = await openSession(settings)
  const members = chosenMembers(session.store, await openNamed(invocation), args)
  const shown = members.filter(({ container, number }) => container.log !== false && (flags.index === undefined || number === flags.index))
  await showLines(cx, session.store, shown, {
    ...logTimes(flags),
    follow: flags.follow ?? false,
    prefix: flags['no-log-prefix'] !== true,
    color: report.color && process.stdout.isTTY && flags['no-color'] !== true,
    timestamps: flags.timestamps ?? false,
  })
}
