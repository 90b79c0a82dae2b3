import { check } from '#builder/check.ts'
import { StaveError } from '#error.ts'
import { outlineJson, targetsJson } from '#dockerfile/call-json.ts'
import { listTargets, outline } from '#dockerfile/outline.ts'
import type { Report } from '../output/report.ts'
import { printList } from '../output/table.ts'
import { withBuildOptions, type CheckJob } from './check.ts'

export interface Call {
  readonly what: 'build' | 'check' | 'outline' | 'targets'
  readonly format?: string
}

/** `--call=WHAT[,format=text|json|sarif]`, as buildx has it. @throws StaveError `usage` */
export function parseCall(text: string): Call {
  const [what = '', ...rest] = text.split(',')
  if (what !== 'build' && what !== 'check' && what !== 'outline' && what !== 'targets')
    throw new StaveError('usage', `stave build: --call takes build, check, outline or targets, not ${JSON.stringify(what)}`)
  const bad = rest.find((word) => !/^format=(text|json)$/.test(word) && !(what === 'check' && word === 'format=sarif'))
  if (bad !== undefined) {
    throw new StaveError('usage', `stave build: --call=${text}: ${bad} is not understood`, {
      hint: 'There are format=text and format=json.',
    })
  }
  const format = rest.at(-1)?.slice('format='.length)
  return { what, ...(format !== undefined && { format }) }
}

/** `stave build --call=outline|targets`: what can be given to a build, and what can be built. */
export async function describe(job: CheckJob & { readonly what: 'outline' | 'targets' }): Promise<number> {
  const { dockerfile, stageOptions, text } = await withBuildOptions(job, (options) => check(job.cx, options))
  if (job.format === 'json') {
    job.report.json(
      job.what === 'targets' ? targetsJson(listTargets(dockerfile), text) : outlineJson(outline(dockerfile, stageOptions), text),
    )
  } else if (job.what === 'targets') printTargets(job.report, listTargets(dockerfile))
  else printOutline(job.report, outline(dockerfile, stageOptions))
  return 0
}

function printTargets(report: Report, targets: ReturnType<typeof listTargets>): void {
  printList(
    report,
    targets,
    [
      { heading: 'TARGET', value: (target) => `${target.name ?? target.index}${target.isDefault ? ' (default)' : ''}` },
      { heading: 'BASE', value: ({ base }) => base },
      { heading: 'DESCRIPTION', value: ({ description }) => description ?? '' },
    ],
    (target) => target,
    {},
  )
}

function printOutline(report: Report, shown: ReturnType<typeof outline>): void {
  if (shown.target !== undefined) report.print(`TARGET:      ${shown.target}`)
  if (shown.description !== undefined) report.print(`DESCRIPTION: ${shown.description}`)
  if (shown.arguments.length > 0) {
    report.print('')
    printList(
      report,
      shown.arguments,
      [
        { heading: 'BUILD ARG', value: ({ name }) => name },
        { heading: 'VALUE', value: ({ value }) => value ?? '' },
        { heading: 'DESCRIPTION', value: ({ description }) => description ?? '' },
      ],
      (argument) => argument,
      {},
    )
  }
  for (const [heading, needs] of [
    ['SECRET', shown.secrets],
    ['SSH', shown.ssh],
  ] as const) {
    if (needs.length === 0) continue
    report.print('')
    printList(
      report,
      needs,
      [
        { heading, value: ({ id }) => id },
        { heading: 'REQUIRED', value: ({ required }) => (required ? 'true' : '') },
      ],
      (need) => need,
      {},
    )
  }
}
