import type { Package } from './package.ts'
import { inflateSync } from 'node:zlib'
import { escaped } from '../purl.ts'
import * as limit from '#limit.ts'

/** The section that cargo-auditable adds. */
export const rustSection = '.dep-v0'

/** The crates of a Rust program that was built with cargo-auditable. @see cargo-auditable, "Parsing" */
export function rust(from: string, section: Buffer): readonly Package[] {
  let document: { packages?: unknown }
  try {
    document = JSON.parse(inflateSync(section, { maxOutputLength: limit.auditableBytes }).toString()) as typeof document
  } catch {
    // Whoever made the program may write what they like there.
    return []
  }
  const crates = Array.isArray(document?.packages) ? (document.packages as { name?: unknown; version?: unknown; kind?: unknown }[]) : []
  return crates.flatMap((crate) => {
    const { name, version, kind = 'runtime' } = crate ?? {}
    if (typeof name !== 'string' || typeof version !== 'string' || name === '' || version === '' || kind !== 'runtime') return []
    return [{ name, version, url: `pkg:cargo/${escaped(name)}@${escaped(version)}`, from }]
  })
}
