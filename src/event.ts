/**
 * What a running operation reports: four records, folded by the renderers of `cli/output/progress`, and what `--debug` shows.
 * A step is announced by its first event and is over after `done`, `cached`, `failed` or `cancelled`.
 */
export interface StepEvent {
  readonly type: 'step'
  /** Unique within one operation. */
  readonly id: string
  /** What a person reads: `[build 2/5] RUN make`, `pulling docker.io/library/debian:12`. */
  readonly title: string
  readonly state: 'started' | 'done' | 'cached' | 'failed' | 'cancelled'
  /** The step's duration in milliseconds, when over. */
  readonly durationMs?: number
  /** Step that this one is a part of: a layer of a pull. */
  readonly parent?: string
  readonly detail?: string
}

export interface StatusEvent {
  readonly type: 'status'
  readonly id: string
  /** Bytes or entries done so far. */
  readonly current: number
  readonly total?: number
  readonly unit?: 'bytes' | 'entries'
}

export interface LogEvent {
  readonly type: 'log'
  readonly id: string
  readonly stream: 'stdout' | 'stderr'
  readonly text: string
}

export interface WarningEvent {
  readonly type: 'warning'
  readonly message: string
  readonly hint?: string
  readonly id?: string
  /** Where in a Dockerfile, 1-based. */
  readonly file?: string
  readonly line?: number
}

/** What only somebody who looks for a fault wants to know. */
export interface DebugEvent {
  readonly type: 'debug'
  readonly message: string
}

/** What progress is shown of. */
export type ShownEvent = StepEvent | StatusEvent | LogEvent | WarningEvent
export type Event = ShownEvent | DebugEvent
