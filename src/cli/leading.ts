import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { StaveError } from '#error.ts'
import { digestHex, digestOf } from '#oci/digest.ts'
import type { Command, Flag, Flags } from './command.ts'
import { parseFlags, unknownFlag } from './parse.ts'
import { absentBefore, globalFlags, idleFlags, leadingFlags, saysDebug } from './program-flags.ts'

/** The words before a command, told apart. */
export interface Leading {
  /** How many words. */
  readonly count: number
  /** Those of the program. */
  readonly own: readonly string[]
  /** Those of the command: skopeo's users write flags of a command before it. */
  readonly others: readonly string[]
  readonly asksHelp: boolean
  readonly asksVersion: boolean
}

const program: Pick<Command, 'name' | 'operands' | 'absent'> = { name: '', operands: 'COMMAND', absent: absentBefore }
const own: Flags = { ...globalFlags, ...idleFlags, ...leadingFlags }

/**
 * Splits off the words before the command, with the values of flags that have one.
 *
 * @param commands All of them: a flag that only one of them has may stand here too.
 * @throws StaveError `usage` for a flag that nobody has
 */
export function splitLeading(words: readonly string[], commands: readonly Command[]): Leading {
  const mine: string[] = []
  const others: string[] = []
  let count = 0
  let [asksHelp, asksVersion] = [false, false]
  while (count < words.length && words[count]!.startsWith('-') && words[count] !== '-') {
    const word = words[count]!
    asksHelp ||= word === '--help' || word === '-h'
    asksVersion ||= word === '--version' || word === '-v'
    if (['--help', '-h', '--version', '-v'].includes(word)) {
      count++
      continue
    }
    const flag = find(word, own)
    const found = flag ?? find(word, Object.assign({}, ...commands.map(({ flags }) => flags)) as Flags)
    if (found === undefined) throw unknownFlag(program as Command, word.split('=')[0]!, shown(own))
    const taken = takesNext(word, found) ? 2 : 1
    ;(flag === undefined ? others : mine).push(...words.slice(count, count + taken))
    count += taken
  }
  return { count, own: mine, others, asksHelp, asksVersion }
}

/** The flag that decides whether a word takes the next one along: in a cluster of short ones the last that is read. */
function find(word: string, flags: Flags): Flag | undefined {
  const entries = Object.entries(flags)
  if (word.startsWith('--')) {
    const name = word.slice(2).split('=')[0]!
    if (Object.hasOwn(flags, name)) return flags[name]
    return (
      entries.find(([, { aliases }]) => aliases?.includes(name))?.[1] ??
      (name.startsWith('no-') && flags[name.slice(3)]?.kind === 'boolean' ? flags[name.slice(3)] : undefined)
    )
  }
  let flag: Flag | undefined
  for (const letter of word.slice(1)) {
    flag = entries.find(([, { short, aliases }]) => short === letter || aliases?.includes(letter))?.[1]
    if (flag?.kind !== 'boolean') break
  }
  return flag
}

function takesNext(word: string, flag: Flag): boolean {
  if (flag.kind === 'boolean' || flag.bare !== undefined || word.includes('=')) return false
  if (word.startsWith('--')) return true
  // -Htcp://x has its value with it, -DH has not.
  return word.at(-1) === flag.short || flag.aliases?.includes(word.at(-1)!) === true
}

/** All can be meant, also those that help does not show. */
function shown(flags: Flags): ReadonlyMap<string, [string, Flag]> {
  return new Map(Object.entries(flags).map(([name, flag]) => [`--${name}`, [name, { ...flag, hidden: false }]]))
}

/** What the program's own words before the command mean. */
export interface LeadingValues {
  /** The same, without those that are no flags after a command. */
  readonly words: readonly string[]
  readonly isDebug: boolean
  /** docker's directory with config.json. */
  readonly dockerConfig: string | undefined
}

/**
 * Reads the program's words before the command.
 *
 * @param dockerConfig Where docker's contexts are.
 * @param command Whom they stand before.
 * @throws StaveError `usage`, also where another machine is asked for
 */
export function readLeading(words: readonly string[], dockerConfig: string, command: Pick<Command, 'flags'>): LeadingValues {
  const { values } = parseFlags(program as Command, own, words)
  for (const host of values['host'] as readonly string[]) refuseElsewhere(host, `-H ${host}`)
  const context = values['context'] as string | undefined
  const config = values['config'] as string | undefined
  if (context !== undefined) {
    const host = hostOf(context, config ?? dockerConfig)
    if (host !== undefined) refuseElsewhere(host, `the context ${context}`)
  }
  if (values['remote'] === true) throw elsewhere('--remote')
  const isDebug = values['debug'] === true || saysDebug(values['log-level'] as string | undefined)
  return { words: repeat(values, command), isDebug, dockerConfig: config }
}

/** The flags that are flags after the command too, written so. */
function repeat(values: Readonly<Record<string, unknown>>, { flags }: Pick<Command, 'flags'>): readonly string[] {
  const names = Object.keys({ ...globalFlags, ...idleFlags }).filter((name) => name !== 'debug')
  // skopeo's policy is a file; pull has a policy of another kind.
  const spelt = (name: string): string => (name === 'policy' && 'signature-policy' in flags ? 'signature-policy' : name)
  return names.flatMap((name) => [values[name] ?? []].flat().map((value) => `--${spelt(name)}=${String(value)}`))
}

/** Sockets of this machine lead to the daemon that is not needed; all else leads to other machines' images and containers. */
function refuseElsewhere(host: string, shown: string): void {
  if (host !== '' && !/^(?:unix|fd|npipe):/.test(host)) throw elsewhere(shown)
}

function elsewhere(shown: string): StaveError {
  return new StaveError('usage', `cannot use ${shown}: there is no daemon, and stave works on this machine alone`, {
    hint: 'Leave it out to work here, or run stave there: ssh HOST stave …',
  })
}

/** The address in docker's record of a context; undefined without one. */
function hostOf(context: string, dockerConfig: string): string | undefined {
  try {
    const text = readFileSync(join(dockerConfig, 'contexts/meta', digestHex(digestOf(context)), 'meta.json'), 'utf8')
    const { Endpoints } = JSON.parse(text) as { Endpoints?: { docker?: { Host?: unknown } } }
    const host = Endpoints?.docker?.Host
    return typeof host === 'string' ? host : undefined
  } catch {
    return undefined
  }
}
