import type { Span } from '#error.ts'
import { asFault, atSpan, fault } from './fault.ts'
import type { FlagTable, FlagValues } from './flags.ts'
import { readFlags, splitFlags } from './flags.ts'
import { parseInteger } from './go-values.ts'
import { heredocWord } from './heredoc.ts'
import type { CommandLine, Escape, Heredoc, Instruction, InstructionOf, Pair } from './instruction.ts'
import { jsonStrings } from './json.ts'
import type { LogicalLine } from './lines.ts'
import { spanOf } from './lines.ts'
import { checkDevice, checkMount } from './mount.ts'
import { rawWords } from './expand.ts'
import { parseDuration } from '#text/duration.ts'
import { didYouMean } from '#text/suggest.ts'
import { isSeparator, isSpace, skipSpace, skipSpaceBack, trimSpace } from './white-space.ts'
import type { Word } from './words.ts'
import { splitBlanks, splitQuoted } from './words.ts'

/** The words of an instruction: its keyword, the flags after it, and where its arguments are. */
export interface Parts {
  readonly keyword: Word
  readonly flags: readonly Word[]
  /** Offsets of the arguments in the logical line, without blanks around them. */
  readonly start: number
  readonly end: number
}

/** What is read: a logical line with its heredocs. */
export interface Source {
  readonly line: LogicalLine
  readonly escape: Escape
  readonly heredocs: readonly Heredoc[]
  /** Of the whole instruction, with its heredocs. */
  readonly span: Span
}

type Base = Pick<Instruction, 'keyword' | 'text' | 'span' | 'comments'>
type Read = (source: Source, parts: Parts, base: Base) => Instruction

/** Separates the keyword, the flags and the arguments of `line.text[start, end)`. */
export function splitInstruction(line: LogicalLine, escape: Escape, start = 0): Parts {
  const { text } = line
  const from = skipSpace(text, start)
  const end = skipSpaceBack(text, from)
  let at = from
  while (at < end && !isSeparator(text.charCodeAt(at))) at++
  const keyword = { text: text.slice(from, at), start: from, end: at }
  const { words, rest } = splitFlags(text, at, end, escape)
  return { keyword, flags: words, start: Math.min(skipSpace(text, rest, end), end), end }
}

/** Makes the instruction of its parts. @throws StaveError `dockerfile` for everything that BuildKit refuses */
export function readInstruction(source: Source, parts: Parts, text: string): Instruction {
  const keyword = parts.keyword.text.toUpperCase()
  const read = Object.hasOwn(readers, keyword) ? readers[keyword] : undefined
  if (read === undefined) {
    throw fault(
      `unknown instruction ${parts.keyword.text}`,
      spanOf(source.line, parts.keyword.start, parts.keyword.end),
      didYouMean(parts.keyword.text, Object.keys(readers), true) ?? misplaced(source.line, parts),
    )
  }
  return read(source, parts, { keyword, text, span: source.span, comments: source.line.comments })
}

/** Why a line may have become an instruction that was not meant as one. */
function misplaced(line: LogicalLine, parts: Parts): string | undefined {
  if (parts.keyword.text.includes('[')) return 'Put a blank between the instruction and its JSON array.'
  return line.text.startsWith('-') || line.text.startsWith('&')
    ? 'If the line belongs to the one above, that one must end with an escape character.'
    : undefined
}

const readers: Readonly<Record<string, Read>> = {
  ADD: (source, parts, base) => readCopy(source, parts, base, 'ADD'),
  ARG: readArg,
  CMD: (source, parts, base) => ({ ...base, kind: 'CMD', ...noFlags(source, parts), command: command(source, parts) }),
  COPY: (source, parts, base) => readCopy(source, parts, base, 'COPY'),
  ENTRYPOINT: (source, parts, base) => ({ ...base, kind: 'ENTRYPOINT', ...noFlags(source, parts), command: command(source, parts) }),
  ENV: (source, parts, base) => ({ ...base, kind: 'ENV', ...readPairs(source, parts, 'ENV') }),
  EXPOSE: readExpose,
  FROM: readFrom,
  HEALTHCHECK: readHealthcheck,
  LABEL: (source, parts, base) => ({ ...base, kind: 'LABEL', ...readPairs(source, parts, 'LABEL') }),
  MAINTAINER: (source, parts, base) => ({ ...base, kind: 'MAINTAINER', ...one(source, parts, base), name: rest(source, parts) }),
  ONBUILD: readOnbuild,
  RUN: readRun,
  SHELL: readShell,
  STOPSIGNAL: (source, parts, base) => ({ ...base, kind: 'STOPSIGNAL', ...one(source, parts, base), signal: rest(source, parts) }),
  USER: (source, parts, base) => ({ ...base, kind: 'USER', ...one(source, parts, base), user: rest(source, parts) }),
  VOLUME: readVolume,
  WORKDIR: (source, parts, base) => ({ ...base, kind: 'WORKDIR', ...one(source, parts, base), path: rest(source, parts) }),
}

/** Can the instruction start heredocs? Not where its arguments are JSON. */
export function takesHeredocs(line: LogicalLine, parts: Parts, escape: Escape): boolean {
  const keyword = parts.keyword.text.toUpperCase()
  if (keyword === 'ONBUILD') {
    if (parts.start === parts.end) return false
    const trigger = splitInstruction(line, escape, parts.start)
    return trigger.keyword.text.toUpperCase() !== 'ONBUILD' && takesHeredocs(line, trigger, escape)
  }
  if (keyword !== 'RUN' && keyword !== 'COPY' && keyword !== 'ADD') return false
  return !Array.isArray(jsonStrings(line.text.slice(parts.start, parts.end)))
}

function rest({ line }: Source, parts: Parts): string {
  return line.text.slice(parts.start, parts.end)
}

/** The place of the arguments, or of the keyword where there are none. */
function argumentsSpan({ line }: Source, parts: Parts): Span {
  return parts.start < parts.end ? spanOf(line, parts.start, parts.end) : spanOf(line, parts.keyword.start, parts.keyword.end)
}

function flagsOf(source: Source, parts: Parts, table: FlagTable): FlagValues {
  return readFlags(parts.flags, table, (word) => spanOf(source.line, word.start, word.end))
}

function noFlags(source: Source, parts: Parts): Pick<Instruction, 'flags' | 'wordSpans'> {
  return { flags: flagsOf(source, parts, {}).flags, wordSpans: [] }
}

function spansOf(source: Source, words: readonly Word[]): readonly Span[] {
  return words.map((word) => spanOf(source.line, word.start, word.end))
}

function needsOne(source: Source, parts: Parts): Error {
  return fault(`${parts.keyword.text.toUpperCase()} requires at least one argument`, argumentsSpan(source, parts))
}

/** For an instruction whose argument is the rest of the line. */
function one(source: Source, parts: Parts, base: Base): Pick<Instruction, 'flags' | 'wordSpans'> {
  if (parts.start === parts.end) throw fault(`${base.keyword} requires exactly one argument`, argumentsSpan(source, parts))
  // BuildKit does not look at the flags of STOPSIGNAL.
  const { flags } = base.keyword === 'STOPSIGNAL' ? { flags: [] } : flagsOf(source, parts, {})
  return { flags, wordSpans: [argumentsSpan(source, parts)] }
}

/** The JSON array of strings that the arguments are, if they are one. */
function json(source: Source, parts: Parts): readonly string[] | undefined {
  const strings = jsonStrings(rest(source, parts))
  if (strings !== 'not-strings') return strings
  throw fault(
    'a JSON array of arguments must hold strings only',
    argumentsSpan(source, parts),
    'Put numbers and the like in double quotes.',
  )
}

function command(source: Source, parts: Parts): CommandLine {
  const args = json(source, parts)
  return args === undefined ? { form: 'shell', args: [rest(source, parts)] } : { form: 'exec', args }
}

/** JSON, or words between blanks. */
function list(source: Source, parts: Parts): { words: readonly Word[]; isJson: boolean } {
  const strings = json(source, parts)
  if (strings === undefined) return { words: splitBlanks(source.line.text, parts.start, parts.end), isJson: false }
  return { words: strings.map((text) => ({ text, start: parts.start, end: parts.end })), isJson: true }
}

function readArg(source: Source, parts: Parts, base: Base): InstructionOf<'ARG'> {
  const words = splitQuoted(source.line.text, parts.start, parts.end, source.escape)
  if (words.length === 0) throw needsOne(source, parts)
  const args = words.map((word) => {
    const equals = word.text.indexOf('=')
    if (equals === 0) throw fault('ARG names can not be blank', spanOf(source.line, word.start, word.end), 'Write ARG NAME=VALUE.')
    return equals < 0 ? { key: word.text } : { key: word.text.slice(0, equals), value: word.text.slice(equals + 1) }
  })
  // BuildKit does not look at the flags of ARG.
  return { ...base, kind: 'ARG', flags: [], wordSpans: spansOf(source, words), args }
}

function readPairs(
  source: Source,
  parts: Parts,
  keyword: 'ENV' | 'LABEL',
): { pairs: readonly Pair[] } & Pick<Instruction, 'flags' | 'wordSpans'> {
  const { flags } = flagsOf(source, parts, {})
  const { line } = source
  const words = splitQuoted(line.text, parts.start, parts.end, source.escape)
  const [first] = words
  if (first === undefined) throw needsOne(source, parts)
  if (!first.text.includes('=')) {
    // `KEY value …`: everything after the first blank is the value.
    let at = parts.start
    while (at < parts.end && !isSeparator(line.text.charCodeAt(at))) at++
    if (at === parts.end)
      throw fault(`${keyword} must have two arguments`, argumentsSpan(source, parts), `Write ${keyword} ${first.text}=VALUE.`)
    const key = line.text.slice(parts.start, at)
    while (isSeparator(line.text.charCodeAt(at))) at++
    const pair: Pair = { key, value: line.text.slice(at, parts.end), legacy: true }
    return { flags, wordSpans: [argumentsSpan(source, parts)], pairs: [pair] }
  }
  const pairs = words.map((word) => {
    const equals = word.text.indexOf('=')
    const span = spanOf(line, word.start, word.end)
    if (equals < 0) {
      throw fault(
        `cannot find = in ${JSON.stringify(word.text)}`,
        span,
        `Each argument of ${keyword} must be of the form NAME=VALUE; quote a value with blanks.`,
      )
    }
    if (equals === 0) throw fault(`${keyword} names can not be blank`, span, `Write ${keyword} NAME=VALUE.`)
    return { key: word.text.slice(0, equals), value: word.text.slice(equals + 1) }
  })
  return { flags, wordSpans: spansOf(source, words), pairs }
}

function readFrom(source: Source, parts: Parts, base: Base): InstructionOf<'FROM'> {
  const words = splitBlanks(source.line.text, parts.start, parts.end)
  const [image, as, name] = words
  if (image === undefined || (words.length !== 1 && (words.length !== 3 || as?.text.toLowerCase() !== 'as')))
    throw fault('FROM requires either one or three arguments', argumentsSpan(source, parts), 'Write FROM IMAGE or FROM IMAGE AS NAME.')
  if (name !== undefined && !/^[a-z][a-z0-9\-_.]*$/.test(name.text.toLowerCase())) {
    throw fault(
      `invalid name for build stage: ${JSON.stringify(name.text)}`,
      spanOf(source.line, name.start, name.end),
      'A name begins with a letter and holds only letters, digits, "-", "_" and ".".',
    )
  }
  const flags = flagsOf(source, parts, { platform: 'string' })
  return {
    ...base,
    kind: 'FROM',
    flags: flags.flags,
    wordSpans: spansOf(source, words),
    image: image.text,
    ...optional('platform', flags.text('platform')),
    ...optional('name', name?.text.toLowerCase()),
  }
}

function readRun(source: Source, parts: Parts, base: Base): InstructionOf<'RUN'> {
  const flags = flagsOf(source, parts, { mount: 'list', network: 'string', security: 'string', device: 'list' })
  for (const flag of flags.flags) {
    if (flag.name === 'mount') atSpan(flag.span, () => checkMount(flag.value))
    if (flag.name === 'device') atSpan(flag.span, () => checkDevice(flag.value))
    if (flag.name === 'network') oneOf(flag.value, ['default', 'none', 'host'], 'network mode', flag.span)
    if (flag.name === 'security') oneOf(flag.value, ['sandbox', 'insecure'], 'security mode', flag.span)
  }
  return {
    ...base,
    kind: 'RUN',
    flags: flags.flags,
    wordSpans: [],
    command: command(source, parts),
    heredocs: source.heredocs,
    mounts: flags.list('mount'),
    ...optional('network', flags.text('network')),
    ...optional('security', flags.text('security')),
    devices: flags.list('device'),
  }
}

function oneOf(value: string, allowed: readonly string[], what: string, span: Span): void {
  if (allowed.includes(value)) return
  throw fault(`invalid ${what} ${JSON.stringify(value)}`, span, didYouMean(value, allowed) ?? `It is one of ${allowed.join(', ')}.`)
}

const copyFlags = { from: 'string', chown: 'string', chmod: 'string', link: 'boolean', parents: 'boolean', exclude: 'list' } as const
const addFlags = {
  chown: 'string',
  chmod: 'string',
  link: 'boolean',
  'keep-git-dir': 'boolean',
  checksum: 'string',
  unpack: 'boolean',
  exclude: 'list',
} as const

function readCopy(source: Source, parts: Parts, base: Base, kind: 'COPY' | 'ADD'): InstructionOf<'COPY' | 'ADD'> {
  const words = copyWords(source, parts, kind)
  const destination = words.at(-1)
  if (destination === undefined || words.length < 2) {
    throw fault(
      `${kind} requires at least two arguments${words.length === 1 ? ', but only one was provided' : ''}`,
      argumentsSpan(source, parts),
      'The last argument is the destination.',
    )
  }
  const flags = flagsOf(source, parts, kind === 'COPY' ? copyFlags : addFlags)
  if (heredocWord(destination.text) !== undefined)
    throw fault(`${kind} cannot accept a heredoc as a destination`, spanOf(source.line, destination.start, destination.end))
  const sources = words.slice(0, -1).filter((word) => heredocWord(word.text) === undefined || source.heredocs.length === 0)
  const common = {
    ...base,
    flags: flags.flags,
    wordSpans: spansOf(source, [...sources, destination]),
    sources: sources.map((word) => word.text),
    destination: destination.text,
    heredocs: source.heredocs,
    ...optional('chown', flags.text('chown')),
    ...optional('chmod', flags.text('chmod')),
    link: flags.boolean('link') ?? false,
    exclude: flags.list('exclude'),
  }
  if (kind === 'COPY') return { ...common, kind, ...optional('from', flags.text('from')), parents: flags.boolean('parents') ?? false }
  return {
    ...common,
    kind,
    ...optional('checksum', flags.text('checksum')),
    ...optional('keepGitDir', flags.boolean('keep-git-dir')),
    ...optional('unpack', flags.boolean('unpack')),
  }
}

function copyWords(source: Source, parts: Parts, kind: string): readonly Word[] {
  const { words, isJson } = list(source, parts)
  const { heredocs } = source
  const count = (among: readonly Word[]): number => among.filter((word) => heredocWord(word.text) !== undefined).length
  if (isJson || count(words) === heredocs.length) return words
  // A heredoc with a blank in it, `<< EOF` or `<<"E O F"`: BuildKit takes the body out of the file all the same,
  // but then looks for files called `<<` and `EOF`.
  const lexed = rawWords(rest(source, parts))?.map((text) => ({ text, start: parts.start, end: parts.end }))
  if (lexed !== undefined && count(words) < heredocs.length && count(lexed) === heredocs.length) return lexed
  // And where a quote or an escape hides `<<EOF` from the search for bodies, it copies an empty file, and takes the body for instructions.
  const hint =
    lexed === undefined ? 'A quote on this line is not closed.' : 'Put blanks around it, and neither quotes nor escapes before the <<.'
  throw fault(`${kind} takes a heredoc only as a source of its own`, argumentsSpan(source, parts), hint)
}

function readExpose(source: Source, parts: Parts, base: Base): InstructionOf<'EXPOSE'> {
  const words = splitBlanks(source.line.text, parts.start, parts.end)
  if (words.length === 0) throw needsOne(source, parts)
  const { flags } = flagsOf(source, parts, {})
  const sorted = words.toSorted((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0))
  return { ...base, kind: 'EXPOSE', flags, wordSpans: spansOf(source, sorted), ports: sorted.map((word) => word.text) }
}

function readVolume(source: Source, parts: Parts, base: Base): InstructionOf<'VOLUME'> {
  const { words } = list(source, parts)
  if (words.length === 0) throw needsOne(source, parts)
  const { flags } = flagsOf(source, parts, {})
  const paths = words.map((word) => {
    const path = trimSpace(word.text)
    if (path === '') throw fault('a VOLUME cannot be an empty string', spanOf(source.line, word.start, word.end))
    return path
  })
  return { ...base, kind: 'VOLUME', flags, wordSpans: spansOf(source, words), paths }
}

function readShell(source: Source, parts: Parts, base: Base): InstructionOf<'SHELL'> {
  const { flags, wordSpans } = noFlags(source, parts)
  const args = json(source, parts)
  if (parts.start === parts.end || args?.length === 0) throw needsOne(source, parts)
  if (args === undefined)
    throw fault('SHELL requires its arguments to be in JSON form', argumentsSpan(source, parts), 'Write SHELL ["/bin/sh", "-c"].')
  return { ...base, kind: 'SHELL', flags, wordSpans, command: args }
}

const healthcheckFlags = {
  interval: 'string',
  timeout: 'string',
  'start-period': 'string',
  'start-interval': 'string',
  retries: 'string',
} as const

function readHealthcheck(source: Source, parts: Parts, base: Base): InstructionOf<'HEALTHCHECK'> {
  const { line } = source
  if (parts.start === parts.end) throw needsOne(source, parts)
  let at = parts.start
  while (at < parts.end && !isSpace(line.text.charCodeAt(at))) at++
  const type = line.text.slice(parts.start, at).toUpperCase()
  const after: Parts = { ...parts, start: skipSpace(line.text, at, parts.end) }
  const args = json(source, after)
  if (type === 'NONE') {
    if (after.start < after.end && args?.length !== 0) throw fault('HEALTHCHECK NONE takes no arguments', argumentsSpan(source, after))
    // BuildKit does not look at the flags here.
    return { ...base, kind: 'HEALTHCHECK', flags: [], wordSpans: [], test: ['NONE'] }
  }
  const flags = flagsOf(source, parts, healthcheckFlags)
  if (type !== 'CMD') {
    throw fault(
      `unknown type ${JSON.stringify(type)} in HEALTHCHECK`,
      spanOf(line, parts.start, at),
      'Write HEALTHCHECK CMD or HEALTHCHECK NONE.',
    )
  }
  if (after.start === after.end || args?.length === 0)
    throw fault('the command after HEALTHCHECK CMD is missing', argumentsSpan(source, parts))
  return {
    ...base,
    kind: 'HEALTHCHECK',
    flags: flags.flags,
    wordSpans: [],
    test: args === undefined ? ['CMD-SHELL', rest(source, after)] : ['CMD', ...args],
    ...optional('interval', interval(flags, 'interval')),
    ...optional('timeout', interval(flags, 'timeout')),
    ...optional('startPeriod', interval(flags, 'start-period')),
    ...optional('startInterval', interval(flags, 'start-interval')),
    ...optional('retries', retries(flags)),
  }
}

/** Nanoseconds; undefined for "inherit", which 0 means too. */
function interval(flags: FlagValues, name: string): number | undefined {
  const text = flags.text(name)
  if (text === undefined || text === '') return undefined
  const span = flags.span(name)
  const nanoseconds = atSpan(span, () => asFault(() => parseDuration(text)))
  if (nanoseconds === 0) return undefined
  if (nanoseconds < 1e6) throw fault(`--${name} cannot be less than 1ms`, span)
  return nanoseconds
}

function retries(flags: FlagValues): number | undefined {
  const text = flags.text('retries')
  if (text === undefined || text === '') return undefined
  const count = parseInteger(text)
  if (count === undefined || count < 0)
    throw fault(`--retries must be a number that is not negative, not ${JSON.stringify(text)}`, flags.span('retries'))
  return count
}

function readOnbuild(source: Source, parts: Parts, base: Base): InstructionOf<'ONBUILD'> {
  if (parts.start === parts.end) throw needsOne(source, parts)
  const { flags } = flagsOf(source, parts, {})
  const inner = splitInstruction(source.line, source.escape, parts.start)
  const keyword = inner.keyword.text.toUpperCase()
  const place = spanOf(source.line, inner.keyword.start, inner.keyword.end)
  if (keyword === 'ONBUILD') throw fault('ONBUILD ONBUILD is not allowed', place, 'A trigger cannot set triggers.')
  if (keyword === 'FROM' || keyword === 'MAINTAINER') throw fault(`${keyword} is not allowed as an ONBUILD trigger`, place)
  const triggerText = withHeredocs(triggerLine(source.line.text.slice(inner.keyword.start)), source.heredocs)
  const trigger = readInstruction(source, inner, trimSpace(triggerText))
  return { ...base, kind: 'ONBUILD', flags, wordSpans: [], trigger, triggerText }
}

/** What is stored of the line: it is parsed again in another build. */
function triggerLine(text: string): string {
  const line = trimSpace(text)
  // There the escape is \ whatever this file says. Without something after it, one at the end would be a continuation, and vanish.
  return /(^|[^\\])\\$/.test(line) ? `${line}\v` : line
}

/** A line and the heredocs that it starts, as they stand in a file. */
export function withHeredocs(line: string, heredocs: readonly Heredoc[]): string {
  return [line, ...heredocs.map((heredoc) => heredoc.raw + heredoc.name)].join('\n')
}

/** A property that is absent where there is no value: `--chown=` is the same as no `--chown`. */
function optional<K extends string, V>(key: K, value: V | undefined): Partial<Record<K, V>> {
  return value === undefined || value === '' ? {} : ({ [key]: value } as Record<K, V>)
}
