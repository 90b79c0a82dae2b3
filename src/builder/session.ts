import type { Dependency } from '#attest/provenance.ts'
import type { LayerOutput } from '#runner/protocol.ts'
import type { Store } from '#store/store.ts'
import type { RemoteCache } from './remote.ts'
import type { Contexts } from './input/context.ts'
import type { Digests } from './input/digests.ts'
import type { Images } from './input/images.ts'
import type { LayerFormat, StepKey } from './plan/key.ts'
import type { Logs } from './record/log.ts'
import type { BuildOptions, StepRecord } from './options.ts'
import type { Secrets } from './input/secrets.ts'
import type { Slots } from './solve/slots.ts'

/** What all steps of one build share. */
export interface Session {
  readonly id: string
  readonly options: BuildOptions
  readonly store: Store
  readonly images: Images
  readonly contexts: Contexts
  readonly digests: Digests
  readonly secrets: Secrets
  readonly logs: Logs
  readonly slots: Slots
  readonly remote: RemoteCache | undefined
  /** How layers are written, as far as it counts for keys. */
  readonly format: LayerFormat
  /** The same, for the runner. */
  readonly output: Omit<LayerOutput, 'blob'>
  /** Milliseconds since 1970. */
  readonly startedAt: number
  /** What ADD has downloaded, by the id of its step: for provenance. */
  readonly materials: Map<string, Dependency>
  /** Cache mounts that were emptied, since steps that use them take nothing from the cache. */
  readonly emptied: Set<string>
  /** What is to be done when all is over. */
  readonly disposals: (() => Promise<void>)[]
  /** What has become of the steps so far. */
  readonly records: StepRecord[]
  /** Key and pre-image of each step that has one, by id. */
  readonly keys: Map<string, StepKey>
  /** Why steps were not in the cache, by id. */
  readonly because: Map<string, readonly string[]>
  /** Pre-images of the last build of this project, by id of the step; for `explain`. */
  readonly last: Readonly<Record<string, string>>
  /** Of this machine: `amd64`. */
  readonly architecture: string
}
