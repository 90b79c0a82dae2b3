import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments, type Document, type Node, type Scalar } from 'yaml'
import { StaveError, type Span } from '#error.ts'
import * as limit from '#limit.ts'
import { interpolate, type Variables } from './interpolate.ts'

/** Keys from the root of a document; places in lists count from 0. */
export type Path = readonly (string | number)[]

/** Stands for a value that takes away what files before have, and puts this in its place (`!override`) or nothing (`!reset`). */
export class Replacement {
  readonly value: unknown
  constructor(value: unknown) {
    this.value = value
  }
}

/** What a YAML file says, and where. */
export interface Source {
  /** As it is named in messages. */
  readonly file: string
  readonly value: unknown
  /** An error about a place in it, which shows the line. */
  fail(path: Path, problem: string, options?: { readonly hint?: string; readonly cause?: unknown }): StaveError
}

/**
 * Reads a YAML document as Compose does: the core schema, aliases and merge keys, `!reset` and `!override`, with the variables in
 * its values replaced.
 *
 * @throws StaveError `invalid-document`, with the line; `too-large` if aliases make it larger than any file needs to be
 */
export function readSource(text: string, file: string, variables: Variables, onUnset: (name: string) => void): Source {
  if (text.length > limit.composeLength)
    throw new StaveError('too-large', `cannot read ${file}: it is longer than ${limit.composeLength} characters`)
  const lines = new LineCounter()
  const document = parsed(text, file, lines)
  const spanOf = (node: Node | null | undefined): Span | undefined => {
    const range = node?.range
    if (!range) return undefined
    const [start, end] = [lines.linePos(range[0]), lines.linePos(Math.max(range[0], range[1] - 1))]
    return { file, line: start.line, column: start.col, endLine: end.line, endColumn: end.col + 1 }
  }
  const spans = new Map<string, Span>()
  const failAt = (
    span: Span | undefined,
    path: Path,
    problem: string,
    options: { readonly hint?: string; readonly cause?: unknown } = {},
  ) => {
    const where = path.length === 0 ? '' : `${path.join('.')}: `
    return new StaveError('invalid-document', `cannot use ${file}: ${where}${problem}`, { ...options, ...(span && { span, text }) })
  }
  let nodes = 0
  const convert = (node: unknown, path: Path, open: readonly unknown[]): unknown => {
    if (++nodes > limit.composeNodes)
      throw new StaveError('too-large', `cannot read ${file}: with its aliases it has more than ${limit.composeNodes} values`)
    if (path.length > limit.composeDepth)
      throw failAt(spanOf(node as Node), path.slice(0, 3), `it nests deeper than ${limit.composeDepth} levels`)
    if (isAlias(node)) {
      const target = node.resolve(document)
      if (target === undefined || open.includes(target))
        throw failAt(spanOf(node), path, `the alias *${node.source} leads ${target === undefined ? 'nowhere' : 'to itself'}`)
      return convert(target, path, open)
    }
    const span = spanOf(node as Node)
    if (span !== undefined) spans.set(path.join('\0'), span)
    const tag = (node as Node | null)?.tag
    if (tag === '!reset') return new Replacement(undefined)
    const value = plain(node, path, [...open, node])
    return tag === '!override' ? new Replacement(value) : value
  }
  const plain = (node: unknown, path: Path, open: readonly unknown[]): unknown => {
    if (isScalar(node)) {
      return scalarValue(node, variables, onUnset, ({ message, hint }) =>
        failAt(spanOf(node), path, message, { ...(hint !== undefined && { hint }) }),
      )
    }
    if (isSeq(node)) return node.items.map((item, at) => convert(item, [...path, at], open))
    if (!isMap(node)) return null
    const result: Record<string, unknown> = {}
    const merged: Record<string, unknown>[] = []
    for (const { key, value } of node.items) {
      if (!isScalar(key)) throw failAt(spanOf(key as Node), path, 'a key is not a text')
      const name = String(key.value)
      if (name === '<<') {
        const found = convert(value, path, open)
        for (const part of Array.isArray(found) ? found : [found]) {
          if (!isRecord(part)) throw failAt(spanOf(value as Node), path, '<< takes a map, or a list of maps')
          merged.push(part)
        }
      } else {
        const keySpan = spanOf(key)
        setOwn(result, name, convert(value, [...path, name], open))
        if (keySpan !== undefined && (value === null || isMap(value) || isSeq(value))) spans.set([...path, name].join('\0'), keySpan)
      }
    }
    for (const part of merged) addMissing(result, part)
    return result
  }
  return {
    file,
    value: document.contents === null ? {} : convert(document.contents, [], []),
    fail(path, problem, options) {
      for (let length = path.length; length >= 0; length--) {
        const span = spans.get(path.slice(0, length).join('\0'))
        if (span !== undefined) return failAt(span, path, problem, options)
      }
      return failAt(undefined, path, problem, options)
    },
  }
}

/** The value of a scalar, with its variables replaced. @throws what `fail` makes of an error of a variable */
function scalarValue(
  node: Scalar,
  variables: Variables,
  onUnset: (name: string) => void,
  fail: (error: StaveError) => StaveError,
): unknown {
  // As in YAML 1.1, which files of Compose are written for: modes of files begin with a zero.
  if (typeof node.value === 'number' && /^0[0-7]+$/.test(node.source ?? '')) return Number.parseInt(node.source as string, 8)
  if (typeof node.value !== 'string') return node.value
  try {
    return interpolate(node.value, variables, onUnset)
  } catch (error) {
    throw error instanceof StaveError ? fail(error) : error
  }
}

/** What a merge key brings: what is there already stays. */
function addMissing(result: Record<string, unknown>, part: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(part)) if (!Object.hasOwn(result, name)) setOwn(result, name, value)
}

function parsed(text: string, file: string, lineCounter: LineCounter): Document.Parsed {
  let documents: readonly Document.Parsed[]
  try {
    documents = parseAllDocuments(text, { schema: 'core', lineCounter, prettyErrors: false, logLevel: 'silent', uniqueKeys: true }) as never
  } catch (cause) {
    throw new StaveError('invalid-document', `cannot read ${file}: it is nested too deep`, { cause })
  }
  const [document, second] = documents
  if (document === undefined) throw new StaveError('invalid-document', `cannot read ${file}: it is empty`)
  if (second !== undefined) throw new StaveError('invalid-document', `cannot read ${file}: it has several documents`)
  const [error] = document.errors
  if (error === undefined) return document
  const [start, end] = [lineCounter.linePos(error.pos[0]), lineCounter.linePos(error.pos[1])]
  throw new StaveError('invalid-document', `cannot read ${file}: ${error.message}`, {
    span: { file, line: start.line, column: start.col, endLine: end.line, endColumn: end.col + 1 },
    text,
  })
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Replacement)
}

/** Also a key that objects have otherwise, such as `__proto__`, is one like others. */
function setOwn(record: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(record, name, { value, enumerable: true, configurable: true, writable: true })
}
