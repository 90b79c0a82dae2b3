import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { StaveError } from '#error.ts'
import type { Invocation } from '../command.ts'
import type { configFlags } from './commands.ts'
import { hashOf, imageOf, openProject } from './project.ts'

/** Shows what the files of a project come to. */
export async function run(invocation: Invocation<typeof configFlags>): Promise<void> {
  const { flags, args, settings, report } = invocation
  const { project, all } = await openProject(invocation, args)
  if (flags.quiet) return
  const names = (values: Iterable<string>): void => [...new Set(values)].toSorted().forEach((name) => report.print(name))
  const { services } = project
  if (flags.services) return names(Object.keys(services))
  if (flags.volumes) return names(Object.keys(project.volumes))
  if (flags.networks) return names(Object.keys(project.networks))
  if (flags.images) return names(Object.entries(services).map(([name, service]) => imageOf(project, name, service)))
  if (flags.profiles) return names(Object.values(all).flatMap(({ profiles }) => profiles ?? []))
  if (flags.hash !== undefined) {
    const wanted = flags.hash === '*' ? Object.keys(services) : flags.hash.split(',')
    for (const name of wanted.toSorted()) {
      if (!Object.hasOwn(services, name)) throw new StaveError('not-found', `there is no service ${name}`)
      report.print(`${name} ${hashOf(services[name]!)}`)
    }
    return
  }
  const document = sorted({
    name: project.name,
    services,
    ...Object.fromEntries(
      (['networks', 'volumes', 'configs', 'secrets'] as const).flatMap((kind) =>
        Object.keys(project[kind]).length === 0 ? [] : [[kind, project[kind]]],
      ),
    ),
  })
  const { stringify } = await import('yaml')
  const text =
    flags.format === 'json'
      ? `${JSON.stringify(document, undefined, 2)}\n`
      : stringify(escaped(document), { lineWidth: 0, aliasDuplicateObjects: false })
  if (flags.output === undefined) report.write(text)
  else writeFileSync(resolve(settings.cwd, flags.output), text)
}

/** Read again, it must come to the same: a dollar sign is one. */
function escaped(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('$', '$$$$')
  if (Array.isArray(value)) return value.map(escaped)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, escaped(part)]))
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, part]) => [name, sorted(part)]),
  )
}
