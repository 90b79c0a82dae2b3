import type { Package, Release } from './package.ts'
import { systemUrl } from '../purl.ts'
import { paragraphs } from './paragraphs.ts'

/** What apk has installed: one letter a field. @see apk-package(5) */
export function apk(from: string, text: string, release: Release): readonly Package[] {
  return paragraphs(text).flatMap((fields) => {
    const [name, version] = [fields.get('P'), fields.get('V')]
    if (!name || !version) return []
    const license = fields.get('L')
    return [
      {
        name,
        version,
        url: systemUrl('apk', release, 'alpine', name, version, fields.get('A')),
        from,
        ...(license !== undefined && { license }),
      },
    ]
  })
}
