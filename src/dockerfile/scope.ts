import type { Span } from '#error.ts'
import * as limit from '#limit.ts'
import { expand, expandHeredoc, expandWords } from './expand.ts'
import type { Lookup } from './expand.ts'
import { atSpan, fault } from './fault.ts'
import type { Escape, InstructionOf } from './instruction.ts'
import type { Globals } from './stage.ts'

/** PATH of an image that has none. */
export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** ARGs that steer the builder and never reach the environment of a RUN. */
const builderArguments = new Set(['BUILDKIT_SBOM_SCAN_CONTEXT', 'BUILDKIT_SBOM_SCAN_STAGE'])

/** Proxies may be given as build arguments without an ARG; both spellings reach RUN, neither its key nor the history. */
const proxies = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'] as const

/** An ARG as it was resolved. No value: declared, but not set. */
export interface ResolvedArg {
  readonly key: string
  readonly value?: string
}

/** The variables of one stage while its instructions are taken in order. */
export interface Scope {
  readonly lookup: Lookup
  /** Names that were used in an expansion and not set. A caller may clear it between instructions. */
  readonly unset: Set<string>
  expand(word: string, span?: Span): string
  expandWords(word: string, span?: Span): string[]
  expandHeredoc(content: string, span?: Span): string
  /** ARG: one name after the other, each sees those before it. Returns what history says. */
  declare(arg: InstructionOf<'ARG'>): readonly ResolvedArg[]
  /** ENV: after all of the instruction is expanded, since it sees none of its own values. */
  set(key: string, value: string): void
  /** `Env` of the image config. */
  env(): string[]
  /** The environment of RUN: ENV and ARG, the later one of the same name winning. Part of the step's key. */
  runEnv(): string[]
  /** Proxy settings for RUN that are not in its environment yet: not part of the key. */
  proxyEnv(): string[]
  /** `NAME=value` of each declared ARG, for `created_by`: `|2 A=1 B=2 /bin/sh -c …`. */
  runArgs(): string[]
  /** Names that are set, for suggestions. */
  names(): string[]
  /** Was an ARG of this name declared, with or without a value? */
  isDeclared(name: string): boolean
  /** The scope of a stage that is built FROM this one: it inherits all. */
  child(): Scope
}

export interface ScopeOptions {
  readonly globals: Globals
  readonly buildArgs: ReadonlyMap<string, string>
  /** `Env` of the base image. */
  readonly env: readonly string[]
  readonly escape: Escape
  /** Set PATH where the base has none (not for Windows). Default true. */
  readonly addPath?: boolean
}

/**
 * The variables of a stage (reference: Dockerfile, "ARG", "Scope").
 *
 * ARG and ENV share one set of names: a later ARG replaces an ENV for RUN and for expansion, though not in the
 * image's config.
 */
export function createScope(options: ScopeOptions): Scope {
  const env = new Map(options.env.map(splitVariable))
  if ((options.addPath ?? true) && !env.has('PATH')) env.set('PATH', defaultPath)
  return scopeOf(options, { env, variables: new Map(env), args: new Map() })
}

interface State {
  /** What the image config says. */
  readonly env: Map<string, string>
  /** What expansion and RUN see. */
  readonly variables: Map<string, string>
  /** Declared ARGs in order of their first declaration, as last resolved. */
  readonly args: Map<string, string | undefined>
}

function scopeOf(options: ScopeOptions, state: State): Scope {
  const { env, variables, args } = state
  const { globals, buildArgs, escape } = options
  const unset = new Set<string>()
  const lookup: Lookup = (name) => variables.get(name)
  const expansion = { escape, unset }
  let length = 0
  for (const [key, value] of variables) length += key.length + value.length

  function assign(key: string, value: string, span?: Span): void {
    length += key.length + value.length - (variables.get(key)?.length ?? 0)
    if (length > limit.environmentLength)
      throw fault(`the variables of the stage hold more than ${limit.environmentLength} characters`, span)
    variables.set(key, value)
  }

  function resolve(key: string, byDefault: string | undefined, span: Span): string | undefined {
    const given = buildArgs.get(key)
    if (given !== undefined) return given
    if (byDefault === undefined) return globals.values.get(key)
    return atSpan(span, () => expand(byDefault, lookup, expansion))
  }

  return {
    lookup,
    unset,
    expand: (word, span) => atSpan(span, () => expand(word, lookup, expansion)),
    expandWords: (word, span) => atSpan(span, () => expandWords(word, lookup, expansion)),
    expandHeredoc: (content, span) => atSpan(span, () => expandHeredoc(content, lookup, expansion)),
    declare(arg) {
      return arg.args.map(({ key, value: byDefault }, i) => {
        const span = arg.wordSpans[i] ?? arg.span
        const value = resolve(key, byDefault, span)
        if (value !== undefined && !builderArguments.has(key)) assign(key, value, span)
        args.set(key, value)
        return value === undefined ? { key } : { key, value }
      })
    },
    set(key, value) {
      assign(key, value)
      env.set(key, value)
    },
    env: () => variablesOf(env),
    runEnv: () => variablesOf(variables),
    proxyEnv() {
      const out: string[] = []
      for (const name of proxies) {
        const lower = name.toLowerCase()
        const value = buildArgs.get(name) ?? buildArgs.get(lower)
        if (value === undefined) continue
        for (const key of [name, lower]) if (!variables.has(key)) out.push(`${key}=${value}`)
      }
      return out
    },
    runArgs: () => Array.from(args, ([key, value]) => `${key}=${variables.get(key) ?? value ?? ''}`),
    names: () => [...variables.keys()],
    isDeclared: (name) => args.has(name),
    // What the config says is set anew at the start of a stage: there an ENV counts again that an ARG had replaced.
    child: () => scopeOf(options, { env: new Map(env), variables: new Map([...variables, ...env]), args: new Map(args) }),
  }
}

function variablesOf(map: ReadonlyMap<string, string>): string[] {
  return Array.from(map, ([key, value]) => `${key}=${value}`)
}

/** `NAME=value` of an image config. */
function splitVariable(text: string): [string, string] {
  const equals = text.indexOf('=')
  return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)]
}
