import { networkNames } from '#container/network.ts'
import { portsText } from '#container/port.ts'
import { listContainers, reapContainers, type Container } from '#container/container.ts'
import { readHealth } from '#container/health.ts'
import type { Invocation } from '../command.ts'
import { containerFilter } from './filter.ts'
import { isActive } from './each.ts'
import { statusText } from './status-text.ts'
import { openSession } from '../session.ts'
import { formatAge, printList } from '../output/table.ts'
import type { psFlags } from './commands.ts'

export async function run({ cx, flags, settings, report }: Invocation<typeof psFlags>): Promise<void> {
  await using session = await openSession(settings)
  await reapContainers(cx, session.store)
  const newest = [...listContainers(session.store)].sort((a, b) => (b.createdAt < a.createdAt ? -1 : 1))
  const accepts = containerFilter(flags.filter, newest, session.store)
  const everything = flags.all || flags.latest || flags.last !== undefined || flags.filter.some((text) => /^(status|exited)=/.test(text))
  const shown = newest
    .filter((container) => everything || isActive(container))
    .filter(accepts)
    .slice(0, flags.latest ? 1 : flags.last)
  if (flags.quiet) return shown.forEach(({ id }) => report.print(flags['no-trunc'] ? id : id.slice(0, 12)))
  const id = (container: Container) => (flags['no-trunc'] ? container.id : container.id.slice(0, 12))
  const command = (container: Container) => {
    const text = JSON.stringify(container.spec.args.join(' '))
    return flags['no-trunc'] || text.length <= 24 ? text : `${text.slice(0, 22)}…"`
  }
  const status = (container: Container) => statusText(container, readHealth(session.store, container.id)?.Status)
  printList(
    report,
    shown,
    [
      { heading: 'CONTAINER ID', value: id },
      { heading: 'IMAGE', value: ({ image }) => image },
      { heading: 'COMMAND', value: command },
      { heading: 'CREATED', value: ({ createdAt }) => formatAge(new Date(createdAt)) },
      { heading: 'STATUS', value: status },
      { heading: 'PORTS', value: portsText },
      { heading: 'NAMES', value: ({ name }) => name },
    ],
    (container) => ({
      ID: id(container),
      Names: container.name,
      Image: container.image,
      ImageID: container.imageId,
      Command: command(container),
      Created: formatAge(new Date(container.createdAt)),
      CreatedAt: container.createdAt,
      RunningFor: formatAge(new Date(container.createdAt)),
      State: container.status.state,
      Status: status(container),
      Health: readHealth(session.store, container.id)?.Status ?? '',
      Restarts: container.restarts ?? 0,
      ExitCode: container.status.exitCode,
      Pid: container.status.pid,
      // As docker's templates have them: one text, and one label by its name.
      Labels: Object.entries(container.labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(','),
      Label: (name: unknown) => container.labels[String(name)] ?? '',
      Mounts: mountSources(container).join(','),
      Networks: networkNames(container).join(','),
      Ports: portsText(container),
    }),
    flags,
  )
}

/** In docker's words; how healthy it is, where that is checked. */
/** What stands for its mounts: the volume's name, or the path on this machine. */
function mountSources({ spec }: Container): string[] {
  return spec.mounts.flatMap((mount) => (mount.type === 'volume' ? [mount.name ?? ''] : mount.type === 'bind' ? [mount.source] : []))
}
