import { StaveError } from '#error.ts'

/** Where the variables of a document come from: undefined where one is not set. */
export type Variables = (name: string) => string | undefined

/** How deep `${A:-${B:-…}}` may nest. */
const mostLevels = 100

/**
 * Replaces variables in a text: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?error}`, `${NAME?error}`,
 * `${NAME:+other}`, `${NAME+other}`, of which the parts behind the operator may have variables too; `$$` is a dollar sign.
 *
 * @param onUnset told the names that have no value, and of which nothing says what then
 * @throws StaveError `invalid-document` for what is none of these, and for a variable that must be set
 * @see Compose specification, "Interpolation"
 */
export function interpolate(text: string, variables: Variables, onUnset: (name: string) => void = () => undefined): string {
  return text.includes('$') ? new Interpolation(text, variables, onUnset).run() : text
}

class Interpolation {
  readonly #text: string
  readonly #variables: Variables
  readonly #onUnset: (name: string) => void
  #at = 0
  #level = 0

  constructor(text: string, variables: Variables, onUnset: (name: string) => void) {
    this.#text = text
    this.#variables = variables
    this.#onUnset = onUnset
  }

  run(): string {
    return this.#part('', true)
  }

  /** Up to the closing brace that ends it, or to the end. Where it does not count, nothing in it needs a value. */
  #part(until: '' | '}', counts: boolean): string {
    let result = ''
    while (this.#at < this.#text.length) {
      const dollar = this.#text.indexOf('$', this.#at)
      const end = until === '' ? -1 : this.#text.indexOf(until, this.#at)
      const stop = [dollar, end].filter((at) => at >= 0)
      const next = stop.length === 0 ? this.#text.length : Math.min(...stop)
      result += this.#text.slice(this.#at, next)
      this.#at = next
      if (next === this.#text.length || next === end) break
      result += this.#variable(counts)
    }
    return result
  }

  #variable(counts: boolean): string {
    this.#at++
    if (this.#text[this.#at] === '$') {
      this.#at++
      return '$'
    }
    if (this.#text[this.#at] !== '{') {
      const name = this.#name()
      if (name === undefined) throw this.#invalid()
      return counts ? this.#valueOf(name) : ''
    }
    if (++this.#level > mostLevels) throw new StaveError('invalid-document', `variables nest deeper than ${mostLevels} levels`)
    this.#at++
    const name = this.#name()
    const [operator] = /^(?::?[-?+])?/.exec(this.#text.slice(this.#at, this.#at + 2)) as RegExpExecArray
    if (name === undefined) throw this.#invalid()
    this.#at += operator.length
    const value = this.#variables(name)
    const isThere = operator.startsWith(':') ? value !== undefined && value !== '' : value !== undefined
    const usesRest = operator.endsWith('+') ? isThere : !isThere
    const rest = this.#part('}', counts && operator !== '' && usesRest)
    if (this.#text[this.#at] !== '}' || (operator === '' && rest !== '')) throw this.#invalid()
    this.#at++
    this.#level--
    if (!counts) return ''
    if (operator === '') return this.#valueOf(name)
    if (operator.endsWith('?') && !isThere) {
      const why = rest === '' ? '' : `: ${rest}`
      throw new StaveError('invalid-document', `the variable ${name} must be set${why}`, {
        hint: `Set it in the environment or in .env: ${name}=…`,
      })
    }
    if (operator.endsWith('+')) return isThere ? rest : ''
    return isThere ? (value as string) : rest
  }

  #valueOf(name: string): string {
    const value = this.#variables(name)
    if (value === undefined) this.#onUnset(name)
    return value ?? ''
  }

  #name(): string | undefined {
    const [name] = /^[A-Za-z_]\w*/.exec(this.#text.slice(this.#at, this.#at + 1024)) ?? []
    this.#at += name?.length ?? 0
    return name
  }

  #invalid(): StaveError {
    const shown = this.#text.length > 80 ? `${this.#text.slice(0, 80)}…` : this.#text
    return new StaveError('invalid-document', `${JSON.stringify(shown)} is no valid use of a variable`, {
      hint: 'Write $$ where a dollar sign is meant, and ${NAME} for a variable.',
    })
  }
}
