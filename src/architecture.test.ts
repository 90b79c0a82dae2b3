import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
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
  mirror: 4,
  // Names, addresses and the words of the runner; the store keeps its records.
  network: 3.5,
  registry: 3,
  layout: 3,
  archive: 3,
  runner: 3,
  image: 2,
  oci: 1,
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
  readonly to: string
}

const imports: Import[] = files.flatMap((file) => {
  const text = readFileSync(join(root, file), 'utf8')
  const specifiers = [...text.matchAll(/(?:from|import)\s*\(?\s*'(#[^']+)'/g)].map(([, specifier]) => specifier!.slice(1))
  return specifiers.map((specifier) => ({ file, from: folderOf(file), to: folderOf(specifier) }))
})

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
