import { readBuild } from '#builder/record/record.ts'
import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { buildRecordFlags } from './flags.ts'

/** Tells of a build that is over which steps were cached, and why the others were not. */
export async function run({ flags, args, settings, report }: Invocation<typeof buildRecordFlags>): Promise<void> {
  await using session = await openSession(settings)
  const record = await readBuild(session.store, args[0])
  if (flags.json) return report.json(record)
  report.print(`build ${record.id}`)
  for (const step of record.steps) {
    report.print(`${step.state.padEnd(9)} ${step.title}`)
    for (const line of step.because ?? []) report.print(`          ${line}`)
  }
}
