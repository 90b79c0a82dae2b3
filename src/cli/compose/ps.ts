import { portsText } from '#container/port.ts'
import { reapContainers } from '#container/container.ts'
import { StaveError } from '#error.ts'
import type { Invocation } from '../command.ts'
import { formatAge, printList } from '../output/table.ts'
import { statusText } from '../containers/status-text.ts'
import { openSession } from '../session.ts'
import type { psFlags } from './commands.ts'
import { chosenMembers, isRunning, openNamed } from './project.ts'

export async function run(invocation: Invocation<typeof psFlags>): Promise<void> {
  const { cx, flags, args, settings, report } = invocation
  await using session = await openSession(settings)
  await reapContainers(cx, session.store)
  const named = await openNamed(invocation)
  const states = [...flags.status, ...(flags.filter === undefined ? [] : [stateOf(flags.filter)])]
  const shown = chosenMembers(session.store, named, args, { oneOff: flags.all === true })
    .filter(({ container }) => flags.all === true || states.length > 0 || isRunning(container))
    .filter(({ container }) => states.length === 0 || states.includes(container.status.state))
  if (flags.services) return [...new Set(shown.map(({ service }) => service))].forEach((name) => report.print(name))
  if (flags.quiet) return shown.forEach(({ container }) => report.print(container.id))
  printList(
    report,
    shown,
    [
      { heading: 'NAME', value: ({ container }) => container.name },
      { heading: 'IMAGE', value: ({ container }) => container.image },
      { heading: 'COMMAND', value: ({ container }) => JSON.stringify(container.spec.args.join(' ')).slice(0, 24) },
      { heading: 'SERVICE', value: ({ service }) => service },
      { heading: 'CREATED', value: ({ container }) => formatAge(new Date(container.createdAt)) },
      { heading: 'STATUS', value: ({ container }) => statusText(container, undefined) },
      { heading: 'PORTS', value: ({ container }) => portsText(container) },
    ],
    (member) => {
      const { container, service } = member
      return {
        ID: container.id,
        Name: container.name,
        Names: container.name,
        Image: container.image,
        Command: JSON.stringify(container.spec.args.join(' ')),
        Project: named.name,
        Service: service,
        CreatedAt: container.createdAt,
        State: container.status.state,
        Status: statusText(container, undefined),
        Health: '',
        ExitCode: container.status.exitCode ?? 0,
        Ports: portsText(container),
        Labels: Object.entries(container.labels)
          .map(([key, value]) => `${key}=${value}`)
          .join(','),
      }
    },
    { format: flags.format === 'table' ? undefined : flags.format },
  )
}

function stateOf(filter: string): string {
  const [, state] = /^status=(.+)$/.exec(filter) ?? []
  if (state === undefined) throw new StaveError('usage', `--filter takes status=STATE, not ${JSON.stringify(filter)}`)
  return state
}
