import { spawnSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Code of others that is part of a package, and where its licence lies. */
interface Part {
  readonly name: string
  readonly version: string
  readonly license: string
  readonly directory: string
}

/**
 * The licences of the npm packages of which code is in the bundle, as one text.
 *
 * @param modules Files that the bundle was made of.
 */
export function licensesOfModules(modules: readonly string[]): string {
  const directories = new Set(modules.flatMap((file) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? []))
  return text(
    [...directories].toSorted().map((directory) => {
      const { name, version, license } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Part
      return { name, version, license, directory }
    }),
  )
}

/** The licences of the crates that are linked into the native program. */
export function licensesOfCrates(root: string): string {
  const host = /^host: (.*)$/m.exec(output('rustc', ['-vV'], root))![1]!
  const flags = ['metadata', '--format-version', '1', '--locked', '--filter-platform', host]
  const { packages, resolve } = JSON.parse(output('cargo', flags, join(root, 'runner-native'))) as Metadata
  const nodes = new Map(resolve.nodes.map((node) => [node.id, node]))
  const linked = new Set<string>()
  const visit = (id: string): void => {
    if (linked.has(id)) return
    linked.add(id)
    // Those that only build scripts and tests use are in no program.
    for (const { pkg, dep_kinds: kinds } of nodes.get(id)!.deps) if (kinds.some(({ kind }) => kind === null)) visit(pkg)
  }
  visit(resolve.root)
  linked.delete(resolve.root)
  const parts = packages.filter(({ id }) => linked.has(id))
  return text(
    parts.map(({ manifest_path, license, ...part }) => ({ ...part, license: license ?? 'see below', directory: dirname(manifest_path) })),
  )
}

/** What `cargo metadata` says, as far as it is needed here. */
interface Metadata {
  readonly packages: readonly {
    readonly id: string
    readonly name: string
    readonly version: string
    readonly license: string | null
    readonly manifest_path: string
  }[]
  readonly resolve: {
    readonly root: string
    readonly nodes: readonly {
      readonly id: string
      readonly deps: readonly { readonly pkg: string; readonly dep_kinds: readonly { readonly kind: string | null }[] }[]
    }[]
  }
}

function text(parts: readonly Part[]): string {
  const sections = parts.map(({ name, version, license, directory }) => {
    const files = globSync('{LICEN[SC]E,COPYING,NOTICE}*', { cwd: directory, withFileTypes: true }).filter((entry) => entry.isFile())
    const texts = files.map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8').trim()).toSorted()
    return [`${name} ${version} (${license})`, ...texts].join('\n\n')
  })
  return `Parts of this package are the work of others, under these licences.\n\n${sections.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`
}

function output(program: string, words: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(program, words, { cwd, encoding: 'utf8', maxBuffer: 1 << 28 })
  if (status !== 0) throw new Error(`${program} ${words.join(' ')} exited with ${status}:\n${stderr}`)
  return stdout
}
