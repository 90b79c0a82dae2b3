import type { Command, Flags } from './command.ts'

const width = 100

/** The page of one command. */
export function helpText(command: Command): string {
  const lines = [
    `Usage: stave ${command.name} [FLAGS] ${command.operands}`.trimEnd(),
    '',
    ...wrap(command.description ?? `${command.summary}.`, ''),
  ]
  if (command.aliases?.length) lines.push('', `Aliases: ${command.aliases.join(', ')}`)
  const shown = Object.values(command.flags).some(({ hidden }) => !hidden)
  if (shown) lines.push('', 'Flags:', ...flagLines(command.flags))
  if (command.examples.length > 0) {
    lines.push('', 'Examples:')
    for (const { command: line, doc } of command.examples) lines.push(`  # ${doc}`, `  ${line}`)
  }
  return `${lines.join('\n')}\n`
}

/** The page of a command that has commands of its own. */
export function groupHelp(group: Command): string {
  const list = (group.commands ?? []).filter(({ hidden }) => !hidden)
  const column = Math.max(...list.map(({ name }) => name.length)) + 2
  const lines = [`Usage: stave ${group.name} COMMAND`, '', group.description ?? `${group.summary}.`, '', 'Commands:']
  for (const { name, summary } of list) lines.push(`  ${name.padEnd(column)}${summary}`)
  lines.push('', `Run stave ${group.name} COMMAND --help for a command.`)
  return `${lines.join('\n')}\n`
}

/** The first page: all commands by group. */
export function overview(commands: readonly Command[], globals: Flags): string {
  const shown = commands.filter(({ hidden }) => !hidden)
  const column = Math.max(...shown.map(({ name }) => name.length)) + 2
  const lines = ['Usage: stave [FLAGS] COMMAND', '', 'Builds, moves and runs container images, without a daemon.']
  for (const group of ['Build', 'Images', 'Registries', 'Containers', 'System'] as const) {
    lines.push('', `${group}:`)
    for (const { name, summary } of shown.filter((command) => command.group === group)) lines.push(`  ${name.padEnd(column)}${summary}`)
  }
  lines.push('', 'Flags:', ...flagLines(globals), '', 'Run stave COMMAND --help for a command, with examples.')
  return `${lines.join('\n')}\n`
}

/** Flags in two columns. */
export function flagLines(flags: Flags): string[] {
  const rows = Object.entries(flags)
    .filter(([, { hidden }]) => !hidden)
    .map(([name, flag]) => {
      const short = flag.short ? `-${flag.short}, ` : '    '
      const value = flag.kind === 'boolean' ? '' : ` ${flag.value ?? (flag.kind === 'number' ? 'N' : 'VALUE')}`
      const typed = flag.bare === undefined ? value : `[=${value.trim()}]`
      const choices = flag.choices ? ` (${flag.choices.filter((choice) => choice !== '').join(', ')})` : ''
      const repeat = flag.kind === 'list' ? ' (repeatable)' : ''
      return [`  ${short}--${name}${typed}`, `${flag.doc}${choices}${repeat}`] as const
    })
  const column = Math.min(Math.max(...rows.map(([left]) => left.length)) + 2, 38)
  return rows.flatMap(([left, doc]) => {
    const [first = '', ...more] = wrap(doc, '', width - column)
    const head = left.length + 2 > column ? [left, ' '.repeat(column) + first] : [left.padEnd(column) + first]
    return [...head, ...more.map((line) => ' '.repeat(column) + line)]
  })
}

function wrap(text: string, indent: string, limit = width): string[] {
  const lines: string[] = []
  for (const paragraph of text.split('\n')) {
    let line = indent
    for (const word of paragraph.split(' ')) {
      if (line.length + word.length + 1 > limit && line.trim() !== '') {
        lines.push(line.trimEnd())
        line = indent
      }
      line += `${word} `
    }
    lines.push(line.trimEnd())
  }
  return lines
}
