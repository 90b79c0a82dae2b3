/** What npm packs, as somebody installs it: into an empty prefix, without cargo, and as a library. */
import { spawnSync } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { busyboxTar } from './stave.ts'

const checkout = join(import.meta.dirname, '..')
const directory = mkdtempSync(join(tmpdir(), 'stave-package-'))
const prefix = join(directory, 'prefix')
const project = join(directory, 'project')
const types = join(checkout, 'node_modules/@types')
const runner = `stave-runner-linux-${process.arch}`
let tarballs: readonly string[]

function must(program: string, words: readonly string[], options: { cwd?: string; env?: Record<string, string> } = {}): string {
  const { status, stdout, stderr } = spawnSync(program, words, {
    cwd: options.cwd ?? directory,
    env: { PATH: process.env['PATH'], HOME: directory, ...options.env },
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${program} ${words.join(' ')} exited with ${status}:\n${stdout}${stderr}`)
  return stdout.trim()
}

/** The tests have a Node already, and there may be no network: what is optional besides the native program stays away. */
const offline = ['--offline', '--omit=optional', '--no-audit', '--no-fund', '--loglevel=error']

beforeAll(() => {
  must('npm', ['pack', '--silent', '--pack-destination', directory], { cwd: checkout, env: { HOME: process.env['HOME'] ?? '/' } })
  tarballs = globSync('stave-*.tgz', { cwd: directory }).toSorted()
  must('npm', ['install', ...offline, '--global', '--prefix', prefix, ...tarballs.map((name) => join(directory, name))])
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

test('there are two: what runs everywhere, and the native program of this platform', () => {
  expect(tarballs.map((name) => name.replace(/-\d+\.\d+\.\d+\.tgz$/, ''))).toEqual(['stave', runner].toSorted())
  const names = (tarball: string) => must('tar', ['-tzf', join(directory, tarball)]).split('\n')
  const native = names(tarballs.find((name) => name.startsWith(runner))!)
  expect(native.toSorted()).toEqual(
    ['LICENSE', 'LICENSES-OF-OTHERS', 'README.md', 'bin/stave-runner', 'package.json'].map((name) => `package/${name}`),
  )
  const program = names(tarballs.find((name) => !name.startsWith(runner))!)
  expect(program).toContain('package/bin/stave')
  const others = (tarball: string, file: string) => must('tar', ['-xzOf', join(directory, tarball), `package/${file}`])
  expect(
    others(
      tarballs.find((name) => !name.startsWith(runner))!,
      'dist/LICENSES-OF-OTHERS',
    ),
  ).toMatch(/^undici .*\(MIT\)\n\nMIT License/m)
  expect(
    others(
      tarballs.find((name) => name.startsWith(runner))!,
      'LICENSES-OF-OTHERS',
    ),
  ).toMatch(/^rustix .*Apache-2.0/m)
  expect(
    program.filter((name) =>
      /(?<!at)test|fixture|runner-native|\.ts$|stave-runner|node_modules|compile-cache/.test(name.replace(/\.d\.ts$/, '')),
    ),
  ).toEqual([])
})

describe('installed globally', () => {
  // A PATH with a Node and what every system has, and nothing of Rust.
  const path = (node: string) => `${node}:/usr/bin:/bin`
  const stave = (words: readonly string[], node = dirname(process.execPath)) =>
    spawnSync(join(prefix, 'bin/stave'), words, {
      cwd: directory,
      env: { PATH: path(node), HOME: directory, STAVE_ROOT: join(directory, 'store') },
      encoding: 'utf8',
    })
  const installed = join(prefix, 'lib/node_modules/stave')

  test('it builds and runs', () => {
    const ran = (...words: readonly string[]) => {
      const { status, stdout, stderr } = stave(words)
      expect(status, stderr).toBe(0)
      return stdout.trim()
    }
    const { version } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')) as { version: string }
    expect(ran('--version')).toBe(`stave ${version}`)
    ran('import', '-q', busyboxTar(), 'base')
    mkdirSync(join(directory, 'context'))
    writeFileSync(join(directory, 'context/Dockerfile'), 'FROM base\nRUN echo made > /made\n')
    ran('build', '-q', '-t', 'made', 'context')
    expect(ran('run', '--rm', '--network', 'none', 'made', 'cat', '/made')).toBe('made')
    ran('system', 'reset', '--force')
  })

  test('the Node that is installed with it is taken; one that lacks its library is named, or passed over', () => {
    const place = join(installed, 'node_modules', `node-linux-${process.arch}`, 'bin')
    mkdirSync(place, { recursive: true })
    symlinkSync(process.execPath, join(place, 'node'))
    expect(stave(['--version'], '/nowhere').status).toBe(0)
    rmSync(join(place, 'node'))
    writeFileSync(join(place, 'node'), '#!/bin/sh\necho "libatomic.so.1: cannot open shared object file" >&2\nexit 127\n', { mode: 0o755 })
    const launcher = readFileSync(join(installed, 'bin/stave'), 'utf8').replaceAll(/\S*\/libatomic\.so\.1/g, '/nowhere')
    writeFileSync(join(installed, 'bin/stave'), launcher)
    expect(stave(['--version']).status).toBe(0)
    const bare = join(directory, 'bare')
    mkdirSync(bare)
    symlinkSync(must('sh', ['-c', 'command -v readlink']), join(bare, 'readlink'))
    const { status, stderr } = spawnSync(join(prefix, 'bin/stave'), ['--version'], {
      env: { PATH: bare },
      encoding: 'utf8',
    })
    expect(status).toBe(1)
    expect(stderr).toMatch(/cause: libatomic\.so\.1: cannot open.*\n {2}hint: .*apt-get install libatomic1/)
  })

  test('without the package of the native program it says what to install', () => {
    rmSync(join(prefix, 'lib/node_modules', runner), { recursive: true })
    const { status, stderr } = stave(['images'])
    expect(status).toBe(1)
    expect(stderr).toContain(runner)
  })
})

describe('the library', () => {
  const examples = [...readFileSync(join(checkout, 'docs/library.md'), 'utf8').matchAll(/^## (\w+)\n.*?^```ts\n(.*?)^```$/gms)].map(
    ([, name = '', text = '']) => ({ name, text }),
  )

  beforeAll(() => {
    mkdirSync(project)
    writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }))
    must('npm', ['install', ...offline, ...tarballs.map((name) => join(directory, name))], { cwd: project })
    mkdirSync(join(project, 'node_modules/@types'), { recursive: true })
    symlinkSync(join(types, 'node'), join(project, 'node_modules/@types/node'))
    symlinkSync(join(checkout, 'node_modules/undici-types'), join(project, 'node_modules/undici-types'))
    for (const { name, text } of examples) writeFileSync(join(project, `${name}.ts`), text)
  })

  test('every part has an example', () => {
    expect(examples.map(({ name }) => name)).toEqual([
      'serve',
      'collectGarbage',
      'layout',
      'build',
      'store',
      'archive',
      'registry',
      'copy',
      'backup',
      'diff',
      'explain',
    ])
  })

  const output: Readonly<Record<string, RegExp>> = {
    serve: /^200$/,
    collectGarbage: /^0$/,
    layout: /^empty$/,
    build: /^docker\.io\/library\/hello:1 [1-9]$/,
    store: /^docker\.io\/library\/hello:1 by-the-library$/,
    archive: /hello:1/,
    registry: /^\[ '1' \]$/,
    copy: /manifest[\s\S]*not-there/,
    backup: /^registry\.example\/empty:1$/,
    diff: /^0$/,
    explain: /^ghcr\.io ann$/,
  }

  test.each(examples)('$name: its example runs', ({ name }) => {
    // Node leaves out the types.
    expect(must(process.execPath, [`${name}.ts`], { cwd: project })).toMatch(output[name]!)
  })

  test('its types hold in TypeScript, all of them', () => {
    const compilerOptions = {
      target: 'es2022',
      lib: ['esnext'],
      module: 'nodenext',
      strict: true,
      noEmit: true,
      skipLibCheck: false,
      types: ['node'],
    }
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }))
    const tsc = [join(checkout, 'node_modules/typescript/bin/tsc'), '-p', project]
    must(process.execPath, tsc, { cwd: project })
    writeFileSync(join(project, 'wrong.ts'), "import { serve } from 'stave'\nawait serve({ directory: 1 })\n")
    expect(() => must(process.execPath, tsc, { cwd: project })).toThrow("Type 'number' is not assignable to type 'string'")
  })
})
