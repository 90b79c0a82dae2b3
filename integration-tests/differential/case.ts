import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, chownSync, linkSync, lutimesSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { pack } from 'tar-stream'

/** One small Dockerfile, what it is built with, and what is known of its result. */
export interface Case {
  readonly name: string
  readonly dockerfile: string
  /** The files of the context. A string is a file's content, mode 0644. */
  readonly files?: Files
  /** Further directories for `--build-context`. */
  readonly contexts?: Readonly<Record<string, Files>>
  readonly buildArgs?: Readonly<Record<string, string>>
  readonly labels?: Readonly<Record<string, string>>
  readonly secrets?: Readonly<Record<string, string>>
  readonly target?: string
  /** What the reference says of the result, for what no peer here knows: compared with Stave's alone. */
  readonly expect?: Expectation
  /** The build fails, and its message holds this. */
  readonly fails?: string
  /** Paths that say something of the day or the base image, and not of the build. */
  readonly ignore?: readonly string[]
}

export interface Expectation {
  /** By path. A string is a file's content; null is a path that must not be there. */
  readonly tree?: Readonly<Record<string, string | ExpectedEntry | null>>
  readonly config?: Readonly<Record<string, unknown>>
}

export interface ExpectedEntry {
  readonly type?: string
  readonly mode?: number
  readonly owner?: string
  readonly content?: string
  readonly target?: string
  readonly links?: readonly string[]
  readonly mtime?: number | 'now'
}

export type Files = Readonly<Record<string, string | FileSpec>>

/** A file of a context. What is not said: mode 0644 (directories 0755), owner 0:0, {@link longAgo}. */
export interface FileSpec {
  readonly content?: string
  readonly mode?: number
  readonly owner?: readonly [uid: number, gid: number]
  readonly mtime?: number
  readonly directory?: true
  /** A symbolic link to this. */
  readonly symlink?: string
  /** A hard link to this path of the context. */
  readonly hardLink?: string
  readonly fifo?: true
  /** In a tar only. */
  readonly xattrs?: Readonly<Record<string, string>>
  /** A tar of these. Always the same bytes for the same entries. */
  readonly tar?: Files
  readonly compress?: 'gzip' | 'bzip2' | 'xz' | 'zstd'
}

/** 2001-02-03 04:05:06 UTC: what is preserved is told from what is new by it. */
export const longAgo = 981_173_106

/** Names a case by all that goes into it, so that a golden result of another one is not taken for its own. */
export function caseDigest(one: Case): string {
  const { name: _name, expect: _expect, fails: _fails, ignore: _ignore, ...input } = one
  return createHash('sha256').update(JSON.stringify(input)).digest('hex').slice(0, 16)
}

/** Writes the files into an empty directory, times last. */
export async function writeFiles(root: string, files: Files): Promise<void> {
  mkdirSync(root, { recursive: true })
  chmodSync(root, 0o755)
  const entries = Object.entries(files)
  const directories = new Set<string>()
  for (const [path] of entries) for (let parent = dirname(path); parent !== '.'; parent = dirname(parent)) directories.add(parent)
  // What is in a directory comes before the directory, so that its time and mode stay.
  const implied = [...directories].filter((path) => files[path] === undefined).map((path) => [path, { directory: true }] as const)
  const ordered = [
    ...entries.filter(([, spec]) => !isDirectory(spec)),
    ...[...entries.filter(([, spec]) => isDirectory(spec)), ...implied].sort(deepestFirst),
  ]
  for (const [path, spec] of [...ordered.filter(([, spec]) => !isHardLink(spec)), ...ordered.filter(([, spec]) => isHardLink(spec))])
    await writeEntry(root, path, typeof spec === 'string' ? { content: spec } : spec)
  for (const [path, spec] of ordered) {
    const { mtime = longAgo } = typeof spec === 'string' ? {} : (spec as FileSpec)
    lutimesSync(join(root, path), mtime, mtime)
  }
  lutimesSync(root, longAgo, longAgo)
}

function isDirectory(spec: string | FileSpec): boolean {
  return typeof spec !== 'string' && spec.directory === true
}

function isHardLink(spec: string | FileSpec): boolean {
  return typeof spec !== 'string' && spec.hardLink !== undefined
}

function deepestFirst([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number {
  return other.split('/').length - one.split('/').length
}

async function writeEntry(root: string, path: string, spec: FileSpec): Promise<void> {
  const full = join(root, path)
  mkdirSync(dirname(full), { recursive: true })
  if (spec.symlink !== undefined) {
    symlinkSync(spec.symlink, full)
    return
  }
  if (spec.hardLink !== undefined) {
    linkSync(join(root, spec.hardLink), full)
    return
  }
  if (spec.directory) mkdirSync(full, { recursive: true })
  else if (spec.fifo) execFileSync('mkfifo', [full])
  else writeFileSync(full, await contentOf(spec))
  if (spec.owner !== undefined) chownSync(full, ...spec.owner)
  chmodSync(full, spec.mode ?? (spec.directory ? 0o755 : 0o644))
}

async function contentOf(spec: FileSpec): Promise<Buffer> {
  const plain = spec.tar === undefined ? Buffer.from(spec.content ?? '') : await tarOf(spec.tar)
  if (spec.compress === undefined) return plain
  if (spec.compress === 'gzip') return gzipSync(plain)
  return spec.compress === 'zstd' ? zstdCompressSync(plain) : execFileSync(spec.compress, ['-c'], { input: plain })
}

/** A tar of these entries in their order; no directory that is not named. */
export async function tarOf(files: Files): Promise<Buffer> {
  const tar = pack()
  const specOf = (given: string | FileSpec | undefined): FileSpec => (typeof given === 'string' ? { content: given } : (given ?? {}))
  for (const [name, given] of Object.entries(files)) {
    const own = specOf(given)
    // A hard link has the owner, mode and time of its target: unpackers differ where it says otherwise.
    const spec: FileSpec = own.hardLink === undefined ? own : { ...specOf(files[own.hardLink]), hardLink: own.hardLink }
    const [uid, gid] = spec.owner ?? [0, 0]
    const content = spec.content ?? ''
    const common = {
      name: spec.directory ? `${name}/` : name,
      mode: spec.mode ?? (spec.directory ? 0o755 : 0o644),
      uid,
      gid,
      mtime: new Date((spec.mtime ?? longAgo) * 1000),
      ...(spec.xattrs === undefined
        ? {}
        : { pax: Object.fromEntries(Object.entries(spec.xattrs).map(([key, value]) => [`SCHILY.xattr.${key}`, value])) }),
    }
    if (spec.directory) tar.entry({ ...common, type: 'directory' })
    else if (spec.symlink !== undefined) tar.entry({ ...common, type: 'symlink', linkname: spec.symlink })
    else if (spec.hardLink !== undefined) tar.entry({ ...common, type: 'link', linkname: spec.hardLink })
    else if (spec.fifo) tar.entry({ ...common, type: 'fifo' })
    else tar.entry({ ...common, type: 'file', size: Buffer.byteLength(content) }, content)
  }
  tar.finalize()
  return buffer(tar)
}

/** The text of a file with these lines. */
export function lines(...all: readonly string[]): string {
  return `${all.join('\n')}\n`
}
