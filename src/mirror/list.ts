import { LineCounter, parseDocument } from 'yaml'
import { StaveError, type Span } from '#error.ts'
import { isDigest } from '#oci/digest.ts'
import { isTag } from '#oci/reference.ts'
import { parseRepository, type Choice, type Wanted } from './wanted.ts'
import { parseConstraint } from './version.ts'

/** One registry of a list. */
export interface ListedRegistry {
  readonly name: string
  readonly tlsVerify?: boolean
  readonly certDir?: string
  readonly credentials?: { readonly username: string; readonly password: string }
  readonly wanted: readonly Wanted[]
}

export interface List {
  readonly registries: readonly ListedRegistry[]
  /** Keys that mean nothing. */
  readonly unknown: readonly { readonly key: string; readonly line?: number }[]
}

const keys = ['images', 'images-by-tag-regex', 'images-by-semver', 'credentials', 'tls-verify', 'cert-dir']

/**
 * Reads a list of what to mirror, as skopeo has it: registries, and for each of them repositories with tags, with a
 * regular expression, or with a constraint on versions.
 *
 * @throws StaveError `invalid-document`, with the line
 * @see skopeo-sync(1), "YAML file content"
 */
export function parseList(text: string, file: string): List {
  const yaml = openYaml(text, file)
  const unknown: { key: string; line?: number }[] = []
  const registries: ListedRegistry[] = []
  for (const [name, value] of yaml.map([], yaml.value)) {
    const settings = new Map(yaml.map([name], value))
    for (const key of settings.keys()) {
      if (!keys.includes(key)) unknown.push({ key: `${name}: ${key}`, ...lineOf(yaml.span([name, key])) })
    }
    const credentials = new Map(yaml.map([name, 'credentials'], settings.get('credentials')))
    const username = yaml.text([name, 'credentials', 'username'], credentials.get('username'))
    const password = yaml.text([name, 'credentials', 'password'], credentials.get('password'))
    const tlsVerify = yaml.boolean([name, 'tls-verify'], settings.get('tls-verify'))
    const certDir = yaml.text([name, 'cert-dir'], settings.get('cert-dir'))
    registries.push({
      name,
      ...(tlsVerify !== undefined && { tlsVerify }),
      ...(certDir !== '' && { certDir }),
      ...(username !== '' && { credentials: { username, password } }),
      wanted: wantedOf(yaml, name, settings),
    })
  }
  return { registries, unknown }
}

function wantedOf(yaml: Yaml, registry: string, settings: ReadonlyMap<string, unknown>): readonly Wanted[] {
  const each = (key: string, choose: (path: readonly string[], value: unknown) => Choice): Wanted[] =>
    yaml.map([registry, key], settings.get(key)).map(([repository, value]) => {
      const path = [registry, key, repository]
      return {
        repository: yaml.guard(path, () => parseRepository(`${registry}/${repository}`)),
        choice: choose(path, value),
        account: registry,
      }
    })
  return [
    ...each('images', (path, value) => {
      const names = yaml.list(path, value)
      const wrong = names.find((name) => !isTag(name) && !isDigest(name))
      if (wrong !== undefined) throw yaml.fail(path, `${JSON.stringify(wrong)} is neither a tag nor a digest`)
      return names.length === 0 ? { kind: 'all' } : { kind: 'names', names }
    }),
    ...each('images-by-tag-regex', (path, value) => {
      const pattern = yaml.guard(path, () => parsePattern(yaml.text(path, value)))
      return { kind: 'matching', accepts: (tag) => pattern.test(tag) }
    }),
    ...each('images-by-semver', (path, value) => ({
      kind: 'matching',
      accepts: yaml.guard(path, () => parseConstraint(yaml.text(path, value))),
    })),
  ]
}

/** Go's expressions differ from ours in what tags can show only where flags stand at their start. */
function parsePattern(text: string): RegExp {
  const [, flags = '', pattern = ''] = /^(?:\(\?([ims]+)\))?(.*)$/s.exec(text)!
  try {
    return new RegExp(pattern, [...new Set(flags)].join(''))
  } catch (cause) {
    throw new StaveError('invalid-document', `${JSON.stringify(text)} is not a regular expression`, { cause })
  }
}

type Path = readonly string[]

/** A document, and how what is wrong in it is told: by file and line. */
interface Yaml {
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

function openYaml(text: string, file: string): Yaml {
  const lines = new LineCounter()
  // In the failsafe schema all scalars are text: 1.10 is a tag and not the number 1.1.
  const document = parseDocument(text, { schema: 'failsafe', merge: true, lineCounter: lines, prettyErrors: false })
  const spanOf = ([from, to]: readonly [number, number, ...unknown[]]): Span => {
    const [start, end] = [lines.linePos(from), lines.linePos(Math.max(from, to - 1))]
    return { file, line: start.line, column: start.col, endLine: end.line, endColumn: end.col + 1 }
  }
  const [error] = document.errors
  if (error !== undefined) {
    throw new StaveError('invalid-document', `cannot read ${file}: ${error.message}`, { span: spanOf(error.pos), text })
  }
  // Nothing is where a value could stand.
  const isNothing = (value: unknown) => value === undefined || value === null || value === ''
  const yaml: Yaml = {
    value: expand(() => document.toJS() as unknown),
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

  // An alias may stand for so much that its expansion is refused.
  function expand(read: () => unknown): unknown {
    try {
      return read()
    } catch (cause) {
      throw new StaveError('invalid-document', `cannot read ${file}`, { cause })
    }
  }
}

function lineOf(span: Span | undefined): { line?: number } {
  return span === undefined ? {} : { line: span.line }
}
