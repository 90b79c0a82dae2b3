import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createMask, createSecrets } from './secrets.ts'

const bytes = (text: string): Uint8Array => Buffer.from(text)

function masked(secrets: readonly string[], chunks: readonly string[]): string {
  const mask = createMask(secrets.map(bytes))
  if (mask === undefined) return chunks.join('')
  return [...chunks.map((chunk) => mask.push(Buffer.from(chunk)).toString('latin1')), mask.end().toString('latin1')].join('')
}

test.each([
  ['whole', ['hunter22'], ['the password is hunter22!\n'], 'the password is ****!\n'],
  ['split between chunks', ['hunter22'], ['the password is hun', 'ter', '22!\n'], 'the password is ****!\n'],
  ['a beginning that is none', ['hunter22'], ['hunt', 'ing'], 'hunting'],
  ['without its final newline', ['hunter22\n'], ['x hunter22 y'], 'x **** y'],
  ['line by line', ['line one\nline two\n'], ['> line two'], '> ****'],
  ['the longer of two first', ['abcd', 'abcdef'], ['abcdefg'], '****g'],
  ['at the very end', ['hunter22'], ['hunter22'], '****'],
  ['twice', ['hunter22'], ['hunter22hunter22'], '********'],
])('a secret is masked: %s', (_name, secrets, chunks, expected) => {
  expect(masked(secrets, chunks)).toBe(expected)
})

test('too short to tell from chance: not masked', () => {
  expect(createMask([bytes('abc')])).toBeUndefined()
})

test('property: however the text is cut, the secret does not come through, and nothing else is lost', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'S'), maxLength: 4 }), { maxLength: 12 }), (chunks) => {
      const secret = 'abab'
      const text = masked([secret], chunks)
      expect(text).not.toContain(secret)
      expect(text).toBe(chunks.join('').replaceAll(secret, '****'))
    }),
  )
})

test('a secret that is required and missing says how to give it', () => {
  const secrets = createSecrets([{ id: 'there', value: bytes('x') }])
  expect(secrets.get('there', true, undefined)).toEqual(bytes('x'))
  expect(secrets.get('missing', false, undefined)).toBeUndefined()
  expect(() => secrets.get('missing', true, undefined)).toThrow(
    expect.objectContaining({ code: 'secret-missing', hint: expect.stringContaining('--secret id=missing') }),
  )
})

test('a file that is too large for a secret is not read', () => {
  expect(() => createSecrets([{ id: 'k', file: process.execPath }]).get('k', true, undefined)).toThrow(
    expect.objectContaining({ code: 'too-large' }),
  )
})
