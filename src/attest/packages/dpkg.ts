import type { Package, Release } from './package.ts'
import { systemUrl } from '../purl.ts'
import { paragraphs } from './paragraphs.ts'

/** What dpkg has installed. @see dpkg-query(1), deb-control(5) */
export function dpkg(from: string, text: string, release: Release): readonly Package[] {
  return paragraphs(text).flatMap((fields) => {
    const [name, version, status] = [fields.get('Package'), fields.get('Version'), fields.get('Status')]
    // Removed packages stay in the list, with their configuration.
    if (!name || !version || (status !== undefined && !/\binstalled$/.test(status)) || status?.includes('not-installed') === true) return []
    const supplier = fields.get('Maintainer')
    return [
      {
        name,
        version,
        url: systemUrl('deb', release, 'debian', name, version, fields.get('Architecture')),
        from,
        ...(supplier !== undefined && { supplier }),
      },
    ]
  })
}
