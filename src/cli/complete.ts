import type { Command } from './command.ts'
import { lastWord } from './commands.ts'

/** A completion script: commands, their flags, and the choices of flags. */
export function completionScript(shell: 'bash' | 'zsh' | 'fish', commands: readonly Command[]): string {
  const shown = commands.filter(({ hidden }) => !hidden)
  if (shell === 'fish') return fish(shown)
  return shell === 'bash' ? bash(shown) : `#compdef stave\nautoload -U +X bashcompinit && bashcompinit\n${bash(shown)}`
}

function flagsOf(command: Command): string[] {
  return Object.entries(command.flags)
    .filter(([, { hidden }]) => !hidden)
    .flatMap(([name, { short }]) => [`--${name}`, ...(short ? [`-${short}`] : [])])
}

function bash(commands: readonly Command[]): string {
  const cases = commands.map((command) => {
    const words = command.commands ? command.commands.map(({ name }) => lastWord(name)) : flagsOf(command)
    return `    ${[command.name, ...(command.aliases ?? [])].join('|')}) words="${words.join(' ')} --help" ;;`
  })
  const choices = commands.flatMap((command) =>
    Object.entries(command.flags).flatMap(([name, { choices }]) =>
      choices ? [`    ${command.name}:--${name}) COMPREPLY=($(compgen -W "${choices.join(' ')}" -- "$cur")); return ;;`] : [],
    ),
  )
  const groups = commands.filter((command) => command.commands).map(({ name }) => name)
  const named = (names: readonly string[], list: string) =>
    `    ${names.join('|')}) [[ $cur != -* ]] && { COMPREPLY=($(compgen -W "$(${list} 2>/dev/null)" -- "$cur")); return; } ;;`
  return `_stave() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]} words=
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(' ')} --help --version" -- "$cur"))
    return
  fi
  case $command:$prev in
${choices.join('\n')}
  esac
  case $command in
${named(['run', 'create', 'push', 'rmi', 'tag', 'untag', 'history', 'save', 'inspect'], "stave images --format '{{.Repository}}:{{.Tag}}'")}
${named(['exec', 'logs', 'stop', 'kill', 'rm', 'start', 'restart', 'attach', 'wait', 'pause', 'unpause', 'rename', 'top'], "stave ps -a --format '{{.Names}}'")}
  esac
  case $command in
${cases.join('\n')}
  esac
  case $cur:$command in
    -*|${groups.map((name) => `*:${name}`).join('|')}) COMPREPLY=($(compgen -W "$words" -- "$cur")) ;;
  esac
}
complete -o default -F _stave stave
`
}

function fish(commands: readonly Command[]): string {
  const quote = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)}'`
  const lines = ['complete -c stave -f']
  for (const command of commands) {
    lines.push(`complete -c stave -n __fish_use_subcommand -a ${command.name} -d ${quote(command.summary)}`)
    for (const [name, flag] of Object.entries(command.flags)) {
      if (flag.hidden) continue
      const parts = [`complete -c stave -n '__fish_seen_subcommand_from ${command.name}' -l ${name} -d ${quote(flag.doc)}`]
      if (flag.short) parts.push(`-s ${flag.short}`)
      if (flag.choices) parts.push(`-xa ${quote(flag.choices.join(' '))}`)
      else if (flag.kind !== 'boolean') parts.push('-rF')
      lines.push(parts.join(' '))
    }
    for (const sub of command.commands ?? [])
      lines.push(`complete -c stave -n '__fish_seen_subcommand_from ${command.name}' -a ${lastWord(sub.name)} -d ${quote(sub.summary)}`)
  }
  return `${lines.join('\n')}\n`
}
