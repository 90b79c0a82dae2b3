import { StaveError } from '#error.ts'
import type { ProbeResult } from '#runner/protocol.ts'
import { doctor } from '#store/doctor.ts'
import type { StorageDriver } from '#store/snapshots.ts'
import type { Invocation } from '../command.ts'
import type { Report } from '../output/report.ts'
import { openSession } from '../session.ts'
import type { doctorFlags } from './commands.ts'

/** Says what the machine allows, and whether the store is whole. @returns 1 if something is wrong with it */
export async function run({ cx, flags, settings, report }: Invocation<typeof doctorFlags>): Promise<number> {
  await using session = await openSession(settings)
  // Where the native program does not even start, the store can be looked at all the same.
  const machine = await session.runner.probe(cx).catch((error: unknown) => {
    if (!(error instanceof StaveError) || error.code === 'cancelled') throw error
    return error
  })
  const problems = await doctor(cx, session.store, { verify: flags.verify ?? false, repair: flags.repair ?? false })
  const open = problems.filter(({ repaired }) => !repaired)
  if (flags.json) report.json({ machine: machine instanceof StaveError ? { problem: machine.message } : machine, problems })
  else {
    if (machine instanceof StaveError) report.error(machine)
    else printMachine(report, machine, settings.storageDriver)
    report.print(`store:     ${settings.root}`)
    for (const { kind, message, repaired } of problems) report.print(`${repaired ? 'repaired' : 'problem'}:  ${kind}: ${message}`)
    report.print(
      open.length === 0
        ? 'The store is whole.'
        : `${open.length} problem${open.length === 1 ? '' : 's'}. stave doctor --repair mends them.`,
    )
  }
  return machine instanceof StaveError || open.some(({ kind }) => kind !== 'leftover') ? 1 : 0
}

/** How layers are kept, and why so. */
function layers(machine: ProbeResult, driver: StorageDriver): string {
  if (driver === 'dir') return `unpacked (dir)${machine.erofs ? '; --storage-driver erofs could mount them' : ''}`
  if (machine.erofs) return 'mounted (erofs)'
  const why = machine.whyNoErofs ?? 'they cannot be mounted'
  return driver === 'erofs' ? `erofs is asked for and cannot be used: ${why}` : `unpacked (dir): ${why}`
}

function printMachine(report: Report, machine: ProbeResult, driver: StorageDriver): void {
  report.print(`isolation: ${machine.isolation}`)
  report.print(`kernel:    ${machine.kernel} ${machine.architecture}`)
  report.print(`cgroups:   ${machine.cgroup}${machine.controllers.length > 0 ? ` (${machine.controllers.join(', ')})` : ''}`)
  report.print(
    `overlay:   ${machine.overlay ? 'yes' : 'no'}, seccomp: ${machine.seccomp ? 'yes' : 'no'}, landlock: ${machine.landlock || 'no'}, reflink: ${machine.reflink ? 'yes' : 'no'}`,
  )
  report.print(`layers:    ${layers(machine, driver)}`)
  for (const sentence of machine.missing) report.print(`missing:   ${sentence}`)
}
