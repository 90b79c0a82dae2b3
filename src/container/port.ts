import { StaveError } from '#error.ts'
import { formatPorts, portName, type PortMapping } from '#network/port.ts'
import type { LocalStore } from '#store/open.ts'
import { listContainers, type Container, type ContainerRecord } from './container.ts'

/** The published ports of a container while it runs, with the numbers that they got. */
export function publishedPorts({ status }: Container): readonly PortMapping[] {
  return status.ports ?? []
}

/** As `ps` shows them: of one that does not run, nothing is published. */
export function portsText(container: Container): string {
  const runs = container.status.state === 'running' || container.status.state === 'paused'
  return runs ? formatPorts(publishedPorts(container), container.exposedPorts) : ''
}

/**
 * Published ports by the container's: all, or those of one, as `80` or `80/tcp`.
 *
 * @throws StaveError `not-found` if that one is not published
 */
export function portsOf(container: Container, wanted?: string): readonly PortMapping[] {
  const ports = publishedPorts(container)
  if (wanted === undefined) return ports
  const name = wanted.includes('/') ? wanted.toLowerCase() : `${wanted}/tcp`
  const found = ports.filter((port) => portName(port) === name)
  if (found.length > 0) return found
  throw new StaveError('not-found', `the container ${container.name} publishes no port ${name}`)
}

/** A port that another container has says which one, in place of the process that holds it for that. */
export function explainPort(store: LocalStore, container: ContainerRecord, error: unknown): unknown {
  if (!(error instanceof StaveError) || error.code !== 'conflict') return error
  const [, number, protocol] = /^cannot publish port (\d+)\/(tcp|udp):/.exec(error.message) ?? []
  if (number === undefined) return error
  const owner = listContainers(store).find(
    (other) =>
      other.id !== container.id && other.status.ports?.some((port) => port.hostPort === Number(number) && port.protocol === protocol),
  )
  if (owner === undefined) return error
  return new StaveError('conflict', `cannot publish port ${number}/${protocol}: the container ${owner.name} has it`, {
    cause: error.cause,
    exitCode: error.exitCode,
    hint: `Publish another port of this machine, or end it: stave stop ${owner.name}`,
  })
}
