import type { Span } from '#error.ts'
import { fault } from './fault.ts'
import { directiveReader } from './directives.ts'
import type { Escape } from './instruction.ts'
import { isSpace, skipSpace, utf8Length } from './white-space.ts'
import * as limit from '#limit.ts'

/** A part of a logical line that stands on one physical line. */
interface Piece {
  /** Offset in the logical line. */
  readonly at: number
  readonly line: number
  readonly column: number
}

/** One instruction's text, its continuation lines joined, and where each part of it stands in the file. */
export interface LogicalLine {
  readonly file: string
  readonly text: string
  readonly pieces: readonly Piece[]
  readonly firstLine: number
  readonly lastLine: number
  /** Where the last physical line ends. */
  readonly lastColumn: number
  /** The comment lines above it, without `#`. An empty comment line begins anew. */
  readonly comments: readonly string[]
  /** Empty lines between its continuation lines: deprecated. */
  readonly emptyLines: readonly number[]
  /** For text that is in no file (a trigger of a base image): every span of it. */
  readonly fixedSpan?: Span
}

/** The place of `text[start, end)` of a logical line. */
export function spanOf(line: LogicalLine, start: number, end: number): Span {
  if (line.fixedSpan !== undefined) return line.fixedSpan
  const from = pieceAt(line.pieces, start)
  const last = Math.max(end - 1, start)
  const to = pieceAt(line.pieces, last)
  return {
    file: line.file,
    line: from.line,
    column: from.column + start - from.at,
    endLine: to.line,
    endColumn: to.column + last - to.at + (end > start ? 1 : 0),
  }
}

function pieceAt(pieces: readonly Piece[], offset: number): Piece {
  let low = 0
  let high = pieces.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((pieces[middle] as Piece).at <= offset) low = middle
    else high = middle - 1
  }
  return pieces[low] as Piece
}

/** A reader of logical lines; heredoc bodies are taken out of the file by whoever finds their start. */
export interface LineReader {
  /** As the `escape` directive says; fixed once the first instruction has been read. */
  readonly escape: Escape
  /** The line of the file that was read last. */
  readonly line: number
  next(): LogicalLine | undefined
  /**
   * The body of a heredoc, up to the line that is its name, and where that line ends.
   *
   * @returns undefined if the file ends first.
   */
  heredoc(name: string, chomp: boolean): { body: string; endLine: number; endColumn: number } | undefined
}

export function readLines(file: string, text: string, fixed?: { escape: Escape; span: Span }): LineReader {
  const directive = directiveReader()
  let escape: Escape = fixed?.escape ?? '\\'
  let inDirectives = true
  let at = text.charCodeAt(0) === 0xfeff ? 1 : 0
  let lineNumber = 0
  // The physical line that `advance` stands on: text[start, end), then its newline.
  let start = at
  let end = at

  function here(): Span {
    return fixed?.span ?? { file, line: lineNumber, column: 1, endLine: lineNumber, endColumn: end - start + 1 }
  }

  function advance(): boolean {
    if (at >= text.length) return false
    lineNumber++
    const newline = text.indexOf('\n', at)
    start = at
    end = newline < 0 ? text.length : newline
    at = newline < 0 ? text.length : newline + 1
    if ((end - start) * 3 > limit.lineBytes && utf8Length(text.slice(start, end), limit.lineBytes) > limit.lineBytes) {
      throw fault(
        `line ${lineNumber} is longer than ${limit.lineBytes} bytes`,
        fixed?.span ?? { file, line: lineNumber, column: 1, endLine: lineNumber, endColumn: 2 },
        'Split the line with continuation lines, or move the content to a file and COPY it.',
      )
    }
    return true
  }

  /** The end of the line without its newline characters. */
  function lineEnd(): number {
    let stop = end
    while (stop > start && text.charCodeAt(stop - 1) === 0x0d) stop--
    return stop
  }

  function readDirective(from: number, to: number): boolean {
    const line = directive(text.slice(from, to))
    if (line === 'end') {
      inDirectives = false
      return false
    }
    if ('duplicate' in line) throw fault(`only one ${line.duplicate} parser directive can be used`, here(), 'Remove this one.')
    if (line.name === 'escape') {
      if (line.value !== '\\' && line.value !== '`')
        throw fault(`invalid escape character ${JSON.stringify(line.value)}`, here(), 'Only \\ (the default) and ` can be chosen.')
      escape = line.value
    }
    return true
  }

  function next(): LogicalLine | undefined {
    let comments: string[] = []
    while (advance()) {
      const stop = lineEnd()
      const from = skipSpace(text, start, stop)
      if (inDirectives && readDirective(from, stop)) continue
      if (from === stop) continue
      if (text.charCodeAt(from) === 0x23) {
        const comment = trimmed(text, from + 1, stop)
        if (comment === '') comments = []
        else comments.push(comment)
        continue
      }
      return join(from, stop, comments)
    }
    return undefined
  }

  function join(from: number, stop: number, comments: readonly string[]): LogicalLine {
    const firstLine = lineNumber
    const pieces: Piece[] = [{ at: 0, line: lineNumber, column: from - start + 1 }]
    const emptyLines: number[] = []
    let cut = continuation(text, from, stop, escape)
    if (cut < 0) return logical(text.slice(from, stop), pieces, firstLine, lineNumber, stop - start + 1, comments, emptyLines)
    const parts = [text.slice(from, cut)]
    let length = cut - from
    let lastLine = lineNumber
    let lastColumn = stop - start + 1
    while (cut >= 0 && advance()) {
      const stopHere = lineEnd()
      const first = skipSpace(text, start, stopHere)
      if (first === stopHere) {
        emptyLines.push(lineNumber)
        continue
      }
      if (text.charCodeAt(first) === 0x23) continue
      cut = continuation(text, start, stopHere, escape)
      const stopText = cut < 0 ? stopHere : cut
      if (stopText > start) {
        pieces.push({ at: length, line: lineNumber, column: 1 })
        parts.push(text.slice(start, stopText))
        length += stopText - start
      }
      lastLine = lineNumber
      lastColumn = stopHere - start + 1
    }
    return logical(parts.join(''), pieces, firstLine, lastLine, lastColumn, comments, emptyLines)
  }

  function logical(
    joined: string,
    pieces: readonly Piece[],
    firstLine: number,
    lastLine: number,
    lastColumn: number,
    comments: readonly string[],
    emptyLines: readonly number[],
  ): LogicalLine {
    return {
      file,
      text: joined,
      pieces,
      firstLine,
      lastLine,
      lastColumn,
      comments,
      emptyLines,
      ...(fixed !== undefined && { fixedSpan: fixed.span }),
    }
  }

  function heredoc(name: string, chomp: boolean): { body: string; endLine: number; endColumn: number } | undefined {
    const from = at
    while (advance()) {
      const stop = lineEnd()
      let first = start
      if (chomp) while (first < stop && text.charCodeAt(first) === 0x09) first++
      if (stop - first === name.length && text.startsWith(name, first))
        return { body: text.slice(from, start), endLine: lineNumber, endColumn: stop - start + 1 }
    }
    return undefined
  }

  return {
    get escape() {
      return escape
    },
    get line() {
      return lineNumber
    },
    next,
    heredoc,
  }
}

/**
 * Where the text of a line ends that is continued on the next; -1 if it is not.
 *
 * The escape may be followed by blanks and tabs. One that stands after another escape does not continue the
 * line, so `\\` does not, and neither does `\\\` (a known fault of BuildKit, kept since images depend on it).
 */
function continuation(text: string, start: number, end: number, escape: Escape): number {
  let at = end
  while (at > start && (text.charCodeAt(at - 1) === 0x20 || text.charCodeAt(at - 1) === 0x09)) at--
  if (at === start || text[at - 1] !== escape) return -1
  if (at - 1 > start && text[at - 2] === escape) return -1
  return at - 1
}

function trimmed(text: string, start: number, end: number): string {
  const from = skipSpace(text, start, end)
  let to = end
  while (to > from && isSpace(text.charCodeAt(to - 1))) to--
  return text.slice(from, to)
}
