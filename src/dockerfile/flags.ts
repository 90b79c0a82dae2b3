import type { Span } from '#error.ts'
import { fault } from './fault.ts'
import type { Escape, Flag } from './instruction.ts'
import { didYouMean } from '#text/suggest.ts'
import { isAsciiSpace } from './white-space.ts'
import type { Word } from './words.ts'

/** What an instruction's flag takes: `true` or `false` or nothing; one value; or values, repeated. */
type FlagKind = 'boolean' | 'string' | 'list'
export type FlagTable = Readonly<Record<string, FlagKind>>

/** The flags of one instruction by name; lists in the order of the file. */
export interface FlagValues {
  readonly flags: readonly Flag[]
  text(name: string): string | undefined
  list(name: string): readonly string[]
  /** Undefined if not given. */
  boolean(name: string): boolean | undefined
  span(name: string): Span | undefined
}

/**
 * Takes the words that begin with `--` from the start of an instruction's arguments. Quotes around any part
 * protect blanks and are removed, and so are escapes. A bare `--` ends the flags.
 *
 * @returns the flags, and where the arguments begin
 */
export function splitFlags(text: string, start: number, end: number, escape: Escape): { words: Word[]; rest: number } {
  const words: Word[] = []
  let at = start
  for (;;) {
    while (at < end && isAsciiSpace(text.charCodeAt(at))) at++
    if (at >= end || text[at] !== '-' || text[at + 1] !== '-' || at + 1 >= end) return { words, rest: at }
    const from = at
    let word = ''
    let quote = ''
    for (; at < end; at++) {
      const character = text[at] as string
      if (quote === '' && isAsciiSpace(text.charCodeAt(at))) break
      if (character === quote) quote = ''
      else if (quote === '' && (character === "'" || character === '"')) quote = character
      else if (character === escape) {
        if (++at < end) word += text[at]
      } else word += character
    }
    const to = Math.min(at, end)
    if (word === '--') return { words, rest: to }
    words.push({ text: word, start: from, end: to })
    at = to
  }
}

/** Checks flags against the table of an instruction. */
export function readFlags(words: readonly Word[], table: FlagTable, place: (word: Word) => Span): FlagValues {
  const flags: Flag[] = []
  const values = new Map<string, { texts: string[]; span: Span }>()
  for (const word of words) {
    const span = place(word)
    const equals = word.text.indexOf('=')
    const shown = equals < 0 ? word.text : word.text.slice(0, equals)
    const name = shown.slice(2)
    const value = equals < 0 ? undefined : word.text.slice(equals + 1)
    const kind = Object.hasOwn(table, name) ? table[name] : undefined
    if (kind === undefined) {
      const known = Object.keys(table)
      const hint =
        didYouMean(name, known)?.replace('mean ', 'mean --') ??
        (known.length === 0 ? 'This instruction takes no flags.' : `It takes ${known.map((flag) => `--${flag}`).join(', ')}.`)
      throw fault(`unknown flag ${shown}`, span, hint)
    }
    const earlier = values.get(name)
    if (earlier !== undefined && kind !== 'list') throw fault(`flag ${shown} is given twice`, span, 'Remove one of them.')
    if (value === undefined && kind !== 'boolean') throw fault(`flag ${shown} needs a value`, span, `Write ${shown}=VALUE.`)
    if (kind === 'boolean') checkBoolean(shown, value, span)
    if (earlier === undefined) values.set(name, { texts: [value ?? ''], span })
    else earlier.texts.push(value ?? '')
    flags.push({ name, value: value ?? '', span })
  }
  return {
    flags,
    text: (name) => values.get(name)?.texts[0],
    list: (name) => values.get(name)?.texts ?? [],
    boolean: (name) => {
      const value = values.get(name)
      return value === undefined ? undefined : value.texts[0]?.toLowerCase() !== 'false'
    },
    span: (name) => values.get(name)?.span,
  }
}

function checkBoolean(shown: string, value: string | undefined, span: Span): void {
  if (value === undefined || /^(true|false)$/i.test(value)) return
  if (value === '') throw fault(`flag ${shown} has an empty value`, span, `Write ${shown}, ${shown}=true or ${shown}=false.`)
  throw fault(`flag ${shown} must be true or false, not ${JSON.stringify(value)}`, span)
}
