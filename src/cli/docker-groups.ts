/** Docker's management commands, by what they are called here. */
const groups: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  image: named(['build', 'history', 'import', 'inspect', 'load', 'prune', 'pull', 'push', 'save', 'tag', 'untag'], {
    ls: 'images',
    list: 'images',
    rm: 'rmi',
    remove: 'rmi',
  }),
  container: named(
    [
      'attach',
      'commit',
      'cp',
      'create',
      'exec',
      'export',
      'inspect',
      'kill',
      'logs',
      'pause',
      'rename',
      'restart',
      'rm',
      'run',
      'start',
      'stop',
      'unpause',
      'wait',
    ],
    { ls: 'ps', list: 'ps', ps: 'ps', remove: 'rm' },
  ),
  system: named(['df', 'info', 'prune'], {}),
  builder: named(['build', 'prune'], {}),
  buildx: named(['build', 'prune'], { b: 'build', du: 'df' }),
}

/** `image ls` as `images`, `container run` as `run`, for scripts that were written for docker; other words as they are. */
export function withoutGroup(words: readonly string[]): readonly string[] {
  const [group = '', word = '', ...rest] = words
  const command = Object.hasOwn(groups, group) ? groups[group]![word] : undefined
  return command === undefined ? words : [command, ...rest]
}

function named(same: readonly string[], others: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return { __proto__: null, ...Object.fromEntries(same.map((name) => [name, name])), ...others } as never
}
