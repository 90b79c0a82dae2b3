import { statSync } from 'node:fs'
import type { Location } from '#places/location.ts'
import type { Settings } from './settings.ts'

const usualSocket = '/var/run/docker.sock'

/**
 * The Docker daemon that `docker-daemon:` means: the one that was named, by flag or `$DOCKER_HOST`, or the one of this
 * machine. Undefined: another place is meant, or there is no daemon, and then it is the store.
 */
export function daemonHost(location: Location, typed: string | undefined, { env }: Settings): string | undefined {
  if (location.transport !== 'store' || location.isDaemon !== true) return undefined
  const named = typed ?? (env.DOCKER_HOST || undefined)
  if (named !== undefined) return named
  return statSync(usualSocket, { throwIfNoEntry: false })?.isSocket() === true ? `unix://${usualSocket}` : undefined
}
