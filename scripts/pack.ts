/**
 * What npm runs before it packs: the types of the library, none of what earlier bundles have left, and the native program
 * in a package of its own, `stave-runner-linux-<architecture>`, beside the package that npm is about to make.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, globSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { licensesOfCrates, licensesOfModules } from './licenses.ts'

const root = join(import.meta.dirname, '..')
const { version, license } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string; license: string }

const bundle = JSON.parse(readFileSync(join(root, '.setup/bundle.json'), 'utf8')) as {
  readonly chunks: readonly string[]
  readonly modules: readonly string[]
}
removeOldChunks()
makeTypes()
writeFileSync(join(root, 'dist/LICENSES-OF-OTHERS'), licensesOfModules(bundle.modules))
packRunner()

/** A bundle keeps those of the one before for processes that run. */
function removeOldChunks(): void {
  const made = new Set(bundle.chunks)
  for (const name of globSync('*.js', { cwd: join(root, 'dist') })) if (!made.has(name)) rmSync(join(root, 'dist', name))
}

/** `dist/types/`: declarations of all that src/index.ts reaches, with the names that a package can resolve. */
function makeTypes(): void {
  const types = join(root, 'dist/types')
  rmSync(types, { recursive: true, force: true })
  const settings = join(root, '.setup/tsconfig.types.json')
  const compilerOptions = { noEmit: false, declaration: true, emitDeclarationOnly: true, outDir: types, rootDir: join(root, 'src') }
  writeFileSync(
    settings,
    JSON.stringify({
      extends: '../tsconfig.json',
      compilerOptions,
      include: [],
      files: [join(root, 'src/index.ts'), join(root, 'src/registry/client/undici.d.ts')],
    }),
  )
  run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', settings])
  const reached = new Set<string>()
  follow(types, 'index.d.ts', reached)
  for (const file of globSync('**/*.d.ts', { cwd: types })) if (!reached.has(file)) rmSync(join(types, file))
}

/** Names the modules of one declaration file and of those that it mentions as a package can resolve them: `./x.js`. */
function follow(types: string, file: string, reached: Set<string>): void {
  if (reached.has(file)) return
  reached.add(file)
  const text = readFileSync(join(types, file), 'utf8').replaceAll(/(['"])([#.][^'"\n]*)\.ts\1/g, (_, _quote, specifier: string) => {
    const target = specifier.startsWith('#') ? specifier.slice(1) : join(dirname(file), specifier)
    follow(types, `${target}.d.ts`, reached)
    const path = relative(dirname(file), target)
    return `'${path.startsWith('.') ? path : `./${path}`}.js'`
  })
  writeFileSync(join(types, file), text)
}

function packRunner(): void {
  const name = `stave-runner-linux-${process.arch}`
  const place = join(root, '.setup', name)
  rmSync(place, { recursive: true, force: true })
  mkdirSync(join(place, 'bin'), { recursive: true })
  copyFileSync(join(root, 'dist/stave-runner'), join(place, 'bin/stave-runner'))
  chmodSync(join(place, 'bin/stave-runner'), 0o755)
  copyFileSync(join(root, 'LICENSE'), join(place, 'LICENSE'))
  writeFileSync(join(place, 'LICENSES-OF-OTHERS'), licensesOfCrates(root))
  writeFileSync(
    join(place, 'README.md'),
    `# ${name}\n\nThe native half of Stave on this platform. Install the package \`stave\`, which uses it.\n`,
  )
  const description = `The native half of Stave, for Linux on ${process.arch}`
  const document = { name, version, description, license, os: ['linux'], cpu: [process.arch], files: ['bin', 'LICENSES-OF-OTHERS'] }
  writeFileSync(join(place, 'package.json'), `${JSON.stringify(document, undefined, 2)}\n`)
  // Where npm puts the other one.
  const destination = resolve(root, process.env['npm_config_pack_destination'] || '.')
  run('npm', ['pack', '--silent', '--pack-destination', destination], place)
  const tarball = join(destination, `${name}-${version}.tgz`)
  console.error(`made ${tarball} (${Math.round(statSync(tarball).size / 1024)} KiB)`)
}

function run(program: string, words: readonly string[], cwd = root): void {
  // Standard output is npm's, which prints the name of the package there.
  const { status } = spawnSync(program, words, { cwd, stdio: ['ignore', 2, 2] })
  if (status !== 0) throw new Error(`${program} ${words.join(' ')} exited with ${status}`)
}
