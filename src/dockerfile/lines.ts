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

/** Reads the lines of a Dockerfile, or of a text that stands in one: then `fixed` says where. */
export function readLines(file: string, text: string, fixed?: Fixed): LineReader {
  const at = text.charCodeAt(0) === 0xfeff ? 1 : 0
  const directive = directiveReader()
  const scanner: Scanner = {
    file,
    text,
    fixed,
    directive,
    escape: fixed?.escape ?? '\\',
    inDirectives: true,
    at,
    line: 0,
    start: at,
    end: at,
  }
  return {
    get escape() {
      return scanner.escape
    },
    get line() {
      return scanner.line
    },
    next: () => nextLine(scanner),
    heredoc: (name, chomp) => readHeredoc(scanner, name, chomp),
  }
}

interface Fixed {
  readonly escape: Escape
  readonly span: Span
}

/** Where the reader stands. */
interface Scanner {
  readonly file: string
  readonly text: string
  readonly fixed: Fixed | undefined
  readonly directive: ReturnType<typeof directiveReader>
  escape: Escape
  inDirectives: boolean
  /** Where the next physical line begins. */
  at: number
  line: number
  /** The physical line that {@link advance} stands on: text[start, end), then its newline. */
  start: number
  end: number
}

/** The whole of the physical line, or its beginning up to `endColumn`. */
function spanHere({ fixed, file, line, start, end }: Scanner, endColumn = end - start + 1): Span {
  return fixed?.span ?? { file, line, column: 1, endLine: line, endColumn }
}

/** Goes to the next physical line. @returns false at the end of the file */
function advance(scanner: Scanner): boolean {
  const { text, at } = scanner
  if (at >= text.length) return false
  scanner.line++
  const newline = text.indexOf('\n', at)
  scanner.start = at
  scanner.end = newline < 0 ? text.length : newline
  scanner.at = newline < 0 ? text.length : newline + 1
  const { line, start, end } = scanner
  if ((end - start) * 3 > limit.lineBytes && utf8Length(text.slice(start, end), limit.lineBytes) > limit.lineBytes) {
    throw fault(
      `line ${line} is longer than ${limit.lineBytes} bytes`,
      spanHere(scanner, 2),
      'Split the line with continuation lines, or move the content to a file and COPY it.',
    )
  }
  return true
}

/** The end of the line without its newline characters. */
function lineEnd({ text, start, end }: Scanner): number {
  let stop = end
  while (stop > start && text.charCodeAt(stop - 1) === 0x0d) stop--
  return stop
}

/** Takes a parser directive. @returns false for what is none, which ends them */
function readDirective(scanner: Scanner, from: number, to: number): boolean {
  const line = scanner.directive(scanner.text.slice(from, to))
  if (line === 'end') {
    scanner.inDirectives = false
    return false
  }
  if ('duplicate' in line) throw fault(`only one ${line.duplicate} parser directive can be used`, spanHere(scanner), 'Remove this one.')
  if (line.name === 'escape') {
    if (line.value !== '\\' && line.value !== '`')
      throw fault(`invalid escape character ${JSON.stringify(line.value)}`, spanHere(scanner), 'Only \\ (the default) and ` can be chosen.')
    scanner.escape = line.value
  }
  return true
}

function nextLine(scanner: Scanner): LogicalLine | undefined {
  const { text } = scanner
  let comments: string[] = []
  while (advance(scanner)) {
    const stop = lineEnd(scanner)
    const from = skipSpace(text, scanner.start, stop)
    if (scanner.inDirectives && readDirective(scanner, from, stop)) continue
    if (from === stop) continue
    if (text.charCodeAt(from) === 0x23) {
      const comment = trimmed(text, from + 1, stop)
      if (comment === '') comments = []
      else comments.push(comment)
      continue
    }
    return joinLines(scanner, from, stop, comments)
  }
  return undefined
}

/** Joins the line that begins at `from` with those that continue it. */
function joinLines(scanner: Scanner, from: number, stop: number, comments: readonly string[]): LogicalLine {
  const { file, text, fixed, escape } = scanner
  const firstLine = scanner.line
  const pieces: Piece[] = [{ at: 0, line: firstLine, column: from - scanner.start + 1 }]
  const emptyLines: number[] = []
  let cut = continuation(text, from, stop, escape)
  const parts = [text.slice(from, cut < 0 ? stop : cut)]
  let length = parts[0]!.length
  let lastLine = firstLine
  let lastColumn = stop - scanner.start + 1
  while (cut >= 0 && advance(scanner)) {
    const { start, line } = scanner
    const stopHere = lineEnd(scanner)
    const first = skipSpace(text, start, stopHere)
    if (first === stopHere) {
      emptyLines.push(line)
      continue
    }
    if (text.charCodeAt(first) === 0x23) continue
    cut = continuation(text, start, stopHere, escape)
    const stopText = cut < 0 ? stopHere : cut
    if (stopText > start) {
      pieces.push({ at: length, line, column: 1 })
      parts.push(text.slice(start, stopText))
      length += stopText - start
    }
    lastLine = line
    lastColumn = stopHere - start + 1
  }
  const joined = { file, text: parts.join(''), pieces, firstLine, lastLine, lastColumn, comments, emptyLines }
  return { ...joined, ...(fixed !== undefined && { fixedSpan: fixed.span }) }
}

function readHeredoc(scanner: Scanner, name: string, chomp: boolean): ReturnType<LineReader['heredoc']> {
  const { text, at: from } = scanner
  while (advance(scanner)) {
    const { start, line } = scanner
    const stop = lineEnd(scanner)
    let first = start
    if (chomp) while (first < stop && text.charCodeAt(first) === 0x09) first++
    if (stop - first === name.length && text.startsWith(name, first))
      return { body: text.slice(from, start), endLine: line, endColumn: stop - start + 1 }
  }
  return undefined
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
