import { apk } from '#attest/packages/apk.ts'
import { dpkg } from '#attest/packages/dpkg.ts'
import { go } from '#attest/packages/go.ts'
import { npm } from '#attest/packages/npm.ts'
import { python } from '#attest/packages/python.ts'
import { parseHeader } from '#attest/packages/rpm.ts'
import { rust } from '#attest/packages/rust.ts'
import { mutatedBytes } from '../random.ts'
import { documentWords, type Target } from '../target.ts'

const seeds = [
  'Package: a\nStatus: install ok installed\nVersion: 1\nMaintainer: x\n\nP:musl\nV:1\nName: x\nVersion: 2\n',
  '{"name":"@a/b","version":"1","license":"MIT"}',
  `\xff Go buildinf:\x08\x02${'\0'.repeat(16)}\x06go1.26\x2a${'0'.repeat(16)}dep\ta\tv1\n${'0'.repeat(16)}`,
  `\0\0\0\x01\0\0\0\x05\0\0\x03\xe8\0\0\0\x06\0\0\0\0\0\0\0\x01bash\0`,
].map((text) => Buffer.from(text, 'latin1'))

/** Whatever an image has in the place of a database of packages, it gives packages with a name and a version, or none. */
export const programs: Target = {
  name: 'packages',
  next(random) {
    const bytes = mutatedBytes(random, seeds, documentWords)
    const text = bytes.toString()
    const release = { id: 'debian', version: '12' }
    return {
      input: bytes.toString('latin1'),
      work() {
        parseHeader(bytes)
        const found = [
          dpkg('f', text, release),
          apk('f', text, release),
          npm('f', text),
          python('f', text),
          go('f', bytes),
          rust('f', bytes),
        ].flat()
        for (const { name, version, url } of found)
          if (name === '' || version === '' || !url.startsWith('pkg:') || /\s/.test(url)) throw new Error(`it gives ${JSON.stringify(url)}`)
      },
    }
  },
}
