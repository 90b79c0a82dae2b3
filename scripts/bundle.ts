/** Bundles `src/` into `dist/`: one entry, a chunk for each `import()`, so that a command loads only what it needs. */
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { rolldown } from 'rolldown'
import { nodeModules } from './node-modules.ts'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')
const fresh = join(root, '.setup/dist')

const bundle = await rolldown({
  input: { main: join(root, 'src/main.ts'), index: join(root, 'src/index.ts') },
  platform: 'node',
  plugins: [nodeModules],
  logLevel: 'warn',
  // An import() of what is loaded anyway still says where the border is.
  checks: { ineffectiveDynamicImport: false },
})
rmSync(fresh, { recursive: true, force: true })
// Every chunk costs most of a millisecond to load, so what the everyday commands need is in a few; what only some
// need (registries, archives, attestations, lint) stays apart.
const rare =
  /[\\/](registry|archive|layout)[\\/]|[\\/]build[\\/](remote-cache|attest|sbom|explain|print|compare|import|check|record)|[\\/]ops[\\/](git|fetch)|lint|[\\/]dockerfile[\\/](rules|outline|print|check)|prune|doctor|progress|commands[\\/]|template|table-text|complete|manual|catalogue|error-text|help/
const within =
  (...folders: string[]) =>
  (id: string) =>
    folders.some((folder) => id.startsWith(join(root, 'src', folder))) && !rare.test(id)
await bundle.write({
  dir: fresh,
  format: 'esm',
  minify: 'dce-only',
  chunkFileNames: '[name]-[hash].js',
  codeSplitting: {
    groups: [
      {
        name: 'start',
        test: (id) =>
          within(
            'cli/main',
            'cli/commands.ts',
            'cli/table/',
            'cli/parse',
            'cli/report',
            'cli/settings',
            'cli/command.ts',
            'dockerfile/suggest',
            'error',
            'context',
            'cli/version',
          )(id),
        priority: 3,
      },
      { name: 'build', test: within('build', 'dockerfile', 'cli/build-'), priority: 1 },
      { name: 'core', test: within('oci', 'image', 'store', 'runner', 'container', 'limit', 'cli'), priority: 2 },
    ],
  },
})
await bundle.close()

// New chunks first, the entry last: whoever starts meanwhile gets the old or the new program, whole.
mkdirSync(dist, { recursive: true })
const made = new Set(readdirSync(fresh))
for (const name of [...made].sort((a, b) => Number(a === 'main.js') - Number(b === 'main.js')))
  renameSync(join(fresh, name), join(dist, name))
// Processes that run meanwhile still load chunks of the old one.
const hourMs = 3_600_000
for (const name of readdirSync(dist)) {
  if (name.endsWith('.js') && !made.has(name) && Date.now() - statSync(join(dist, name)).mtimeMs > hourMs) rmSync(join(dist, name))
}

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
for (const words of everyday) {
  spawnSync(process.execPath, [join(dist, 'main.js'), ...words], {
    env: { PATH: process.env['PATH'], HOME: warm, STAVE_ROOT: join(warm, 'store') },
  })
}
rmSync(warm, { recursive: true, force: true })
