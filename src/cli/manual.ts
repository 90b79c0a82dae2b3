import type { Command, Flag, Flags } from './command.ts'
import { errorCatalogue } from './output/error-catalogue.ts'
import { flagLines } from './help.ts'

/**
 * The reference of the command line as Markdown files, by name: one a command, one of error codes, one overview.
 *
 * @param leading All flags that may stand before the command.
 */
export function manual(commands: readonly Command[], globals: Flags, leading: Flags): ReadonlyMap<string, string> {
  const pages = new Map<string, string>()
  const shown = commands.filter(({ hidden }) => !hidden)
  const leaves = shown.flatMap((command) => command.commands ?? [command])
  const rows = leaves.map(({ name, group, summary }) => `| [${name}](${file(name)}) | ${group} | ${summary} |`)
  const lines = [
    '# The command line',
    '',
    '| command | group | |',
    '|---|---|---|',
    ...rows,
    '',
    'Before or after every command:',
    '',
    '```',
    ...flagLines(globals),
    '```',
    '',
    'Understood before the command from docker, podman, buildah and skopeo:',
    '',
    '| flag | |',
    '|---|---|',
    ...Object.entries(leading)
      .filter(([, { hidden, short }]) => hidden === true || short !== undefined)
      .map(([name, flag]) => `| ${spellings(name, flag)} | ${flag.doc} |`),
    '',
    `Error codes: [errors](errors.md).`,
    '',
  ]
  pages.set('README.md', lines.join('\n'))
  for (const command of leaves) pages.set(file(command.name), page(command))
  pages.set(
    'errors.md',
    [
      '# Error codes',
      '',
      '| code | meaning |',
      '|---|---|',
      ...Object.entries(errorCatalogue).map(([code, meaning]) => `| \`${code}\` | ${meaning} |`),
      '',
      exitCodes,
      '',
    ].join('\n'),
  )
  return pages
}

const exitCodes =
  "Exit status: 0 done; 1 failed; 2 used wrongly; 130 interrupted. `run`, `exec` and `start -a` pass the command's own status on; 125 means that stave itself failed, 126 that the command cannot be executed, 127 that it is not there."

function spellings(name: string, flag: Flag): string {
  const value = flag.kind === 'boolean' ? '' : ` ${flag.value ?? 'VALUE'}`
  const names = [...(flag.short === undefined ? [] : [`-${flag.short}`]), `--${name}`, ...(flag.aliases ?? []).map((alias) => `--${alias}`)]
  return `\`${names.join('`, `')}${value}\``
}

function file(name: string): string {
  return `${name.replaceAll(' ', '-')}.md`
}

function page(command: Command): string {
  const flags = Object.values(command.flags).some(({ hidden }) => !hidden)
    ? ['## Flags', '', '```', ...flagLines(command.flags), '```', '']
    : []
  const hidden = Object.entries(command.flags).filter(([, flag]) => flag.hidden)
  const accepted =
    hidden.length > 0 ? ['## Understood from other tools', '', ...hidden.map(([name, { doc }]) => `- \`--${name}\`: ${doc}`), ''] : []
  const examples =
    command.examples.length > 0
      ? ['## Examples', '', '```sh', ...command.examples.flatMap(({ command: line, doc }) => [`# ${doc}`, line]), '```', '']
      : []
  const aliases = command.aliases?.length ? [`Also: ${command.aliases.map((alias) => `\`${alias}\``).join(', ')}`, ''] : []
  return [
    `# stave ${command.name}`,
    '',
    '```',
    `stave ${command.name} [FLAGS] ${command.operands}`.trimEnd(),
    '```',
    '',
    command.description ?? `${command.summary}.`,
    '',
    ...aliases,
    ...flags,
    ...accepted,
    ...examples,
  ].join('\n')
}
