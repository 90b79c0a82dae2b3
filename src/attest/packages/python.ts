import type { Package } from './package.ts'
import { paragraphs } from './paragraphs.ts'
import { escaped } from '../purl.ts'

/** @see PEP 503 for normalised names */
export function python(from: string, text: string): readonly Package[] {
  const fields = paragraphs(text)[0]
  const [name, version, license] = [
    fields?.get('Name'),
    fields?.get('Version'),
    fields?.get('License-Expression') ?? fields?.get('License'),
  ]
  if (!name || !version) return []
  const url = `pkg:pypi/${escaped(name.toLowerCase().replace(/[-_.]+/g, '-'))}@${escaped(version)}`
  return [{ name, version, url, from, ...(license === undefined || license === '' ? {} : { license }) }]
}
