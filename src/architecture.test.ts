import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, posix } from 'node:path'
import { expect, test } from 'vitest'

/** DESIGN: each layer imports only those below it. The table is the rule; what a folder may import is its own number or less. */
const layers: Readonly<Record<string, number>> = {
  cli: 6,
  builder: 5,
  container: 5,
  store: 4,
  sandbox: 3.4,
  attest: 4,
  trust: 4,
  artifact: 4,
  mirror: 4.5,
  // The one switch over transports; the store is given to it.
  places: 3.8,
  // Names, addresses and the words of the runner; the store keeps its records.
  network: 3.5,
  registry: 3,
  layout: 3,
  archive: 3,
  runner: 3,
  image: 2,
  oci: 1,
  compose: 2.5,
  text: 0,
}
/** dockerfile/ is pure: it knows names and errors, and no place. */
const dockerfileMay = ['oci', 'text']
const transports = ['registry', 'layout', 'archive', 'runner']
const root = import.meta.dirname
const files = globSync('**/*.ts', { cwd: root }).filter((file) => !file.endsWith('.test.ts'))

interface Import {
  readonly file: string
  readonly from: string
  /** The file that is imported. */
  readonly path: string
  readonly to: string
}

/** Every import and re-export of a file, of types too, as a path below `src/`: `#a/b.ts`, `./b.ts` and `import('…')` alike. */
function importsOf(file: string, text: string): string[] {
  const specifiers = [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([#.][^']*)'/g)].map(([, specifier]) => specifier!)
  return specifiers.map((specifier) => (specifier.startsWith('#') ? specifier.slice(1) : posix.join(posix.dirname(file), specifier)))
}

const imports: Import[] = files.flatMap((file) =>
  importsOf(file, readFileSync(join(root, file), 'utf8')).map((to) => ({ file, from: folderOf(file), path: to, to: folderOf(to) })),
)

function folderOf(path: string): string {
  return path.includes('/') ? path.split('/')[0]! : ''
}

test('a layer imports only layers below it', () => {
  const wrong = imports.filter(({ from, to }) => {
    if (from === '' || to === '' || from === to) return false
    if (from === 'dockerfile') return !dockerfileMay.includes(to)
    if (to === 'dockerfile') return (layers[from] ?? 0) < 5
    if (transports.includes(from) && transports.includes(to)) return true
    return (layers[to] ?? 99) >= (layers[from] ?? 0)
  })
  expect(wrong).toEqual([])
})

test('every folder has its place', () => {
  const folders = new Set(files.map(folderOf).filter((folder) => folder !== '' && folder !== 'dockerfile'))
  expect([...folders].filter((folder) => !(folder in layers))).toEqual([])
})

/** The circles of a graph, each with its members in their order: what reaches itself (Tarjan's strongly connected components). */
function circlesIn(edges: readonly (readonly [from: string, to: string])[]): string[][] {
  const targets = new Map<string, string[]>()
  for (const [from, to] of edges) targets.set(from, [...(targets.get(from) ?? []), to])
  const numbers = new Map<string, number>()
  const lowest = new Map<string, number>()
  const open: string[] = []
  const found: string[][] = []
  const visit = (node: string): void => {
    numbers.set(node, numbers.size)
    lowest.set(node, numbers.get(node)!)
    open.push(node)
    for (const target of targets.get(node) ?? []) {
      if (!numbers.has(target)) visit(target)
      if (open.includes(target)) lowest.set(node, Math.min(lowest.get(node)!, lowest.get(target)!))
    }
    if (lowest.get(node) !== numbers.get(node)) return
    const members = open.splice(open.indexOf(node))
    if (members.length > 1 || targets.get(node)?.includes(node)) found.push(members.toSorted())
  }
  for (const node of targets.keys()) if (!numbers.has(node)) visit(node)
  return found
}

test('no file imports itself, over however many others; code that is loaded later apart', () => {
  const text = (file: string) => readFileSync(join(root, file), 'utf8').replaceAll(/\bimport\s*\(/g, '')
  expect(circlesIn(files.flatMap((file) => importsOf(file, text(file)).map((to) => [file, to] as const)))).toEqual([])
})

test('no folder imports itself over others', () => {
  const folders = (path: string) => posix.dirname(path)
  const isBeside = (one: string, other: string) =>
    one !== '.' && other !== '.' && !`${one}/`.startsWith(`${other}/`) && !`${other}/`.startsWith(`${one}/`)
  const edges = imports.map(({ file, path }) => [folders(file), folders(path)] as const).filter(([from, to]) => isBeside(from, to))
  expect(circlesIn(edges)).toEqual([])
})

test.each<[edges: [string, string][], circles: string[][]]>([
  [
    [
      ['a', 'b'],
      ['b', 'c'],
    ],
    [],
  ],
  [
    [
      ['a', 'b'],
      ['b', 'a'],
    ],
    [['a', 'b']],
  ],
  [[['a', 'a']], [['a']]],
  [
    [
      ['a', 'b'],
      ['b', 'c'],
      ['c', 'b'],
      ['c', 'd'],
    ],
    [['b', 'c']],
  ],
  [
    [
      ['a', 'b'],
      ['b', 'c'],
      ['c', 'a'],
      ['d', 'a'],
      ['d', 'e'],
      ['e', 'd'],
    ],
    [
      ['a', 'b', 'c'],
      ['d', 'e'],
    ],
  ],
  [
    [
      ['a', 'b'],
      ['a', 'c'],
      ['b', 'd'],
      ['c', 'd'],
    ],
    [],
  ],
])('circles are seen in %j', (edges, circles) => {
  expect(circlesIn(edges)).toEqual(circles)
})

test.each([
  ["import { a } from './a.ts'", ['builder/solve/a.ts']],
  ["import type { A } from '../session.ts'", ['builder/session.ts']],
  ["export { a } from '#store/a.ts'", ['store/a.ts']],
  ["const { a } = await import('./a.ts')", ['builder/solve/a.ts']],
  ["import {\n  a,\n} from './a.ts'", ['builder/solve/a.ts']],
  ["import './a.ts'", ['builder/solve/a.ts']],
  ["import { join } from 'node:path'", []],
])('imports are seen in %j', (text, expected) => {
  expect(importsOf('builder/solve/step.ts', text)).toEqual(expected)
})

const outsideCli = files.filter((file) => !file.startsWith('cli/') && file !== 'main.ts')

test.each([
  ['process.env', /process\.env\b/],
  ['process.argv', /process\.argv\b/],
  ['process.exit', /process\.exit\b/],
  ['process.stdout', /process\.std(out|err)\b/],
  ['console', /\bconsole\./],
  ['ora', /from 'ora'|import\('ora'\)/],
])('only cli/ touches %s', (_, pattern) => {
  expect(outsideCli.filter((file) => pattern.test(readFileSync(join(root, file), 'utf8')))).toEqual([])
})

test.each(['text', 'sandbox', 'oci', 'dockerfile', 'builder/plan', 'container/spec'])('%s is pure', (prefix) => {
  const impure =
    /^(?!\s*(?:\*|\/\/|\/\*\*)).*(?:from 'node:(fs|fs\/promises|child_process|net|http|https|os|process|timers)'|Date\.now\(|process\.|Math\.random)/m
  const pure = files.filter((file) => file.startsWith(prefix))
  expect(pure.length).toBeGreaterThan(0)
  expect(pure.filter((file) => impure.test(readFileSync(join(root, file), 'utf8')))).toEqual([])
})

test('only runner/ starts the native program', () => {
  const spawning = outsideCli.filter((file) => !file.startsWith('runner/') && /stave-runner/.test(readFileSync(join(root, file), 'utf8')))
  expect(spawning).toEqual([])
})

test('only places/ opens layouts and archives', () => {
  const isOpener = (path: string) => path.startsWith('layout/') || path.startsWith('archive/')
  const opening = imports.filter(({ file, path, from }) => from !== '' && from !== 'places' && isOpener(path) && !isOpener(file))
  expect(opening).toEqual([])
})

/** A path in a store: its root with something behind it, a place that is spelled out, or a directory of it with something behind it. */
const storePath =
  /(?:join|resolve)\(\w+\.root,|\b(?:store|settings)\.root\}\/|fd: (?:\w+\.)?directory, path|['`](?:cache|logs|networks|snapshots|tmp|volumes)\/[a-z$]|['`]containers\/\$/

test('only store/ knows where things are in a store', () => {
  const knowing = files
    .filter((file) => !file.startsWith('store/'))
    .flatMap((file) =>
      readFileSync(join(root, file), 'utf8')
        .split('\n')
        .filter((line) => storePath.test(line))
        .map((line) => `${file}: ${line.trim()}`),
    )
  expect(knowing).toEqual([])
})

test.each([
  ["join(store.root, 'cache/git')", true],
  ['`${store.root}/containers/${id}`', true],
  ["{ fd: store.directory, path: 'networks' }", true],
  ['const directory = `volumes/${name}`', true],
  ['pathOf(store, layout.container(id))', false],
  ['`cannot open the store ${store.root}`', false],
])('a path in a store is seen in %s', (line, isSeen) => {
  expect(storePath.test(line)).toBe(isSeen)
})

test('a field that may be absent is spread in one form', () => {
  const other = /\.\.\.\([^()]* === undefined \? \{\} : \{/
  expect(other.test('{ ...(a === undefined ? {} : { a }) }')).toBe(true)
  expect(files.filter((file) => other.test(readFileSync(join(root, file), 'utf8')))).toEqual([])
})

/** What the linter of this project says of a file with this text. */
function lint(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'stave-planted-'))
  try {
    writeFileSync(join(directory, 'planted.ts'), text)
    const home = join(root, '..')
    const words = [join(home, 'node_modules/oxlint/bin/oxlint'), '-c', join(home, '.oxlintrc.json'), '--format=unix', directory]
    return spawnSync(process.execPath, words, { encoding: 'utf8' }).stdout
  } finally {
    rmSync(directory, { recursive: true })
  }
}

test.each([
  ['a function of 80 lines', `export function a(): void {\n${'  b()\n'.repeat(78)}}\n`, undefined],
  ['a function of 81 lines', `export function a(): void {\n${'  b()\n'.repeat(79)}}\n`, 'max-lines-per-function'],
  ['a guard without braces', 'export const a = (b: boolean) => {\n  if (b) return 1\n  return 2\n}\n', undefined],
  ['a guard with braces', 'export const a = (b: boolean) => {\n  if (b) {\n    return 1\n  }\n  return 2\n}\n', 'curly'],
])('the linter of this project sees %s', (_, text, rule) => {
  const said = lint(text)
  if (rule === undefined) expect(said).not.toMatch(/curly|max-lines/)
  else expect(said).toContain(`eslint(${rule})`)
})

test('docs/threats.md names tests that exist', () => {
  const home = join(root, '..')
  const document = readFileSync(join(home, 'docs/threats.md'), 'utf8')
  const missing: string[] = []
  for (const [, file, titles] of document.matchAll(/`([\w./-]+(?:\.test\.ts|tests\/\w+\.rs))`((?:,? "[^"]+")*)/g)) {
    const text = readFileSync(join(home, file!), 'utf8')
    for (const [, title] of titles!.matchAll(/"([^"]+)"/g)) if (!text.includes(title!)) missing.push(`${file}: ${title}`)
  }
  expect(missing).toEqual([])
})
