import { LineCounter, parseDocument } from 'yaml'
import { StaveError, type Span } from '#error.ts'

/** Keys from the root of a document. */
export type Path = readonly string[]

/** A YAML document, and how what is wrong in it is told: by file and line. */
export interface Yaml {
  readonly value: unknown
  map(path: Path, value: unknown): readonly (readonly [string, unknown])[]
  list(path: Path, value: unknown): readonly string[]
  text(path: Path, value: unknown): string
  boolean(path: Path, value: unknown): boolean | undefined
  fail(path: Path, problem: string, cause?: unknown): StaveError
  /** Adds file and line to what `read` throws. */
  guard<T>(path: Path, read: () => T): T
  span(path: Path): Span | undefined
}

/**
 * Parses a YAML document, with all scalars as text.
 *
 * @throws StaveError `invalid-document`, with the line
 */
export function openYaml(text: string, file: string): Yaml {
  const lines = new LineCounter()
  // In the failsafe schema all scalars are text: 1.10 is a tag and not the number 1.1.
  const options = { schema: 'failsafe', merge: true, lineCounter: lines, prettyErrors: false, logLevel: 'silent' } as const
  const document = bounded(() => parseDocument(text, options))
  const spanOf = ([from, to]: readonly [number, number, ...unknown[]]): Span => {
    const [start, end] = [lines.linePos(from), lines.linePos(Math.max(from, to - 1))]
    return { file, line: start.line, column: start.col, endLine: end.line, endColumn: end.col + 1 }
  }
  const [error] = document.errors
  if (error !== undefined)
    throw new StaveError('invalid-document', `cannot read ${file}: ${error.message}`, { span: spanOf(error.pos), text })
  // Nothing is where a value could stand.
  const isNothing = (value: unknown) => value === undefined || value === null || value === ''
  const yaml: Yaml = {
    value: bounded(() => document.toJS() as unknown),
    span(path) {
      const node: unknown = document.getIn(path, true)
      const range = typeof node === 'object' && node !== null && 'range' in node ? (node.range as [number, number, number] | null) : null
      return range ? spanOf(range) : undefined
    },
    fail(path, problem, cause) {
      const span = yaml.span(path)
      const where = path.length === 0 ? '' : `${path.join(': ')}: `
      return new StaveError('invalid-document', `cannot use ${file}: ${where}${problem}`, {
        ...(cause !== undefined && { cause }),
        ...(cause instanceof StaveError && cause.hint !== undefined && { hint: cause.hint }),
        ...(span && { span, text }),
      })
    },
    map(path, value) {
      if (isNothing(value)) return []
      if (typeof value !== 'object' || Array.isArray(value)) throw yaml.fail(path, 'it is not a map')
      return Object.entries(value)
    },
    list(path, value) {
      if (isNothing(value)) return []
      if (!Array.isArray(value)) throw yaml.fail(path, 'it is not a list')
      return value.map((item) => yaml.text(path, item))
    },
    text(path, value) {
      if (isNothing(value)) return ''
      if (typeof value !== 'string') throw yaml.fail(path, 'it is not a text')
      return value
    },
    boolean(path, value) {
      if (isNothing(value)) return undefined
      if (value !== 'true' && value !== 'false') throw yaml.fail(path, `it is true or false, not ${JSON.stringify(value)}`)
      return value === 'true'
    },
    guard(path, read) {
      try {
        return read()
      } catch (error) {
        throw error instanceof StaveError ? yaml.fail(path, error.message, error) : error
      }
    },
  }
  return yaml

  // An alias may stand for so much that its expansion is refused, and maps may be nested deeper than a reader can follow.
  function bounded<T>(read: () => T): T {
    try {
      return read()
    } catch (cause) {
      if (cause instanceof RangeError) throw new StaveError('invalid-document', `cannot read ${file}: it is nested too deep`)
      throw new StaveError('invalid-document', `cannot read ${file}`, { cause })
    }
  }
}
