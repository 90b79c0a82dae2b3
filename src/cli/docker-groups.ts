/** Docker's management commands, by what they are called here. */
const groups: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  image: named(['build', 'history', 'import', 'inspect', 'load', 'prune', 'pull', 'push', 'save', 'tag', 'untag'], {
    ls: 'images',
    list: 'images',
    rm: 'rmi',
    remove: 'rmi',
  }),
  container: named(
    ['attach', 'create', 'exec', 'inspect', 'kill', 'logs', 'pause', 'rename', 'restart', 'rm', 'run', 'start', 'stop', 'unpause', 'wait'],
    { ls: 'ps', list: 'ps', ps: 'ps', remove: 'rm' },
  ),
  system: named(['df', 'info', 'prune'], {}),
  builder: named(['build'], {}),
  buildx: named(['build', 'version'], { b: 'build', du: 'df', prune: 'builder prune' }),
}

const noBuilders = 'There are no builders to make, choose or look at: leave the line out, stave build builds on this machine.'

/** Their words that have nothing to stand for here, and what to do instead. */
const absent: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  buildx: {
    __proto__: null,
    ...Object.fromEntries(['create', 'use', 'ls', 'inspect', 'rm', 'stop'].map((word) => [word, noBuilders])),
    bake: 'There are no bake files: write a stave build for each target.',
    imagetools: 'stave inspect NAME shows an image of a registry, stave copy makes another name for it.',
    history: 'stave explain and stave logs tell of a build that was made.',
  } as never,
}

/** `image ls` as `images`, `container run` as `run`, for scripts that were written for docker; other words as they are. */
export function withoutGroup(words: readonly string[]): readonly string[] {
  const [group = '', word = '', ...rest] = words
  const command = Object.hasOwn(groups, group) ? groups[group]![word] : undefined
  return command === undefined ? words : [...command.split(' '), ...rest]
}

/** What to do instead of a word that only docker has. */
export function insteadOf([group = '', word = '']: readonly string[]): string | undefined {
  return Object.hasOwn(absent, group) ? absent[group]![word] : undefined
}

function named(same: readonly string[], others: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return { __proto__: null, ...Object.fromEntries(same.map((name) => [name, name])), ...others } as never
}
