import type { Span } from '#error.ts'

/** The escape character: `\\`, or as the `escape` directive says. */
export type Escape = '\\' | '`'

/** A heredoc of RUN, COPY or ADD. */
export interface Heredoc {
  readonly name: string
  /** Without the terminator line; tabs already stripped for `<<-`. */
  readonly content: string
  /** False where any part of the name was quoted. */
  readonly expand: boolean
  readonly chomp: boolean
  readonly fd: number
  /** `content` before tabs were stripped, for a shell that strips them itself. */
  readonly raw: string
}

export interface Flag {
  readonly name: string
  /** Unexpanded. `''` for a boolean flag without value. */
  readonly value: string
  readonly span: Span
}

/** A key with its value, unexpanded and still quoted. */
export interface Pair {
  readonly key: string
  readonly value: string
  /** Written `KEY value`, without `=`. */
  readonly legacy?: true
}

interface Base {
  /** Upper case. */
  readonly keyword: string
  /** The instruction's text, continuation lines joined, heredocs as they were. For history and messages. */
  readonly text: string
  readonly span: Span
  /** Comment lines above it, without `#`. */
  readonly comments: readonly string[]
  readonly flags: readonly Flag[]
  /** The places of its words in the order of their fields (`sources` and `destination`, `ports`, `pairs`, …); none for a command. */
  readonly wordSpans: readonly Span[]
}

/** Words of a command: exec form (`json`), or one string for the shell. */
export interface CommandLine {
  readonly form: 'exec' | 'shell'
  readonly args: readonly string[]
}

export type Instruction =
  | (Base & { readonly kind: 'FROM'; readonly image: string; readonly platform?: string; readonly name?: string })
  | (Base & { readonly kind: 'ARG'; readonly args: readonly { readonly key: string; readonly value?: string }[] })
  | (Base & { readonly kind: 'ENV'; readonly pairs: readonly Pair[] })
  | (Base & { readonly kind: 'LABEL'; readonly pairs: readonly Pair[] })
  | (Base & {
      readonly kind: 'RUN'
      readonly command: CommandLine
      readonly heredocs: readonly Heredoc[]
      readonly mounts: readonly string[]
      readonly network?: string
      readonly security?: string
      readonly devices: readonly string[]
    })
  | (Base & {
      readonly kind: 'COPY'
      readonly sources: readonly string[]
      readonly destination: string
      readonly heredocs: readonly Heredoc[]
      readonly from?: string
      readonly chown?: string
      readonly chmod?: string
      readonly link: boolean
      readonly parents: boolean
      readonly exclude: readonly string[]
    })
  | (Base & {
      readonly kind: 'ADD'
      readonly sources: readonly string[]
      readonly destination: string
      readonly heredocs: readonly Heredoc[]
      readonly chown?: string
      readonly chmod?: string
      readonly link: boolean
      readonly exclude: readonly string[]
      readonly checksum?: string
      readonly keepGitDir?: boolean
      readonly unpack?: boolean
    })
  | (Base & { readonly kind: 'CMD' | 'ENTRYPOINT'; readonly command: CommandLine })
  | (Base & { readonly kind: 'SHELL'; readonly command: readonly string[] })
  | (Base & { readonly kind: 'WORKDIR'; readonly path: string })
  | (Base & { readonly kind: 'USER'; readonly user: string })
  | (Base & { readonly kind: 'EXPOSE'; readonly ports: readonly string[] })
  | (Base & { readonly kind: 'VOLUME'; readonly paths: readonly string[] })
  | (Base & { readonly kind: 'STOPSIGNAL'; readonly signal: string })
  | (Base & {
      readonly kind: 'HEALTHCHECK'
      readonly test: readonly string[]
      readonly interval?: number
      readonly timeout?: number
      readonly startPeriod?: number
      readonly startInterval?: number
      readonly retries?: number
    })
  | (Base & { readonly kind: 'ONBUILD'; readonly trigger: Instruction; readonly triggerText: string })
  | (Base & { readonly kind: 'MAINTAINER'; readonly name: string })

export type InstructionOf<K extends Instruction['kind']> = Extract<Instruction, { kind: K }>

export interface Directives {
  readonly syntax?: string
  readonly escape: Escape
  readonly check?: string
}

/** A stage as written: its FROM and what follows, not yet expanded. */
export interface Stage {
  readonly index: number
  /** Lower case, if named. */
  readonly name?: string
  readonly from: InstructionOf<'FROM'>
  readonly instructions: readonly Instruction[]
}

export interface Dockerfile {
  readonly file: string
  readonly text: string
  readonly directives: Directives
  /** ARGs before the first FROM. */
  readonly globals: readonly InstructionOf<'ARG'>[]
  readonly stages: readonly Stage[]
  /** Lines of white space between continuation lines: deprecated. */
  readonly emptyContinuations: readonly number[]
}
