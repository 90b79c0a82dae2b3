import type { Context } from '#context.ts'
import type { Settings } from './settings.ts'
import type { Report } from './output/report.ts'

/** A flag as data: help, completion, manual and parser are readers of one table. */
export interface Flag {
  readonly kind: 'boolean' | 'string' | 'list' | 'number'
  readonly doc: string
  readonly short?: string
  readonly aliases?: readonly string[]
  /** What stands for the value in help: `NAME`, `K=V`. */
  readonly value?: string
  readonly choices?: readonly string[]
  /** What to do in place of a value that is none of the choices. */
  readonly instead?: string
  /** The value that the bare flag means, where `--flag` and `--flag=value` are both written. */
  readonly bare?: string
  /** Understood, but not shown: a peer's word for something that is so anyway. */
  readonly hidden?: boolean
}

export type Flags = Readonly<Record<string, Flag>>

type ValueOf<F extends Flag> = F['kind'] extends 'boolean'
  ? boolean | undefined
  : F['kind'] extends 'number'
    ? number | undefined
    : F['kind'] extends 'list'
      ? readonly string[]
      : string | undefined

/** What was typed, by flag name. A flag that was not typed is undefined, a list empty. */
export type Values<F extends Flags> = { readonly [K in keyof F]: ValueOf<F[K]> }

/** One run of a command. */
export interface Invocation<F extends Flags = Flags> {
  readonly cx: Context
  readonly flags: Values<F>
  readonly args: readonly string[]
  readonly settings: Settings
  /** Results to stdout, progress and messages to stderr. */
  readonly report: Report
  /** From now on signals go to a container; the third one ends this program as usual. */
  forwardSignals(deliver: (signal: NodeJS.Signals) => void): void
  /** From now on a command of the user's own shares the terminal, which sends it its keys; other signals go to it. */
  shareSignals(deliver: (signal: NodeJS.Signals) => void): void
}

export interface Example {
  readonly command: string
  readonly doc: string
}

/** A command as data. Its code is imported when it runs. */
export interface Command<F extends Flags = Flags> {
  readonly name: string
  readonly aliases?: readonly string[]
  readonly group: 'Build' | 'Images' | 'Registries' | 'Containers' | 'System'
  readonly summary: string
  readonly description?: string
  /** Operands as usage shows them: `IMAGE [COMMAND] [ARG...]`. */
  readonly operands: string
  /** The least and most operands; `most` absent: any number. */
  readonly least?: number
  readonly most?: number
  /** The exit status where stave itself failed, also for wrong words: 1 to 124 are those of the container's command. */
  readonly ownFailure?: number
  /** Flags end at the first operand: what follows belongs to the container's command. */
  readonly passthrough?: boolean
  readonly flags: F
  /** Flags that users of docker and podman look for in vain, with what to do instead. */
  readonly absent?: Readonly<Record<string, string>>
  readonly examples: readonly Example[]
  readonly hidden?: boolean
  /** Sub-commands: `stave volume ls`. Then `load` is absent. */
  readonly commands?: readonly Command[]
  readonly load?: () => Promise<{ readonly run: (invocation: Invocation<never>) => Promise<number | void> }>
}

/** Keeps a command's flag types while it is checked. */
export function command<const F extends Flags>(definition: Command<F>): Command<F> {
  return definition
}
