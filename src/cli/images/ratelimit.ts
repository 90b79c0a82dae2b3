import { StaveError } from '#error.ts'
import { parseReference } from '#oci/reference.ts'
import type { Invocation } from '../command.ts'
import { openClient } from '../places.ts'
import type { validateFlags } from './verb-commands.ts'

/** Prints how many pulls are left. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof validateFlags>): Promise<void> {
  const reference = parseReference(args[0]!.replace(/^docker:\/\//, ''))
  await using client = await openClient(settings, flags)
  const found = await client.open(reference).rateLimit(cx, reference.digest ?? reference.tag ?? 'latest')
  if (flags.json) return report.json(found ?? null)
  if (found === undefined)
    throw new StaveError('unsupported', `cannot tell the limit of ${reference.registry}: it does not say that it has one`)
  const { remaining, limit, windowS, source } = found
  const of = limit === undefined ? '' : ` of ${limit}`
  const each = windowS === undefined ? '' : ` in ${Math.round(windowS / 360) / 10} h`
  report.print(`${remaining}${of} pulls left${each}${source === undefined ? '' : `, counted for ${source}`}`)
}
