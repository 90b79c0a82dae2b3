import type { Invocation } from '../command.ts'
import { openSession } from '../session.ts'
import type { jsonFlag } from './commands.ts'
import { compileTemplate } from '../output/template.ts'
import { version } from '../version.ts'

export async function run({ cx, flags, settings, report }: Invocation<typeof jsonFlag>): Promise<void> {
  await using session = await openSession(settings)
  const info = {
    version,
    node: process.versions.node,
    root: settings.root,
    rootless: settings.uid !== 0,
    machine: await session.runner.probe(cx),
  }
  if (flags.format !== undefined && flags.format !== 'json') return report.print(compileTemplate(flags.format)(info))
  report.json(info)
}
