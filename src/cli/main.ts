import { suggest } from '#text/suggest.ts'
import { StaveError } from '#error.ts'
import type { Command, Flags, Invocation } from './command.ts'
import { commands, findCommand, lastWord } from './commands.ts'
import { insteadOf, withoutGroup, wordsOfGroup } from './docker-groups.ts'
import { checkOperands, parseFlags } from './parse.ts'
import { createReport, exitCodeOf, type Report } from './output/report.ts'
import { readSettings } from './settings.ts'
import { cancelled, signalNumber, watchSignals } from './signals.ts'

/** Understood before and after the command. */
export const globalFlags = {
  root: { kind: 'string', value: 'DIR', doc: 'Directory of the store (default $STAVE_ROOT, else /var/lib/stave or ~/.local/share/stave)' },
  debug: { kind: 'boolean', doc: 'Show stacks of errors' },
  // skopeo's and podman's, which their users' scripts have before the command
  policy: { kind: 'string', value: 'FILE', hidden: true, doc: 'What may be used, for commands that bring images from elsewhere' },
  'insecure-policy': { kind: 'boolean', hidden: true, doc: 'Use anything, whatever the policy says' },
  'registries.d': { kind: 'string', value: 'DIR', hidden: true, doc: 'Where it is said where signatures are' },
  'registries-conf': { kind: 'string', value: 'FILE', hidden: true, doc: 'In place of registries.conf' },
  'command-timeout': { kind: 'string', value: 'TIME', hidden: true, doc: 'Cancel the command after this time, such as 30s' },
  tmpdir: { kind: 'string', value: 'DIR', hidden: true, doc: 'Where archives are put that cannot be read in place' },
  'log-level': { kind: 'string', value: 'LEVEL', hidden: true, doc: 'Accepted; see --debug' },
} as const satisfies Flags

const program: Pick<Command, 'name' | 'operands'> = { name: '', operands: 'COMMAND' }

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
    const { command, before, rest } = splitAtCommand(words)
    if (command === undefined) return await withoutCommand(before, rest, report)
    ownFailure = command.ownFailure
    const parsed = parseFlags(command, globalFlags, [...before, ...rest])
    if (parsed.help) {
      const { helpText } = await import('./help.ts')
      report.write(helpText(command))
      return 0
    }
    const values = parsed.values as Record<string, never>
    const settings = readSettings(env, {
      root: values['root'],
      debug: 'debug' in command.flags ? undefined : values['debug'],
      registriesConf: values['registries-conf'],
      temporary: values['tmpdir'],
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

/** Splits the words at the command: flags before it are the program's own. */
function splitAtCommand(typed: readonly string[]): { command: Command | undefined; before: readonly string[]; rest: readonly string[] } {
  let words = typed
  let index = 0
  while (index < words.length && words[index]!.startsWith('-')) {
    index += takesNext(words[index]!) ? 2 : 1
  }
  const before = words.slice(0, index)
  words = [...before, ...withoutGroup(words.slice(index))]
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
      if (instead !== undefined) {
        throw new StaveError('usage', `stave ${words.slice(index, index + 2).join(' ')}: there is no such command`, { hint: instead })
      }
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
  }
  if (command?.commands && command.load === undefined) {
    return { command: undefined, before: ['--help', command.name], rest: words.slice(index) }
  }
  return { command, before, rest: words.slice(index) }
}

/** skopeo's users write flags of a command before it: is the next word the value of this one? */
function takesNext(word: string): boolean {
  if (word.includes('=')) return false
  const name = word.slice(2)
  const flags: Flags = Object.assign({}, ...commands.map((command) => command.flags), globalFlags) as Flags
  return Object.hasOwn(flags, name) && flags[name]!.kind !== 'boolean'
}

function noSuchWord(group: string, word: string | undefined, known: readonly string[]): StaveError {
  const hint = `After ${group} comes one of ${known.join(', ')}.`
  if (word === undefined) return new StaveError('usage', `stave ${group}: the word after it is missing`, { hint })
  return new StaveError('usage', `stave ${group} ${word}: there is no such command`, { hint })
}

async function withoutCommand(before: readonly string[], rest: readonly string[], report: Report): Promise<number> {
  if (before.includes('--version') || before.includes('-v')) {
    const { version } = await import('./version.ts')
    report.print(`stave ${version}`)
    return 0
  }
  const { overview, groupHelp } = await import('./help.ts')
  const group = before[0] === '--help' ? findCommand(commands, before[1]!) : undefined
  if (group) {
    report.write(groupHelp(group))
    return rest.includes('--help') || rest.includes('-h') ? 0 : 2
  }
  if (before.includes('--help') || before.includes('-h')) {
    report.write(overview(commands, globalFlags))
    return 0
  }
  if (before.length > 0) parseFlags(program as Command, { ...globalFlags }, before)
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
