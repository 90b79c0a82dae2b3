import { StaveError } from '#error.ts'

/**
 * Reads the fields of a line of CSV, which is what the value of a flag with several parts is: `type=bind,"target=/a,b"`.
 * A field in double quotes may hold commas, and `""` for a quote (RFC 4180 §2). Spaces belong to the fields.
 *
 * @throws StaveError `usage` for an empty line, and for a quote that is not closed or stands in the midst of a field
 */
export function csvFields(text: string): string[] {
  if (text === '') throw new StaveError('usage', 'the value is empty')
  const fields: string[] = []
  let at = 0
  for (;;) {
    const { field, end } = text[at] === '"' ? quotedField(text, at) : plainField(text, at)
    fields.push(field)
    if (end === text.length) return fields
    at = end + 1
  }
}

interface Field {
  readonly field: string
  /** Position of the comma after it, or of the end of the line. */
  readonly end: number
}

function plainField(text: string, start: number): Field {
  const comma = text.indexOf(',', start)
  const end = comma < 0 ? text.length : comma
  const field = text.slice(start, end)
  if (field.includes('"')) throw misquoted(`there is a quote inside the field ${field}`)
  return { field, end }
}

function quotedField(text: string, start: number): Field {
  let field = ''
  let at = start + 1
  for (;;) {
    const quote = text.indexOf('"', at)
    if (quote < 0) throw new StaveError('usage', `a quote is not closed in ${text}`)
    field += text.slice(at, quote)
    at = quote + 1
    if (text[at] !== '"') break
    field += '"'
    at++
  }
  if (at < text.length && text[at] !== ',') throw misquoted(`there is text after a closing quote in ${text}`)
  return { field, end: at }
}

function misquoted(message: string): StaveError {
  return new StaveError('usage', message, { hint: 'Quote the whole field.' })
}
