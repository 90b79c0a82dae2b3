import { StaveError } from '#error.ts'
import type { Dependency, Project, Service } from './model.ts'

/** What a service needs: what it says, and what it can only be started after. */
export function dependenciesOf(service: Service): Readonly<Record<string, Dependency>> {
  const started: Dependency = { condition: 'service_started' }
  const implied = [
    ...(service.links ?? []).map((link) => link.split(':')[0] as string),
    ...(service.volumes_from ?? []).filter((word) => !word.startsWith('container:')).map((word) => word.split(':')[0] as string),
    ...[service.network_mode, service.pid, service.ipc].flatMap((mode) => (mode?.startsWith('service:') ? [mode.slice(8)] : [])),
  ]
  return { ...Object.fromEntries(implied.map((name) => [name, started])), ...service.depends_on }
}

/**
 * Services in an order in which each comes after what it needs: waves, of which all of one can be started at once.
 *
 * @throws StaveError `invalid-document` where they need each other in a circle
 */
export function waves(services: Project['services']): readonly (readonly string[])[] {
  const waiting = new Map(Object.entries(services).map(([name, service]) => [name, needed(service, services)]))
  const result: string[][] = []
  while (waiting.size > 0) {
    const ready = [...waiting].filter(([, needs]) => needs.every((name) => !waiting.has(name))).map(([name]) => name)
    if (ready.length === 0)
      throw new StaveError('invalid-document', `the services ${circleIn(waiting).join(' → ')} need each other in a circle`)
    result.push(ready)
    for (const name of ready) waiting.delete(name)
  }
  return result
}

function needed(service: Service, services: Project['services']): readonly string[] {
  return Object.keys(dependenciesOf(service)).filter((name) => Object.hasOwn(services, name))
}

function circleIn(waiting: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const path: string[] = []
  let name = [...waiting.keys()][0] as string
  while (!path.includes(name)) {
    path.push(name)
    name = waiting.get(name)?.find((other) => waiting.has(other)) as string
  }
  return [...path.slice(path.indexOf(name)), name]
}

/** These services and all that they need, in turn. */
export function withNeeded(services: Project['services'], names: readonly string[]): ReadonlySet<string> {
  const found = new Set<string>()
  const open = [...names]
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (found.has(name)) continue
    found.add(name)
    open.push(...needed(services[name] as Service, services))
  }
  return found
}
