/** Bundles `src/` into `dist/`: one entry, a chunk for each `import()`, so that a command loads only what it needs. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { rolldown } from 'rolldown'
import { isLazy, nodeModules } from './node-modules.ts'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')
const fresh = join(root, '.setup/dist')

const bundle = await rolldown({
  input: {
    main: join(root, 'src/main.ts'),
    index: join(root, 'src/index.ts'),
    'password-worker': join(root, 'src/registry/server/password-worker.ts'),
  },
  platform: 'node',
  plugins: [nodeModules],
  logLevel: 'warn',
  // An import() of what is loaded anyway still says where the border is.
  checks: { ineffectiveDynamicImport: false },
})
rmSync(fresh, { recursive: true, force: true })
// Every chunk costs most of a millisecond to load, and so does code that is not used. So what the everyday commands need
// is in a few, and has nothing else: what all need, what `run` needs besides, what talks to registries, and what `build`
// needs besides. What is needed by both of the last has a chunk of its own.
const start = reachedFrom('src/cli/main.ts', 'src/cli/leading.ts', 'src/cli/version.ts')
const run = reachedFrom('src/cli/containers/run.ts')
const registry = reachedFrom(
  'src/registry/client/registry.ts',
  'src/registry/client/connection.ts',
  'src/registry/login/credentials.ts',
  'src/registry/client/hosts.ts',
)
const copy = reachedFrom('src/cli/images/copy.ts', 'src/image/transfer.ts', 'src/trust/check.ts', 'src/trust/source.ts')
const build = reachedFrom('src/cli/build/build.ts', 'src/builder/solve/solve.ts', 'src/builder/result/finish.ts')
const { output } = await bundle.write({
  dir: fresh,
  format: 'esm',
  minify: 'dce-only',
  chunkFileNames: '[name]-[hash].js',
  codeSplitting: {
    groups: [
      { name: 'start', test: (id) => start.has(id) || isLazy(id), priority: 3 },
      { name: 'core', test: (id) => run.has(id), priority: 2 },
      { name: 'image', test: (id) => build.has(id) && (registry.has(id) || copy.has(id)), priority: 1.5 },
      { name: 'registry', test: (id) => registry.has(id), priority: 1.2 },
      { name: 'copy', test: (id) => copy.has(id) && !build.has(id), priority: 1.1 },
      { name: 'build', test: (id) => build.has(id), priority: 1 },
    ],
  },
})
await bundle.close()

// New chunks first, the entry last: whoever starts meanwhile gets the old or the new program, whole.
mkdirSync(dist, { recursive: true })
const made = new Set(readdirSync(fresh))
for (const name of [...made].sort((a, b) => Number(a === 'main.js') - Number(b === 'main.js')))
  renameSync(join(fresh, name), join(dist, name))
// What a package has: not what earlier bundles have left.
const all = output.flatMap((part) => (part.type === 'chunk' ? Object.keys(part.modules) : []))
// Those that a plugin made are in no file.
const modules = all.filter((id) => !id.startsWith('\0'))
writeFileSync(join(root, '.setup/bundle.json'), JSON.stringify({ chunks: [...made], modules }))
// Processes that run meanwhile still load chunks of the old one.
const hourMs = 3_600_000
for (const name of readdirSync(dist))
  if (name.endsWith('.js') && !made.has(name) && Date.now() - statSync(join(dist, name)).mtimeMs > hourMs) rmSync(join(dist, name))

// Fills the compile cache with what the everyday commands execute, so that the first use is as quick as the second.
rmSync(join(dist, '.compile-cache'), { recursive: true, force: true })
const warm = join(root, '.setup/warm')
rmSync(warm, { recursive: true, force: true })
mkdirSync(join(warm, 'context'), { recursive: true })
writeFileSync(join(warm, 'context/Dockerfile'), 'FROM scratch AS a\nCOPY Dockerfile /\nFROM a\nWORKDIR /w\n')
const everyday = [
  ['--version'],
  ['build', '--help'],
  ['build', '-q', '-t', 'warm', join(warm, 'context')],
  ['build', '-t', 'warm', join(warm, 'context')],
  ['images'],
  ['ps'],
  ['run', '--rm', '--network', 'none', 'warm', '/none'],
]
const empty = `sha256:${'0'.repeat(64)}`
// As much of a registry as a copy with nothing to do asks for.
const server = createServer((request, response) => {
  response.setHeader('content-type', 'application/vnd.oci.image.manifest.v1+json')
  if (request.url?.includes('/manifests/') === true) response.setHeader('docker-content-digest', empty).setHeader('content-length', 2)
  response.end(request.method === 'HEAD' ? undefined : '{"name":"warm","tags":["a"]}')
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const there = `docker://127.0.0.1:${(server.address() as AddressInfo).port}/warm`
everyday.push(['list-tags', there], ['copy', `${there}:a`, `${there}:b`])
for (const words of everyday) {
  const env = { PATH: process.env['PATH'], HOME: warm, STAVE_ROOT: join(warm, 'store') }
  // Some fail, as they do for people: that too is code.
  await promisify(execFile)(process.execPath, [join(dist, 'main.js'), ...words], { env }).catch(() => {})
}
server.close()
server.closeAllConnections()
rmSync(warm, { recursive: true, force: true })

/** The files of ours that are loaded with these: not those behind an `import()`. */
function reachedFrom(...entries: readonly string[]): ReadonlySet<string> {
  const reached = new Set<string>()
  const visit = (file: string): void => {
    if (reached.has(file)) return
    reached.add(file)
    for (const [, imported] of readFileSync(file, 'utf8').matchAll(/^(?:import|export) (?!type )[^'"]*?from '([#.][^']+)'/gm))
      visit(imported!.startsWith('#') ? join(root, 'src', imported!.slice(1)) : join(file, '..', imported!))
  }
  for (const entry of entries) visit(join(root, entry))
  return reached
}
