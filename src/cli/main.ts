import { suggest } from '#text/suggest.ts'
import { StaveError } from '#error.ts'
import { homedir } from 'node:os'
import type { Command, Flags, Invocation } from './command.ts'
import { commands, findCommand, lastWord } from './commands.ts'
import { insteadOf, withoutGroup, wordsOfGroup } from './docker-groups.ts'
import { checkOperands, parseFlags } from './parse.ts'
import type { Leading, LeadingValues } from './leading.ts'
import { globalFlags, idleFlags, saysDebug } from './program-flags.ts'
import { createReport, exitCodeOf, type Report } from './output/report.ts'
import { readSettings } from './settings.ts'
import { cancelled, signalNumber, watchSignals } from './signals.ts'

/** The program: reads the words, runs one command, answers with the exit status once all that it said is written. */
export async function main(words: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const status = await runProgram(words, env)
  // A pipe whose reader is slow takes what was written later, and the exit would cut it off.
  for (const stream of [process.stdout, process.stderr]) await new Promise<void>((resolve) => stream.write('', () => resolve()))
  return status
}

async function runProgram(words: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const stop = new AbortController()
  let report = createReport({ env, isCi: false, debug: false })
  let ownFailure: number | undefined
  watchPipes()
  process.on('uncaughtException', (error) => {
    report.error(error)
    process.exit(1)
  })
  try {
    const leading = await leadingWords(words)
    const { command, group, rest } = findWords(words.slice(leading.count))
    if (command === undefined || leading.asksVersion) return await withoutCommand(leading, group, rest, report)
    ownFailure = command.ownFailure
    const program = await readProgramWords(leading.own, command, env)
    const parsed = parseFlags(command, { ...idleFlags, ...globalFlags }, [...program.words, ...leading.others, ...rest])
    if (parsed.help || leading.asksHelp) {
      const { helpText } = await import('./help.ts')
      report.write(helpText(command))
      return 0
    }
    const values = parsed.values as Record<string, never>
    const settings = readSettings(program.dockerConfig === undefined ? env : { ...env, DOCKER_CONFIG: program.dockerConfig }, {
      root: values['root'],
      debug: program.isDebug || ('debug' in command.flags ? undefined : values['debug']) || saysDebug(values['log-level']) || undefined,
      registriesConf: values['registries-conf'],
      temporary: values['tmpdir'],
      storageDriver: values['storage-driver'],
    })
    if (values['command-timeout'] !== undefined) await endAfter(values['command-timeout'], stop)
    report = createReport({ env, isCi: settings.isCi, debug: settings.debug })
    checkOperands(command, parsed.operands)
    const signals = watchSignals(stop)
    const cx = { signal: stop.signal, report: (event: Parameters<Report['event']>[0]) => report.event(event) }
    const invocation: Invocation = { cx, flags: values, args: parsed.operands, settings, report, ...signals }
    const { run } = await command.load!()
    const status = await run(invocation as Invocation<never>)
    await report.settle()
    return status ?? 0
  } catch (error) {
    await report.settle()
    if (isClosedPipe(error)) return 0
    // What fails after a signal, fails because of it.
    const shown = stop.signal.aborted ? (stop.signal.reason instanceof StaveError ? stop.signal.reason : cancelled(stop)) : error
    report.error(shown)
    return stop.signal.aborted && shown !== stop.signal.reason ? 128 + signalNumber(stop) : exitCodeOf(shown, ownFailure)
  }
}

/** The words before the command. Mostly there are none, and what reads them is not loaded. */
async function leadingWords(words: readonly string[]): Promise<Leading> {
  if (!words[0]?.startsWith('-')) return { count: 0, own: [], others: [], asksHelp: false, asksVersion: false }
  return (await import('./leading.ts')).splitLeading(words, commands)
}

async function readProgramWords(words: readonly string[], command: Command, env: NodeJS.ProcessEnv): Promise<LeadingValues> {
  if (words.length === 0) return { words, isDebug: false, dockerConfig: undefined }
  return (await import('./leading.ts')).readLeading(words, env.DOCKER_CONFIG || `${env.HOME || homedir()}/.docker`, command)
}

/** The command that the words begin with, or the group of commands of which none is named, and the words after it. */
function findWords(typed: readonly string[]): {
  command: Command | undefined
  group?: Command
  rest: readonly string[]
} {
  const words = withoutGroup(typed)
  let index = 0
  // Flags of a group stand before or after the word behind it: stave compose -f FILE up.
  const before: string[] = []
  let list: readonly Command[] = commands
  let command: Command | undefined
  let path = ''
  while (index < words.length) {
    const word = words[index]!
    const found = findCommand(list, word)
    if (found === undefined) {
      if (command !== undefined && !command.commands) break
      if (command !== undefined && word.startsWith('-')) break
      const near = suggest(
        word,
        list.filter(({ hidden }) => !hidden).map(({ name }) => lastWord(name)),
      )
      const instead = command === undefined ? insteadOf(words.slice(index)) : undefined
      if (instead !== undefined)
        throw new StaveError('usage', `stave ${words.slice(index, index + 2).join(' ')}: there is no such command`, { hint: instead })
      const group = path === '' ? wordsOfGroup(word) : undefined
      if (group) throw noSuchWord(word, words[index + 1], group)
      throw new StaveError('usage', `stave ${path}${word}: there is no such command`, {
        hint: near ? `Did you mean stave ${path}${near}?` : `See stave ${path}--help.`,
      })
    }
    index++
    path = `${found.name} `
    command = found
    if (!found.commands) break
    list = found.commands
    const known = valueFlags(found.flags)
    for (let flag = known.get(flagOf(words[index])); flag !== undefined; flag = known.get(flagOf(words[index]))) {
      const [, attached] = words[index++]!.split(/=(.*)/s)
      // By its long name: behind the word, a short one may be another's.
      before.push(attached === undefined ? flag.name : `${flag.name}=${attached}`)
      if (flag.takesValue && attached === undefined && index < words.length) before.push(words[index++]!)
    }
  }
  if (command?.commands && command.load === undefined)
    return { command: undefined, group: command, rest: [...before, ...words.slice(index)] }
  return { command, rest: [...before, ...words.slice(index)] }
}

function flagOf(word: string | undefined): string {
  return word?.startsWith('-') ? (word.split('=')[0] as string) : ''
}

/** The flags of a command as they are typed. */
function valueFlags(flags: Flags): ReadonlyMap<string, { readonly name: string; readonly takesValue: boolean }> {
  return new Map(
    Object.entries(flags).flatMap(([name, { kind, short }]) => {
      const flag = { name: `--${name}`, takesValue: kind !== 'boolean' }
      return [[flag.name, flag] as const, ...(short === undefined ? [] : [[`-${short}`, flag] as const])]
    }),
  )
}

function noSuchWord(group: string, word: string | undefined, known: readonly string[]): StaveError {
  const hint = `After ${group} comes one of ${known.join(', ')}.`
  if (word === undefined) return new StaveError('usage', `stave ${group}: the word after it is missing`, { hint })
  return new StaveError('usage', `stave ${group} ${word}: there is no such command`, { hint })
}

async function withoutCommand(leading: Leading, group: Command | undefined, rest: readonly string[], report: Report): Promise<number> {
  if (leading.asksVersion) {
    const { version } = await import('./version.ts')
    report.print(`stave ${version}`)
    return 0
  }
  const { overview, groupHelp } = await import('./help.ts')
  if (group) {
    const isAsked = leading.asksHelp || rest.includes('--help') || rest.includes('-h')
    if (isAsked) report.write(groupHelp(group))
    else report.note(groupHelp(group))
    return isAsked ? 0 : 2
  }
  if (leading.asksHelp) {
    report.write(overview(commands, globalFlags))
    return 0
  }
  report.note(overview(commands, globalFlags))
  return 2
}

async function endAfter(text: string, stop: AbortController): Promise<void> {
  const { parseDuration } = await import('#text/duration.ts')
  const timer = setTimeout(
    () => {
      stop.abort(
        new StaveError('timeout', `the command did not end within ${text}`, { hint: '--command-timeout says how long it may take.' }),
      )
    },
    parseDuration(text) / 1e6,
  )
  timer.unref()
}

/** Who reads no more wants no more: that is no failure of ours. */
function watchPipes(): void {
  process.stdout.on('error', (error) => {
    if (isClosedPipe(error)) process.exit(0)
    if (!isLostTerminal(process.stdout, error)) throw error
  })
  process.stderr.on('error', (error) => {
    if (!isClosedPipe(error) && !isLostTerminal(process.stderr, error)) throw error
  })
}

/** A window that was closed: what this program does there goes on without it. */
function isLostTerminal(stream: NodeJS.WriteStream, error: unknown): boolean {
  return stream.isTTY && error instanceof Error && 'code' in error && error.code === 'EIO'
}

function isClosedPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE'
}
