import { StaveError } from '#error.ts'
import type { RunSpec } from '#runner/protocol.ts'

type Namespace = 'network' | 'ipc' | 'uts'

/** Which parameters belong to a namespace, and the flag that gives a container its own. */
const owners: readonly (readonly [RegExp, Namespace, string])[] = [
  [/^net\./, 'network', '--network private'],
  [/^(fs\.mqueue\..+|kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced))$/, 'ipc', '--ipc private'],
  [/^kernel\.domainname$/, 'uts', '--uts private'],
]

/**
 * Refuses kernel parameters that are not the container's own: of the whole machine, or of a namespace that it shares.
 *
 * @throws StaveError `usage`
 */
export function checkSysctls(sysctl: Readonly<Record<string, string>>, namespaces: RunSpec['namespaces']): void {
  for (const name of Object.keys(sysctl)) {
    const [, namespace, flag] = owners.find(([pattern]) => pattern.test(name)) ?? []
    if (namespace === undefined) {
      throw refused(
        name,
        'it is a parameter of the whole machine',
        'A container can have its own net.*, fs.mqueue.* and kernel.{msg,sem,shm}*.',
      )
    }
    if (['host', 'join'].includes(namespaces[namespace] ?? '')) {
      throw refused(
        name,
        `the container shares the ${namespace} namespace of this machine, or of another container`,
        `With ${flag} it has its own.`,
      )
    }
  }
}

function refused(name: string, why: string, hint: string): StaveError {
  return new StaveError('usage', `cannot set sysctl ${name}: ${why}`, { hint })
}
