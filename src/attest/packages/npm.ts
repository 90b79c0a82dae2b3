import type { Package } from './package.ts'

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
  if (typeof name !== 'string' || typeof version !== 'string') {
    return []
  }
  const url = `pkg:npm/${name.replace(/^@/, '%40')}@${encodeURIComponent(version)}`
  return [{ name, version, url, from, ...(typeof license === 'string' ? { license } : {}) }]
}
