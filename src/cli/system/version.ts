import type { Invocation } from '../command.ts'
import type { jsonFlag } from './commands.ts'
import { compileTemplate } from '../output/template.ts'
import { version } from '../version.ts'

export async function run({ flags, report }: Invocation<typeof jsonFlag>): Promise<void> {
  const shown = { version, node: process.versions.node, platform: `linux/${process.arch}` }
  if (flags.json || flags.format === 'json') return report.json(shown)
  if (flags.format !== undefined) return report.print(compileTemplate(flags.format)(shown))
  report.print(`stave ${version}`)
  report.print(`node ${process.versions.node}`)
}
