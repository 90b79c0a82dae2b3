import type { Descriptor } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import type { LogOptions } from '#runner/protocol.ts'
import type { Owner } from '#store/owner.ts'
import type { HealthCheck } from './health.ts'
import type { ContainerNetwork } from './network.ts'
import type { RestartPolicy } from './restart.ts'
import type { ContainerSpec } from './spec.ts'
import type { ContainerStatus } from './status.ts'

/** How what a container writes is kept. */
export interface LogSettings extends Omit<LogOptions, 'place'> {
  /** The file, in place of the one in the container's directory. */
  readonly path?: string
  /** What others may call it. */
  readonly tag?: string
}

/** What is known of a container from its creation on. Kept as JSON in the store's database. */
export interface ContainerRecord {
  /** 64 hexadecimal digits. */
  readonly id: string
  readonly name: string
  /** As it was typed. */
  readonly image: string
  /** Digest of the image's config. */
  readonly imageId: Digest
  readonly manifest: Descriptor
  readonly createdAt: string
  readonly spec: ContainerSpec
  /** The layer trees, top first. */
  readonly snapshots: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly autoRemove: boolean
  readonly readonly: boolean
  /** Seconds between the stop signal and SIGKILL. */
  readonly stopTimeout: number
  /** Seconds that it may run. */
  readonly timeout?: number
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
  readonly exposedPorts: readonly string[]
  /** Volumes that were made for it and go with it. */
  readonly anonymousVolumes: readonly string[]
  /** `false`: what it writes is not kept. */
  readonly log?: boolean
  readonly logSettings?: LogSettings
  /** The containers whose namespaces it shares, by kind: their ids. */
  readonly joins?: Readonly<Record<string, string>>
  /** The control group that its own one is made in. */
  readonly cgroupParent?: string
  readonly paused?: boolean
  readonly restart?: RestartPolicy
  /** How often it was started again since a person started it. */
  readonly restarts?: number
  /** How many of those in a row were followed by an early end. */
  readonly streak?: number
  /** A person has stopped it. */
  readonly stopped?: boolean
  readonly health?: HealthCheck
  /** The image's, in place of `/bin/sh -c`: for the command of the health check. */
  readonly shell?: readonly string[]
  /** Arbitrary facts about it, for others (OCI runtime-spec, "Annotations"). */
  readonly annotations?: Readonly<Record<string, string>>
  /** A file of this machine that gets the id of its first process. */
  readonly pidFile?: string
  /** The program of the OCI runtime that makes it. Absent: Stave's own. */
  readonly runtime?: string
  /** Absent: `spec.namespaces.network` says all. */
  readonly network?: ContainerNetwork
  /** The process that made it: while it lives, removing an `autoRemove` container is its business. */
  readonly creator: Owner
}

export interface Container extends ContainerRecord {
  readonly status: ContainerStatus
}
