/** An element of DER: what it is, and the bytes that it holds. */
export interface Element {
  readonly tag: number
  readonly content: Buffer
}

/** The elements that follow each other in these bytes. @returns those before the first that is broken @see X.690 */
export function elements(bytes: Buffer): readonly Element[] {
  const found: Element[] = []
  for (let at = 0; at + 2 <= bytes.length;) {
    const tag = bytes[at]!
    const first = bytes[at + 1]!
    const width = first < 0x80 ? 0 : first & 0x7f
    if (width > 4 || at + 2 + width > bytes.length) return found
    const length = width === 0 ? first : bytes.readUIntBE(at + 2, width)
    const start = at + 2 + width
    if (start + length > bytes.length) return found
    found.push({ tag, content: bytes.subarray(start, start + length) })
    at = start + length
  }
  return found
}

const sequence = 0x30
const objectIdentifier = 0x06
const octetString = 0x04
const extensionsTag = 0xa3

/** The value of an extension of an X.509 certificate in DER, by its object identifier in DER. @see RFC 5280, section 4.1 */
export function extension(certificate: Buffer, identifier: Buffer): Buffer | undefined {
  const [whole] = elements(certificate)
  const [body] = elements(whole?.content ?? Buffer.alloc(0))
  const holder = elements(body?.content ?? Buffer.alloc(0)).find(({ tag }) => tag === extensionsTag)
  const [list] = elements(holder?.content ?? Buffer.alloc(0))
  for (const each of elements(list?.content ?? Buffer.alloc(0))) {
    const parts = each.tag === sequence ? elements(each.content) : []
    if (parts[0]?.tag !== objectIdentifier || !parts[0].content.equals(identifier)) continue
    return parts.find(({ tag }) => tag === octetString)?.content
  }
  return undefined
}
