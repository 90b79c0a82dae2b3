import { suggest } from '#text/suggest.ts'
import { StaveError } from '#error.ts'
import type { Command, Flag, Flags, Values } from './command.ts'

export interface Parsed {
  readonly values: Readonly<Record<string, boolean | string | number | readonly string[] | undefined>>
  readonly operands: readonly string[]
  readonly help: boolean
}

/**
 * Reads the words after a command's name: long and short flags, `--flag=value`, clusters (`-it`), repeated flags,
 * `--no-flag` and `--flag=false` for what is on by default, and `--`.
 *
 * @throws StaveError `usage`, with the nearest flag that exists
 */
export function parseFlags(command: Command, globals: Flags, words: readonly string[]): Parsed {
  const names = flagNames({ ...globals, ...command.flags })
  const values: Record<string, boolean | string | number | readonly string[] | undefined> = { ...untyped({ ...globals, ...command.flags }) }
  const operands: string[] = []
  let help = false
  let index = 0
  const next = (typed: string): string => {
    const value = words[index++]
    if (value === undefined) throw usage(command, `${typed} needs a value`)
    return value
  }
  const set = (name: string, flag: Flag, typed: string, attached: string | undefined) => {
    if (flag.kind === 'boolean') {
      values[name] = attached === undefined ? true : booleanValue(command, typed, attached)
      return
    }
    const text = attached ?? flag.bare ?? next(typed)
    if (flag.choices && !flag.choices.includes(text)) {
      if (flag.instead !== undefined) throw usage(command, `${typed} is not offered as ${JSON.stringify(text)}`, flag.instead)
      throw usage(command, `${typed} takes ${listed(flag.choices)}, not ${JSON.stringify(text)}`)
    }
    if (flag.kind === 'number') values[name] = numberValue(command, typed, text)
    else if (flag.kind === 'list') values[name] = [...(values[name] as readonly string[]), text]
    else values[name] = text
  }
  while (index < words.length) {
    const word = words[index++]!
    if (word === '--') {
      operands.push(...words.slice(index))
      break
    }
    if (word === '-' || !word.startsWith('-')) {
      operands.push(word)
      if (!command.passthrough) continue
      operands.push(...words.slice(index))
      break
    }
    if (word.startsWith('--')) {
      const equals = word.indexOf('=')
      const typed = equals < 0 ? word : word.slice(0, equals)
      const attached = equals < 0 ? undefined : word.slice(equals + 1)
      if (typed === '--help') help = true
      else if (names.has(typed)) set(...names.get(typed)!, typed, attached)
      else if (typed.startsWith('--no-') && names.get(`--${typed.slice(5)}`)?.[1].kind === 'boolean')
        values[names.get(`--${typed.slice(5)}`)![0]] = attached === undefined ? false : !booleanValue(command, typed, attached)
      else throw unknownFlag(command, typed, names)
      continue
    }
    for (let at = 1; at < word.length; at++) {
      const typed = `-${word[at]}`
      const found = names.get(typed)
      if (!found && typed === '-h') help = true
      if (!found && typed !== '-h') throw unknownFlag(command, typed, names)
      if (!found) continue
      const rest = word.slice(at + 1)
      if (found[1].kind === 'boolean') {
        if (rest.startsWith('=')) {
          set(...found, typed, rest.slice(1))
          break
        }
        set(...found, typed, undefined)
        continue
      }
      set(...found, typed, rest === '' ? undefined : rest.replace(/^=/, ''))
      break
    }
  }
  return { values, operands, help }
}

/** The values of flags of which none was typed. */
export function untyped<F extends Flags>(flags: F): Values<F> {
  return Object.fromEntries(Object.entries(flags).map(([name, { kind }]) => [name, kind === 'list' ? [] : undefined])) as Values<F>
}

/** Fails unless a command has as many operands as it takes. */
export function checkOperands(command: Command, operands: readonly string[]): void {
  const { least = 0, most = Infinity } = command
  if (operands.length < least) throw usage(command, least === 1 ? 'an operand is missing' : `at least ${least} operands are needed`)
  if (operands.length > most) throw usage(command, `${JSON.stringify(operands[most])} is one operand too many`)
}

export function usage(command: Pick<Command, 'name' | 'operands'>, problem: string, hint?: string): StaveError {
  const typed = `stave ${command.name}`.trimEnd()
  return new StaveError('usage', `${typed}: ${problem}`, {
    hint: hint ?? `Usage: ${typed} [FLAGS] ${command.operands}`.trim() + `. See ${typed} --help.`,
  })
}

function flagNames(flags: Flags): Map<string, [string, Flag]> {
  const names = new Map<string, [string, Flag]>()
  for (const [name, flag] of Object.entries(flags)) {
    names.set(`--${name}`, [name, flag])
    if (flag.short) names.set(`-${flag.short}`, [name, flag])
    for (const alias of flag.aliases ?? []) names.set(alias.length === 1 ? `-${alias}` : `--${alias}`, [name, flag])
  }
  return names
}

function booleanValue(command: Command, typed: string, text: string): boolean {
  if (['true', '1', 't', 'yes'].includes(text.toLowerCase())) return true
  if (['false', '0', 'f', 'no'].includes(text.toLowerCase())) return false
  throw usage(command, `${typed} takes true or false, not ${JSON.stringify(text)}`)
}

function numberValue(command: Command, typed: string, text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) throw usage(command, `${typed} takes a number, not ${JSON.stringify(text)}`)
  return value
}

/** What is said of a flag that there is not: what to do instead, or the nearest that there is. */
export function unknownFlag(command: Command, typed: string, names: ReadonlyMap<string, [string, Flag]>): StaveError {
  const instead = command.absent !== undefined && Object.hasOwn(command.absent, typed) ? command.absent[typed] : undefined
  if (instead !== undefined) return usage(command, `${typed} is not offered`, instead)
  const shown = [...names].filter(([, [, flag]]) => !flag.hidden).map(([name]) => name)
  const near = suggest(typed, shown)
  return usage(command, `unknown flag ${typed}`, near && `Did you mean ${near}? See ${`stave ${command.name}`.trimEnd()} --help.`)
}

function listed(all: readonly string[]): string {
  // An empty value is a script's variable that is not set; nobody has to know of it.
  const choices = all.filter((choice) => choice !== '')
  return choices.length < 2 ? String(choices[0]) : `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`
}
