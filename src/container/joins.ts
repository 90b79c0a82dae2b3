import { closeSync, constants, openSync } from 'node:fs'
import { StaveError } from '#error.ts'
import type { NamespaceChoice, RunMount, RunSpec } from '#runner/protocol.ts'
import type { LocalStore } from '#store/open.ts'
import { findContainer, type Container, type ContainerRecord } from './container.ts'
import { isRoot } from './network.ts'

/** The namespaces that a container has from others. */
export interface JoinedNamespaces extends Disposable {
  readonly namespaces: Pick<RunSpec['namespaces'], 'pid' | 'ipc' | 'uts'>
  readonly mounts: readonly RunMount[]
  /** The user namespace that owns them, if there is one. */
  readonly userns?: number
}

/** @throws StaveError `container-state` if one whose namespaces it shares does not run; `not-found` */
export function joinNamespaces(store: LocalStore, container: ContainerRecord): JoinedNamespaces {
  const others = Object.entries(container.joins ?? {}).map(([kind, id]) => ({
    kind,
    pid: pidOf(findContainer(store, id), container, kind),
  }))
  const last = others.at(-1)
  const userns = last === undefined || isRoot() ? undefined : openSync(`/proc/${last.pid}/ns/user`, constants.O_RDONLY)
  return {
    namespaces: Object.fromEntries(others.map(({ kind, pid }): [string, NamespaceChoice] => [kind, `/proc/${pid}/ns/${kind}`])),
    // What programs share beside System V's objects is there (shm_open(3)).
    mounts: others.flatMap(({ kind, pid }): RunMount[] =>
      kind === 'ipc' ? [{ type: 'shared', namespace: `/proc/${pid}/ns/mnt`, path: '/dev/shm', target: '/dev/shm' }] : [],
    ),
    ...(userns !== undefined && { userns }),
    [Symbol.dispose]() {
      if (userns !== undefined) closeSync(userns)
    },
  }
}

function pidOf(other: Container, container: ContainerRecord, kind: string): number {
  const { pid, state } = other.status
  if (pid !== undefined && (state === 'running' || state === 'paused')) return pid
  throw new StaveError(
    'container-state',
    `cannot share the ${kind} namespace of ${other.name} with ${container.name}: ${other.name} does not run`,
    { hint: `Start it first: stave start ${other.name}` },
  )
}
