import { parseDigest } from '#oci/digest.ts'
import { parsePlatform, formatPlatform } from '#oci/platform.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import { joined } from '../random.ts'
import { ours, type Target } from '../target.ts'

const pieces = [
  'a', 'B', '0', 'docker.io', 'library', 'localhost', 'host', '127.0.0.1', '[::1]', ':', ':5000', '/', '//', '.', '..', '-', '_', '__', '@', '@sha256:', 'a'.repeat(64), 'sha512:', 'latest', ' ', '\n', '\u0000', 'é',
  '%2f', '?', '#', 'linux', 'amd64', 'arm', 'v7', ',',
] // prettier-ignore

/** A reference is the same once written and read again, and has no part that climbs. */
export const references: Target = {
  name: 'reference',
  next(random) {
    const input = joined(random, pieces, 16)
    return {
      input,
      work() {
        ours(() => void parseDigest(input))
        ours(() => void formatPlatform(parsePlatform(input)))
        ours(() => {
          const parsed = parseReference(input)
          const text = formatReference(parsed)
          if (formatReference(parseReference(text)) !== text) throw new Error(`it is another one once written: ${JSON.stringify(text)}`)
          if (text.split(/[/:@]/).some((part) => part === '..' || part === '.') || /[\s\u0000-\u001f]/.test(text))
            throw new Error(`it has a part that is none: ${JSON.stringify(text)}`)
        })
      },
    }
  },
}
