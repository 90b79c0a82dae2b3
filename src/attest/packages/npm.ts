import type { Package } from './package.ts'
import { escaped } from '../purl.ts'

/** The package that a package.json describes. */
export function npm(from: string, text: string): readonly Package[] {
  let document: { name?: unknown; version?: unknown; license?: unknown }
  try {
    document = JSON.parse(text) as typeof document
  } catch {
    // Test data of some package: no package itself.
    return []
  }
  const { name, version, license } = document ?? {}
  if (typeof name !== 'string' || typeof version !== 'string' || name === '' || version === '') return []
  // A slash parts the scope from the name; anything else of a URL is escaped.
  const url = `pkg:npm/${name.split('/').map(escaped).join('/')}@${escaped(version)}`
  return [{ name, version, url, from, ...(typeof license === 'string' ? { license } : {}) }]
}
