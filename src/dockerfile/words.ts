import type { Escape } from './instruction.ts'
import { isSeparator, isSpace } from './white-space.ts'

/** A part of a logical line: its text, maybe without quotes, and where it stands, as offsets. */
export interface Word {
  readonly text: string
  readonly start: number
  readonly end: number
}

/** Splits at blanks and nothing else: quotes do not group (COPY, ADD, FROM, EXPOSE, VOLUME). */
export function splitBlanks(text: string, start: number, end: number): Word[] {
  const words: Word[] = []
  let at = start
  while (at < end) {
    const from = at
    while (at < end && !isSeparator(text.charCodeAt(at))) at++
    words.push({ text: text.slice(from, at), start: from, end: at })
    while (at < end && isSeparator(text.charCodeAt(at))) at++
  }
  return words
}

/**
 * Splits at blanks outside of quotes; quotes and escapes stay, for the expansion to remove (ENV, LABEL, ARG).
 * An escape at the very end vanishes.
 */
export function splitQuoted(text: string, start: number, end: number, escape: Escape): Word[] {
  const words: Word[] = []
  let at = start
  let wordStart = -1
  let quote = ''
  let hasQuotes = false
  let stop = end
  const finish = (to: number): void => {
    if (wordStart >= 0 && (hasQuotes || to > wordStart)) words.push({ text: text.slice(wordStart, to), start: wordStart, end: to })
    wordStart = -1
    hasQuotes = false
  }
  for (; at < end; at++) {
    const character = text[at] as string
    if (quote === '' && isSpace(text.charCodeAt(at))) {
      finish(at)
      continue
    }
    if (wordStart < 0) wordStart = at
    if (quote !== '') {
      if (character === quote) quote = ''
      // Nothing is escaped inside single quotes, so that Windows paths can be written.
      else if (character === escape && quote !== "'") {
        if (at + 1 === end) stop = at
        at++
      }
    } else if (character === "'" || character === '"') {
      quote = character
      hasQuotes = true
    } else if (character === escape) {
      if (at + 1 === end) stop = at
      at++
    }
  }
  finish(stop)
  return words
}
