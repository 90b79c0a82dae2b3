import type { Context } from '#context.ts'
import type { Place } from '#runner/protocol.ts'
import type { Runner } from '#runner/runner.ts'
import * as limit from '#limit.ts'
import type { Package, Release } from './packages/package.ts'
import { spdx } from './spdx.ts'
import { apk } from './packages/apk.ts'
import { dpkg } from './packages/dpkg.ts'
import { go, goSection } from './packages/go.ts'
import { npm } from './packages/npm.ts'
import { python } from './packages/python.ts'
import { rust, rustSection } from './packages/rust.ts'

const patterns: readonly string[] = [
  '/etc/os-release',
  '/usr/lib/os-release',
  '/var/lib/dpkg/status',
  '/var/lib/dpkg/status.d/*',
  '/lib/apk/db/installed',
  '/usr/lib/apk/db/installed',
  '/var/lib/rpm/rpmdb.sqlite',
  '/usr/lib/sysimage/rpm/rpmdb.sqlite',
  '**/node_modules/*/package.json',
  '**/node_modules/@*/*/package.json',
  '**/*.dist-info/METADATA',
  '**/*.egg-info/PKG-INFO',
  '**/*.egg-info',
]

/** Whose packages are listed, in what. */
export interface BillRequest {
  readonly runner: Runner
  /** Layer trees of the image, top first. */
  readonly trees: readonly Place[]
  /** What the document calls the image. */
  readonly name: string
  /** Hexadecimal digits of its SHA-256. */
  readonly digest: string
  /** When it was made, in ISO 8601. */
  readonly created: string
}

/** A software bill of materials. */
export interface Bill {
  /** SPDX 2.3. */
  readonly document: unknown
  /** Packages found. None may mean that nobody wrote them down. */
  readonly count: number
}

/** What package managers, and Go and Rust toolchains, have written down in an image. No program of it runs. */
export async function softwareBill(cx: Context, { runner, trees, name, digest, created }: BillRequest): Promise<Bill> {
  const from = { kind: 'lowers' as const, lowers: trees }
  const [managers, programs] = await Promise.all([
    runner.read(cx, { from, paths: patterns, maxBytes: limit.packageFileBytes }),
    runner.read(cx, { from, paths: ['**'], maxBytes: limit.packageFileBytes, sections: [goSection, rustSection] }),
  ])
  const rooted = (path: string): string => (path.startsWith('/') ? path : `/${path}`)
  const contents = new Map(managers.files.map(({ path, base64 }) => [rooted(path), Buffer.from(base64, 'base64')] as const))
  const release = parseRelease((contents.get('/etc/os-release') ?? contents.get('/usr/lib/os-release'))?.toString() ?? '')
  const packages: Package[] = []
  for (const [path, bytes] of sorted(contents)) packages.push(...(await readPackages(path, bytes, release)))
  for (const { path, section, base64 } of programs.files.toSorted((a, b) => (a.path < b.path ? -1 : 1)))
    packages.push(...(section === goSection ? go : rust)(rooted(path), Buffer.from(base64, 'base64')))
  return { document: spdx(name, digest, created, packages), count: packages.length }
}

function sorted<T>(contents: ReadonlyMap<string, T>): readonly (readonly [string, T])[] {
  return [...contents].sort(([a], [b]) => (a < b ? -1 : 1))
}

export async function readPackages(path: string, bytes: Buffer, release: Release): Promise<readonly Package[]> {
  if (/^\/var\/lib\/dpkg\/status(?:$|\.d\/[^.]+$)/.test(path)) return dpkg(path, bytes.toString(), release)
  if (path.endsWith('/lib/apk/db/installed')) return apk(path, bytes.toString(), release)
  if (path.endsWith('rpmdb.sqlite')) {
    const { rpm } = await import('./packages/rpm.ts')
    return rpm(path, bytes, release)
  }
  if (path.endsWith('/package.json')) return npm(path, bytes.toString())
  if (/\/(?:METADATA|PKG-INFO|[^/]+\.egg-info)$/.test(path)) return python(path, bytes.toString())
  return []
}

/** @see os-release(5) */
export function parseRelease(text: string): Release {
  const value = (key: string): string => (new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1] ?? '').trim().replace(/^(["'])(.*)\1$/, '$2')
  return { id: value('ID'), version: value('VERSION_ID') }
}
