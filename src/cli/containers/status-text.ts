import type { Container } from '#container/container.ts'
import type { HealthState } from '#runner/protocol.ts'
import { formatAge } from '../output/table.ts'

/** What a container does, as docker's lists say it: `Up 5 minutes (healthy)`. */
export function statusText({ status }: Container, health: HealthState['Status'] | undefined): string {
  const ago = (when: Date | string | undefined) => (when === undefined ? '' : formatAge(new Date(when)))
  const since = (when: Date | string | undefined) => ago(when).replace(/ ago$/, '').replace('just now', 'less than a second')
  switch (status.state) {
    case 'running':
      return `Up ${since(status.startedAt)}${health === undefined ? '' : ` (${health === 'starting' ? 'health: starting' : health})`}`
    case 'paused':
      return `Up ${since(status.startedAt)} (Paused)`
    case 'restarting':
      return `Restarting (${status.exitCode ?? 0}) ${ago(status.finishedAt)}`
    case 'exited':
      return `Exited (${status.exitCode ?? 0}) ${ago(status.finishedAt)}`
    default:
      return 'Created'
  }
}
