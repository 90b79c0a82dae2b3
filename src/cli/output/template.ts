import { StaveError } from '#error.ts'

/**
 * Go templates, as far as `--format` of docker and podman needs them: fields, pipelines, `if`, `else`, `range`, `with`,
 * and the functions `json`, `join`, `index`, `len`, `lower`, `upper`, `title`, `split`, `println`, `printf`, `eq`, `ne`,
 * `lt`, `gt`, `le`, `ge`, `and`, `or`, `not`. A field that there is not is an error, as it is in Go; a key that a map lacks,
 * and a field that is left out where it is empty, are nothing.
 *
 * @throws StaveError `usage`
 */
export function compileTemplate(text: string): (data: unknown) => string {
  const source = text.replaceAll(String.raw`\t`, '\t').replaceAll(String.raw`\n`, '\n')
  const nodes = parse(source)
  return (data) => render(nodes, { root: data, dot: data, variables: new Map() })
}

type Node =
  | { kind: 'text'; text: string }
  | { kind: 'output'; pipeline: Pipeline }
  | { kind: 'set'; name: string; pipeline: Pipeline }
  | { kind: 'if' | 'with'; pipeline: Pipeline; body: Node[]; otherwise: Node[] }
  | { kind: 'range'; names: string[]; pipeline: Pipeline; body: Node[]; otherwise: Node[] }

type Pipeline = Term[][]
type Term =
  | { kind: 'literal'; value: unknown }
  | { kind: 'path'; from: 'dot' | 'root' | { variable: string } | { pipeline: Pipeline }; names: string[] }
  | { kind: 'name'; name: string }
  | { kind: 'group'; pipeline: Pipeline }

interface Scope {
  readonly root: unknown
  readonly dot: unknown
  readonly variables: ReadonlyMap<string, unknown>
}

function bad(problem: string): StaveError {
  return new StaveError('usage', `cannot use the template: ${problem}`, {
    hint: "Templates look like '{{.ID}} {{.Names}}' or '{{json .}}'.",
  })
}

function parse(source: string): Node[] {
  const parts: ({ text: string } | { action: string })[] = []
  let at = 0
  for (const match of source.matchAll(/\{\{(-\s)?((?:"(?:[^"\\]|\\.)*"|`[^`]*`|[^"`])*?)(\s-)?\}\}/g)) {
    let before = source.slice(at, match.index)
    if (match[1]) before = before.trimEnd()
    parts.push({ text: before }, { action: match[2]!.trim() })
    at = match.index + match[0].length
    if (match[3]) at += source.slice(at).length - source.slice(at).trimStart().length
  }
  if (source.indexOf('{{', at) >= 0) throw bad('a {{ is not closed')
  parts.push({ text: source.slice(at) })

  let index = 0
  const block = (ends: readonly string[]): { nodes: Node[]; end: string } => {
    const nodes: Node[] = []
    while (index < parts.length) {
      const part = parts[index++]!
      if ('text' in part) {
        if (part.text !== '') nodes.push({ kind: 'text', text: part.text })
        continue
      }
      const { action } = part
      const word = /^[a-z]+/.exec(action)?.[0] ?? ''
      if (action.startsWith('/*')) continue
      if (ends.includes(word) && /^(else|end)\b/.test(action)) return { nodes, end: action }
      const rest = action.slice(word.length).trim()
      if (word === 'if' || word === 'with') nodes.push(conditional(word, rest))
      else if (word === 'range') {
        const declared = /^(\$\w+)(?:\s*,\s*(\$\w+))?\s*:=\s*(.*)$/s.exec(rest)
        const body = block(['else', 'end'])
        const otherwise = body.end === 'else' ? block(['end']).nodes : []
        const names = declared ? [declared[1]!, declared[2]].filter((name) => name !== undefined) : []
        nodes.push({ kind: 'range', names, pipeline: parsePipeline(declared ? declared[3]! : rest), body: body.nodes, otherwise })
      } else {
        const set = /^(\$\w+)\s*:?=\s*(.*)$/s.exec(action)
        nodes.push(
          set ? { kind: 'set', name: set[1]!, pipeline: parsePipeline(set[2]!) } : { kind: 'output', pipeline: parsePipeline(action) },
        )
      }
    }
    if (ends.length > 0) throw bad('an {{end}} is missing')
    return { nodes, end: '' }
  }
  const conditional = (kind: 'if' | 'with', condition: string): Node => {
    const body = block(['else', 'end'])
    let otherwise: Node[] = []
    if (body.end === 'else') otherwise = block(['end']).nodes
    else if (body.end.startsWith('else if')) otherwise = [conditional('if', body.end.slice(7).trim())]
    return { kind, pipeline: parsePipeline(condition), body: body.nodes, otherwise }
  }
  return block([]).nodes
}

const tokenPattern = /\s*(?:("(?:[^"\\]|\\.)*")|(`[^`]*`)|(-?\d+(?:\.\d+)?)|(\$?(?:\.?[A-Za-z_][\w]*)(?:\.[A-Za-z_]\w*)*|\$|\.)|([()|]))/y

function parsePipeline(text: string): Pipeline {
  const tokens: string[] = []
  tokenPattern.lastIndex = 0
  const trimmed = text.trimEnd()
  while (tokenPattern.lastIndex < trimmed.length) {
    const start = tokenPattern.lastIndex
    const match = tokenPattern.exec(trimmed)
    if (!match) throw bad(`${JSON.stringify(trimmed.slice(start))} is not understood`)
    tokens.push(match[0].trim())
  }
  let index = 0
  const pipeline = (): Pipeline => {
    const commands: Pipeline = [[]]
    while (index < tokens.length && tokens[index] !== ')') {
      const token = tokens[index++]!
      if (token === '|') commands.push([])
      else commands.at(-1)!.push(term(token))
    }
    if (commands.some((command) => command.length === 0)) throw bad('a command is missing')
    return commands
  }
  const term = (token: string): Term => {
    if (token === '(') {
      const inner = pipeline()
      if (tokens[index++] !== ')') throw bad('a ) is missing')
      const next = tokens[index]
      if (next?.startsWith('.') && next !== '.') {
        index++
        return { kind: 'path', from: { pipeline: inner }, names: next.slice(1).split('.') }
      }
      return { kind: 'group', pipeline: inner }
    }
    if (token.startsWith('"')) return { kind: 'literal', value: JSON.parse(token) as unknown }
    if (token.startsWith('`')) return { kind: 'literal', value: token.slice(1, -1) }
    if (/^-?\d/.test(token)) return { kind: 'literal', value: Number(token) }
    if (token === 'true' || token === 'false') return { kind: 'literal', value: token === 'true' }
    if (token === 'nil') return { kind: 'literal', value: undefined }
    if (token === '.') return { kind: 'path', from: 'dot', names: [] }
    if (token.startsWith('.')) return { kind: 'path', from: 'dot', names: token.slice(1).split('.') }
    if (token.startsWith('$')) {
      const [variable = '$', ...names] = token.split('.')
      return { kind: 'path', from: variable === '$' ? 'root' : { variable }, names }
    }
    if (token.includes('.')) throw bad(`${JSON.stringify(token)} is not a function`)
    return { kind: 'name', name: token }
  }
  const result = pipeline()
  if (index < tokens.length) throw bad('a ) is one too many')
  return result
}

function render(nodes: readonly Node[], scope: Scope): string {
  let text = ''
  let variables = scope.variables
  for (const node of nodes) {
    const here = { ...scope, variables }
    switch (node.kind) {
      case 'text':
        text += node.text
        break
      case 'output':
        text += show(evaluate(node.pipeline, here))
        break
      case 'set':
        variables = new Map([...variables, [node.name, evaluate(node.pipeline, here)]])
        break
      case 'if': {
        text += render(truth(evaluate(node.pipeline, here)) ? node.body : node.otherwise, here)
        break
      }
      case 'with': {
        const value = evaluate(node.pipeline, here)
        text += truth(value) ? render(node.body, { ...here, dot: value }) : render(node.otherwise, here)
        break
      }
      case 'range': {
        const entries = entriesOf(evaluate(node.pipeline, here))
        if (entries.length === 0) text += render(node.otherwise, here)
        for (const [key, value] of entries) {
          const named: [string, unknown][] =
            node.names.length === 2
              ? [
                  [node.names[0]!, key],
                  [node.names[1]!, value],
                ]
              : node.names.map((name) => [name, value])
          text += render(node.body, { ...here, dot: value, variables: new Map([...variables, ...named]) })
        }
      }
    }
  }
  return text
}

function evaluate(pipeline: Pipeline, scope: Scope): unknown {
  let value: unknown
  for (const [index, [head, ...rest]] of pipeline.entries()) {
    const extra = index === 0 ? [] : [value]
    if (head?.kind === 'name') {
      const call = functions[head.name]
      if (!call) throw bad(`there is no function ${head.name}`)
      value = call([...rest.map((term) => termValue(term, scope)), ...extra])
    } else {
      const found = termValue(head!, scope)
      const operands = [...rest.map((term) => termValue(term, scope)), ...extra]
      if (typeof found === 'function') value = (found as (...values: unknown[]) => unknown)(...operands)
      else if (operands.length > 0) throw bad('what stands before an argument is not a function')
      else value = found
    }
  }
  return value
}

function termValue(term: Term, scope: Scope): unknown {
  switch (term.kind) {
    case 'literal':
      return term.value
    case 'group':
      return evaluate(term.pipeline, scope)
    case 'name': {
      const call = functions[term.name]
      if (!call) throw bad(`there is no function ${term.name}`)
      return call([])
    }
    case 'path': {
      let value =
        term.from === 'dot'
          ? scope.dot
          : term.from === 'root'
            ? scope.root
            : 'variable' in term.from
              ? scope.variables.get(term.from.variable)
              : evaluate(term.from.pipeline, scope)
      let isMap = false
      for (const name of term.names) {
        value = field(value, name, isMap)
        isMap = maps.has(plain(name))
      }
      return value
    }
  }
}

/** A field by its Go name: exactly, else whatever the case and the underscores of JSON (`DiffIDs` is `diff_ids`). */
function field(value: unknown, name: string, isMap: boolean): unknown {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'object') throw bad(`there is no field ${name} in ${JSON.stringify(value)}`)
  const record = value as Record<string, unknown>
  if (Object.hasOwn(record, name)) return record[name]
  const key = Object.keys(record).find((candidate) => plain(candidate) === plain(name))
  if (key !== undefined) return record[key]
  if (isMap || Array.isArray(value) || leftOut.has(plain(name))) return undefined
  throw new StaveError('usage', `cannot use the template: there is no field .${name}`, {
    hint: `Here are ${Object.keys(record).join(', ')}.`,
  })
}

function plain(text: string): string {
  return text.replaceAll('_', '').toLowerCase()
}

/** Fields whose keys are a person's and not ours. */
const maps: ReadonlySet<string> = new Set(
  ['Labels', 'Annotations', 'ExposedPorts', 'Volumes', 'Ports', 'Networks', 'Sysctls', 'Options', 'Data'].map(plain),
)

/** Fields of an image's or container's description that are not written where they are empty. */
const leftOut: ReadonlySet<string> = new Set(
  (
    'User ExposedPorts Env Entrypoint Cmd Volumes WorkingDir Labels StopSignal StopTimeout Shell OnBuild Healthcheck ArgsEscaped MacAddress ' +
    'Health Variant OsVersion OsFeatures Annotations ArtifactType Subject Platform Urls EmptyLayer Author Comment CreatedBy Created'
  )
    .split(' ')
    .map(plain),
)

const functions: Readonly<Record<string, (args: unknown[]) => unknown>> = {
  json: ([value]) => JSON.stringify(value ?? null),
  join: ([list, separator]) => (Array.isArray(list) ? list : []).map(show).join(String(separator ?? '')),
  index: ([value, ...keys]) =>
    keys.reduce<unknown>((at, key) => (Array.isArray(at) ? at[Number(key)] : field(at, String(key), true)), value),
  len: ([value]) => (typeof value === 'string' ? Buffer.byteLength(value) : entriesOf(value).length),
  lower: ([value]) => show(value).toLowerCase(),
  upper: ([value]) => show(value).toUpperCase(),
  title: ([value]) => show(value).replace(/\b\w/g, (letter) => letter.toUpperCase()),
  split: ([value, separator]) => show(value).split(String(separator ?? '')),
  truncate: ([value, length]) => show(value).slice(0, Number(length)),
  println: (values) => `${values.map(show).join(' ')}\n`,
  print: (values) => values.map(show).join(''),
  printf: ([format, ...values]) => {
    let next = 0
    return show(format).replace(
      /%([-+0]*)(\d*)(?:\.(\d+))?([svdqtfx%])/g,
      (_, flags: string, width: string, precision: string, verb: string) =>
        verb === '%' ? '%' : pad(verbText(verb, values[next++], precision), flags, Number(width)),
    )
  },
  table: () => '',
  eq: ([first, ...others]) => others.some((other) => other === first || show(other) === show(first)),
  ne: ([a, b]) => show(a) !== show(b),
  lt: ([a, b]) => Number(a) < Number(b),
  le: ([a, b]) => Number(a) <= Number(b),
  gt: ([a, b]) => Number(a) > Number(b),
  ge: ([a, b]) => Number(a) >= Number(b),
  and: (values) => values.find((value) => !truth(value)) ?? values.at(-1),
  or: (values) => values.find(truth) ?? values.at(-1),
  not: ([value]) => !truth(value),
}

/** fmt(3) of Go, as far as it is of use for text and counts. */
function verbText(verb: string, value: unknown, precision: string | undefined): string {
  if (verb === 'f') return Number(value).toFixed(precision === undefined ? 6 : Number(precision))
  if (verb === 'x') return typeof value === 'number' ? value.toString(16) : Buffer.from(show(value)).toString('hex')
  const text = precision === undefined ? show(value) : Array.from(show(value)).slice(0, Number(precision)).join('')
  return verb === 'q' ? JSON.stringify(text) : text
}

function pad(text: string, flags: string, width: number): string {
  return flags.includes('-') ? text.padEnd(width) : text.padStart(width, flags.includes('0') ? '0' : ' ')
}

function entriesOf(value: unknown): [unknown, unknown][] {
  if (Array.isArray(value)) return value.map((item, index) => [index, item])
  if (value !== null && typeof value === 'object') return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return []
}

function truth(value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === 0 || value === '') return false
  return typeof value !== 'object' || entriesOf(value).length > 0
}

/** A value as Go prints it: `[a b]`, `map[k:v]`. */
function show(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return `[${value.map(show).join(' ')}]`
  if (value instanceof Date) return value.toISOString()
  if (typeof value === 'object') {
    return `map[${entriesOf(value)
      .map(([key, item]) => `${String(key)}:${show(item)}`)
      .join(' ')}]`
  }
  return String(value)
}
