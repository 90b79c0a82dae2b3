import { fault, shortened } from './fault.ts'
import type { Escape } from './instruction.ts'
import { parsePattern, removePrefix, removeSuffix, replacePattern } from './pattern.ts'
import { isSpace } from './white-space.ts'
import * as limit from '#limit.ts'

/** The value of a variable; undefined if it is not set. */
export type Lookup = (name: string) => string | undefined

export interface ExpandOptions {
  readonly escape?: Escape
  /** Names that were looked up and set are added to it. */
  readonly used?: Set<string>
  /** Names that were looked up and not set are added to it, other than in forms that say what then: `${x:-w}`. */
  readonly unset?: Set<string>
}

/**
 * Expands the variables of one word and removes its quotes and escapes, as BuildKit's shell lexer does
 * (reference: Dockerfile, "Environment replacement"). Blanks in the word stay.
 *
 * @throws StaveError `dockerfile`, without span: the caller knows the place
 */
export function expand(word: string, lookup: Lookup, options: ExpandOptions = {}): string {
  if (isPlain(word, options.escape ?? '\\')) return word
  return new Expansion(word, lookup, options).run().text
}

/**
 * As {@link expand}, and splits the result into words at unquoted blanks, also those that came from a variable.
 *
 * NOTE: BuildKit loses what stands before a nested form in the same word (`1${x:-2}` gives `2`); this does not.
 */
export function expandWords(word: string, lookup: Lookup, options: ExpandOptions = {}): string[] {
  return new Expansion(word, lookup, options).run().words
}

/** Expands the body of a COPY or ADD heredoc: quotes are ordinary characters and the escape is always `\`. */
export function expandHeredoc(content: string, lookup: Lookup, options: ExpandOptions = {}): string {
  if (!content.includes('$') && !content.includes('\\')) return content
  return new Expansion(content, lookup, { ...options, escape: '\\' }, { quotes: 'ordinary', limit: limit.heredocLength }).run().text
}

/** For display: expands what is set, keeps quotes, and leaves the text alone where it is not well formed. */
export function expandForDisplay(text: string, lookup: Lookup, options: ExpandOptions = {}): string {
  try {
    return new Expansion(text, lookup, options, { quotes: 'kept', keepUnset: true }).run().text
  } catch {
    return text // Not an expansion then: a shell's own `${!x}`, an apostrophe in a comment.
  }
}

/** The words of a line as they stand, split as a shell would: quotes, escapes and variables stay. Undefined if it is not well formed. */
export function rawWords(line: string): string[] | undefined {
  try {
    return new Expansion(line, () => undefined, {}, { quotes: 'kept', keepUnset: true, escapes: 'kept', limit: limit.heredocLength }).run()
      .words
  } catch {
    return undefined // A line of a shell that this lexer does not follow has no words to find heredocs in.
  }
}

interface Modes {
  /** `removed`: they quote. `kept`: they quote and stay. `ordinary`: they are text. */
  readonly quotes?: 'removed' | 'kept' | 'ordinary'
  readonly escapes?: 'removed' | 'kept'
  readonly limit?: number
  /** Leave unset variables as they are written. */
  readonly keepUnset?: boolean
}

/** Words with quotes kept or removed: what {@link Expansion} does for heredoc names. @internal */
export function lexWords(text: string, modes: Modes): string[] {
  return new Expansion(text, () => undefined, {}, modes).run().words
}

function isPlain(word: string, escape: Escape): boolean {
  for (let i = 0; i < word.length; i++) {
    const character = word[i]
    if (character === '$' || character === '"' || character === "'" || character === escape) return false
  }
  return true
}

/** Splits what is added into words at blanks that are not quoted. */
class Words {
  readonly done: string[] = []
  #current = ''
  #open = false

  /** Text that may be split. */
  add(text: string): void {
    let from = 0
    for (let i = 0; i < text.length; i++) {
      if (!isSpace(text.charCodeAt(i))) continue
      if (i > from) this.addQuoted(text.slice(from, i))
      this.end()
      from = i + 1
    }
    if (from < text.length) this.addQuoted(from === 0 ? text : text.slice(from))
  }

  /** Text that stays in one word. */
  addQuoted(text: string): void {
    this.#current += text
    this.#open = true
  }

  end(): void {
    // A word of nothing, such as "", vanishes.
    if (this.#open && this.#current !== '') {
      this.done.push(this.#current)
      this.#current = ''
      this.#open = false
    }
  }
}

class Expansion {
  readonly #text: string
  readonly #lookup: Lookup
  readonly #options: ExpandOptions
  readonly #modes: Modes
  readonly #escape: Escape
  readonly #limit: number
  #at = 0
  #depth = 0

  constructor(text: string, lookup: Lookup, options: ExpandOptions, modes: Modes = {}) {
    this.#text = text
    this.#lookup = lookup
    this.#options = options
    this.#modes = modes
    this.#escape = options.escape ?? '\\'
    this.#limit = modes.limit ?? limit.wordLength
  }

  run(): { text: string; words: string[] } {
    const words = new Words()
    const text = this.#until(undefined, this.#modes.escapes === 'kept', words)
    words.end()
    return { text, words: words.done }
  }

  /** Processes up to `stop`, which is consumed, or to the end. `rawEscapes`: escapes stay, for patterns. */
  #until(stop: '}' | '/' | undefined, rawEscapes: boolean, words?: Words): string {
    const text = this.#text
    const quotes = this.#modes.quotes !== 'ordinary'
    let out = ''
    while (this.#at < text.length) {
      const character = text[this.#at] as string
      if (character === stop) {
        this.#at++
        return out
      }
      if (character === '$') {
        const value = this.#dollar()
        out += value
        words?.add(value)
        this.#check(out)
      } else if (quotes && (character === "'" || character === '"')) {
        const value = character === "'" ? this.#singleQuoted() : this.#doubleQuoted(rawEscapes)
        out += value
        words?.addQuoted(value)
      } else if (character === '<' && text[this.#at + 1] === '<') {
        // Blanks between `<<` and the name of a heredoc belong to the word.
        const from = this.#at
        this.#at += 2
        while (this.#at < text.length && ' \t\r'.includes(text[this.#at] as string)) this.#at++
        const value = text.slice(from, this.#at)
        out += value
        words?.addQuoted(value)
      } else if (character === this.#escape) {
        const escaped = this.#text.slice(this.#at + 1, this.#at + 2)
        const value = rawEscapes ? character + escaped : escaped
        this.#at += 2
        out += value
        if (value !== '') words?.addQuoted(value)
      } else {
        const from = this.#at
        do this.#at++
        while (this.#at < text.length && this.#isOrdinary(text[this.#at] as string, stop))
        const value = text.slice(from, this.#at)
        out += value
        words?.add(value)
      }
    }
    if (stop !== undefined) throw fault(`missing ${stop} at the end of ${this.#excerpt()}`)
    return out
  }

  #isOrdinary(character: string, stop: string | undefined): boolean {
    return (
      character !== '$' && character !== "'" && character !== '"' && character !== '<' && character !== this.#escape && character !== stop
    )
  }

  #singleQuoted(): string {
    const end = this.#text.indexOf("'", this.#at + 1)
    if (end < 0) throw this.#unterminated('single')
    const value = this.#modes.quotes === 'kept' ? this.#text.slice(this.#at, end + 1) : this.#text.slice(this.#at + 1, end)
    this.#at = end + 1
    return value
  }

  #doubleQuoted(rawEscapes: boolean): string {
    const text = this.#text
    const kept = this.#modes.quotes === 'kept'
    let out = kept ? '"' : ''
    this.#at++
    while (this.#at < text.length) {
      const character = text[this.#at] as string
      if (character === '"') {
        this.#at++
        return kept ? `${out}"` : out
      }
      if (character === '$') {
        out += this.#dollar()
        this.#check(out)
      } else if (character === this.#escape) {
        const next = text[this.#at + 1]
        const escapable = next === '"' || next === '$' || next === this.#escape
        // Before another character the escape is an ordinary one; at the very end it vanishes.
        out += (rawEscapes ? character : '') + (escapable ? next : next === undefined ? '' : character)
        this.#at += escapable ? 2 : 1
      } else {
        const from = this.#at
        do this.#at++
        while (this.#at < text.length && text[this.#at] !== '"' && text[this.#at] !== '$' && text[this.#at] !== this.#escape)
        out += text.slice(from, this.#at)
      }
    }
    throw this.#unterminated('double')
  }

  #dollar(): string {
    this.#at++
    if (this.#text[this.#at] !== '{') {
      const name = this.#name()
      if (name === '') return '$'
      return this.#get(name) ?? (this.#modes.keepUnset ? `$${name}` : '')
    }
    this.#at++
    const first = this.#text[this.#at]
    if (first === undefined) throw fault(`missing } at the end of ${this.#excerpt()}`)
    if (first === '{' || first === '}' || first === ':')
      throw fault(`bad substitution \${${first} in ${this.#excerpt()}`, undefined, 'A variable is written $name or ${name}.')
    if (++this.#depth > limit.expansionDepth) throw fault(`variables nest deeper than ${limit.expansionDepth} levels`)
    const value = this.#braced(this.#name())
    this.#depth--
    return value
  }

  /** What follows the name in `${name…}`. */
  #braced(name: string): string {
    let modifier = this.#character()
    if (modifier === '}') return this.#get(name) ?? (this.#modes.keepUnset ? `\${${name}}` : '')
    if (modifier === '') throw fault(`missing } at the end of ${this.#excerpt()}`)
    if (modifier === '/') return this.#replace(name)
    const nullIsUnset = modifier === ':'
    if (nullIsUnset) modifier = this.#character()
    const shown = nullIsUnset ? `:${modifier}` : modifier
    const isPattern = modifier === '#' || modifier === '%'
    if (!'+-?#%'.includes(modifier) || modifier === '' || (nullIsUnset && isPattern)) {
      throw fault(
        `unsupported modifier ${shown} in \${${name}${shown}…}`,
        undefined,
        'The forms are ${x:-w} ${x-w} ${x:+w} ${x+w} ${x:?m} ${x?m} ${x#p} ${x##p} ${x%p} ${x%%p} ${x/p/r} ${x//p/r}.',
      )
    }
    const word = this.#until('}', isPattern)
    const value = isPattern ? this.#get(name) : this.#getOptional(name)
    if (value === undefined && this.#modes.keepUnset) return `\${${name}${shown}${word}}`
    const isUnset = value === undefined || (nullIsUnset && value === '')
    switch (modifier) {
      case '-':
        return isUnset ? word : value
      case '+':
        return isUnset ? '' : word
      case '?':
        if (!isUnset) return value
        throw fault(
          `${shortened(name)}: ${word !== '' ? shortened(word) : value === undefined ? 'is not allowed to be unset' : 'is not allowed to be empty'}`,
        )
      default: {
        const longest = word[0] === modifier
        const pattern = longest ? word.slice(1) : word
        const subject = value ?? ''
        const parsed = parsePattern(pattern)
        this.#checkWork(subject, parsed.length)
        return modifier === '#' ? removePrefix(subject, parsed, longest) : removeSuffix(subject, parsed, longest)
      }
    }
  }

  #replace(name: string): string {
    const all = this.#text[this.#at] === '/'
    if (all) this.#at++
    const pattern = this.#until('/', true)
    const replacement = this.#until('}', true)
    const value = this.#get(name)
    if (value === undefined && this.#modes.keepUnset) return `\${${name}/${pattern}/${replacement}}`
    const parsed = parsePattern(pattern)
    const subject = value ?? ''
    this.#checkWork(subject, parsed.length)
    const result = replacePattern(subject, parsed, replacement, { all, limit: this.#limit })
    if (result === undefined) throw this.#tooLong()
    return result
  }

  /** A name: letters, digits and `_`; or only digits; or one special parameter of a shell. */
  #name(): string {
    const text = this.#text
    const start = this.#at
    const first = text.codePointAt(start)
    if (first === undefined) return ''
    if (isDigit(first)) {
      while (isDigit(text.codePointAt(this.#at) ?? 0)) this.#at += (text.codePointAt(this.#at) as number) > 0xffff ? 2 : 1
      return text.slice(start, this.#at)
    }
    if ('@*#?-$!'.includes(text[start] as string)) {
      this.#at++
      return text.slice(start, this.#at)
    }
    for (;;) {
      const point = text.codePointAt(this.#at)
      if (point === undefined || !(point === 0x5f || isLetter(point) || isDigit(point))) return text.slice(start, this.#at)
      this.#at += point > 0xffff ? 2 : 1
    }
  }

  #character(): string {
    const point = this.#text.codePointAt(this.#at)
    if (point === undefined) return ''
    const character = String.fromCodePoint(point)
    this.#at += character.length
    return character
  }

  #get(name: string): string | undefined {
    const value = this.#getOptional(name)
    if (value === undefined) this.#options.unset?.add(name)
    return value
  }

  #getOptional(name: string): string | undefined {
    const value = this.#lookup(name)
    if (value !== undefined) this.#options.used?.add(name)
    return value
  }

  #check(text: string): string {
    if (text.length > this.#limit) throw this.#tooLong()
    return text
  }

  #checkWork(subject: string, parts: number): void {
    if (subject.length > limit.patternLength || subject.length * parts > limit.patternWork)
      throw fault(`the value and the pattern in ${this.#excerpt()} are too long`)
  }

  #tooLong(): Error {
    return fault(`the expansion of ${this.#excerpt()} is longer than ${this.#limit} characters`)
  }

  #unterminated(kind: 'single' | 'double'): Error {
    const quote = kind === 'single' ? "'" : '"'
    return fault(
      `a ${kind} quote is not closed in ${this.#excerpt()}`,
      undefined,
      `Write ${this.#escape}${quote} for an ordinary ${quote}, or close the quotes.`,
    )
  }

  #excerpt(): string {
    return JSON.stringify(this.#text.length > 60 ? `${this.#text.slice(0, 57)}…` : this.#text)
  }
}

function isDigit(point: number): boolean {
  return point < 0x80 ? point >= 0x30 && point <= 0x39 : /^\p{Nd}$/u.test(String.fromCodePoint(point))
}

function isLetter(point: number): boolean {
  if (point < 0x80) return (point >= 0x61 && point <= 0x7a) || (point >= 0x41 && point <= 0x5a)
  return /^\p{L}$/u.test(String.fromCodePoint(point))
}
