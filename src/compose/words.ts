import { StaveError } from '#error.ts'

/**
 * Splits a command that is written as one text into its words, as a shell would: quotes and backslashes, and nothing is
 * expanded.
 *
 * @throws StaveError `invalid-document` for a quote that is not closed
 */
export function splitWords(text: string): string[] {
  const words: string[] = []
  let word: string | undefined
  for (let at = 0; at < text.length; at++) {
    const character = text[at] as string
    if (/\s/.test(character)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else if (character === "'") {
      const end = text.indexOf("'", at + 1)
      if (end < 0) throw unclosed(text)
      word = (word ?? '') + text.slice(at + 1, end)
      at = end
    } else if (character === '"') {
      word ??= ''
      for (at++; text[at] !== '"'; at++) {
        if (at >= text.length) throw unclosed(text)
        // Within double quotes a backslash is one, but before what it is needed for.
        if (text[at] === '\\' && /[\\"$`\n]/.test(text[at + 1] ?? '')) at++
        word += text[at]
      }
    } else if (character === '\\' && at + 1 < text.length) {
      at++
      word = (word ?? '') + text[at]
    } else word = (word ?? '') + character
  }
  if (word !== undefined) words.push(word)
  return words
}

function unclosed(text: string): StaveError {
  return new StaveError('invalid-document', `a quote is not closed in ${JSON.stringify(text.slice(0, 80))}`)
}
