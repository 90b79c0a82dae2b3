import { csvFields } from '#text/csv.ts'
import { suggest } from '#text/suggest.ts'
import { hasCode, StaveError } from '#error.ts'
import { keyValues } from './key-values.ts'

/** What is said in a flag's value `key=value,…`. */
export type Attributes = Readonly<Record<string, string>>

/** `type=…,key=value,…` as buildx writes it: CSV. @throws StaveError `usage` */
export function attributes(text: string, flag: string): Attributes {
  return keyValues(
    fieldsOf(text, flag).map((field) => field.trim()),
    flag,
  )
}

function fieldsOf(text: string, flag: string): string[] {
  try {
    return csvFields(text)
  } catch (error) {
    throw hasCode(error, 'usage') ? error.with({ message: `${flag}: ${error.message}` }) : error
  }
}

/** Fails for what nobody would read: a word that is ignored is a wish that is not fulfilled. @throws StaveError `usage` */
export function refuseUnknown(given: Attributes, known: readonly string[], shown: string): void {
  for (const key of Object.keys(given)) {
    if (known.includes(key)) continue
    const near = suggest(key, known)
    throw new StaveError('usage', `${shown}: there is no ${key}`, {
      hint: near === undefined ? `There are ${known.join(', ')}.` : `Did you mean ${near}?`,
    })
  }
}

/** `key`, `key=true`, `key=false`; undefined if it is not said. @throws StaveError `usage` */
export function booleanOf(given: Attributes, key: string, shown: string): boolean | undefined {
  const text = given[key]?.toLowerCase()
  if (text === undefined) return undefined
  if (text === '' || text === 'true' || text === '1') return true
  if (text === 'false' || text === '0') return false
  throw new StaveError('usage', `${shown}: ${key} is true or false, not ${JSON.stringify(text)}`)
}

/** A word that says what is so anyway. @throws StaveError `usage` for the opposite */
export function isSoAnyway(given: Attributes, key: string, shown: string, why: string, expected = true): void {
  if ((booleanOf(given, key, shown) ?? expected) !== expected)
    throw new StaveError('usage', `${shown}: ${key}=${given[key]} is not possible: ${why}`)
}
