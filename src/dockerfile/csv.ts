import { fault } from './fault.ts'

/**
 * The fields of a flag's value that is a line of CSV: `type=bind,"target=/a,b"`. A field in double quotes may
 * hold commas, and `""` for a quote.
 */
export function csvFields(text: string): string[] {
  if (text === '') throw fault('the value is empty')
  const fields: string[] = []
  let at = 0
  for (;;) {
    if (text[at] !== '"') {
      const comma = text.indexOf(',', at)
      const field = comma < 0 ? text.slice(at) : text.slice(at, comma)
      if (field.includes('"')) throw fault(`there is a quote inside the field ${field}`, undefined, 'Quote the whole field.')
      fields.push(field)
      if (comma < 0) return fields
      at = comma + 1
      continue
    }
    let field = ''
    at++
    for (;;) {
      const quote = text.indexOf('"', at)
      if (quote < 0) throw fault(`a quote is not closed in ${text}`)
      field += text.slice(at, quote)
      at = quote + 1
      if (text[at] !== '"') break
      field += '"'
      at++
    }
    fields.push(field)
    if (at === text.length) return fields
    if (text[at] !== ',') throw fault(`there is text after a closing quote in ${text}`, undefined, 'Quote the whole field.')
    at++
  }
}
