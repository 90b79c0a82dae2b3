type Group = Readonly<Record<string, readonly string[]>>

const onlyCache = ['prune', '--only', 'cache']

/** Docker's management commands, by what they are called here. */
const groups: Readonly<Record<string, Group>> = {
  image: named(['build', 'history', 'import', 'load', 'pull', 'push', 'save', 'tag', 'untag'], {
    inspect: ['inspect', '--type', 'image'],
    ls: ['images'],
    list: ['images'],
    rm: ['rmi'],
    remove: ['rmi'],
    prune: ['prune', '--only', 'images'],
  }),
  container: named(
    [
      'attach',
      'commit',
      'cp',
      'create',
      'exec',
      'export',
      'kill',
      'logs',
      'pause',
      'ps',
      'rename',
      'restart',
      'rm',
      'run',
      'start',
      'stop',
      'unpause',
      'wait',
    ],
    {
      inspect: ['inspect', '--type', 'container'],
      ls: ['ps'],
      list: ['ps'],
      remove: ['rm'],
    },
  ),
  system: named(['df', 'info'], { prune: ['prune', '--only', 'containers', '--only', 'images', '--only', 'cache'] }),
  builder: named(['build'], { prune: onlyCache }),
  buildx: named(['build'], { b: ['build'], du: ['df'], prune: onlyCache }),
  manifest: { inspect: ['inspect', '--raw', '--remote'] },
}

/** `image ls` as `images`, `container run` as `run`, for scripts that were written for docker; other words as they are. */
export function withoutGroup(words: readonly string[]): readonly string[] {
  const [group = '', word = '', ...rest] = words
  const command = Object.hasOwn(groups, group) && Object.hasOwn(groups[group]!, word) ? groups[group]![word] : undefined
  return command === undefined ? words : [...command, ...rest]
}

/** What a group has, for whoever typed it alone or with a word that it does not have. */
export function wordsOfGroup(group: string): readonly string[] | undefined {
  return Object.hasOwn(groups, group) ? Object.keys(groups[group]!).toSorted() : undefined
}

function named(same: readonly string[], others: Group): Group {
  return { ...Object.fromEntries(same.map((name) => [name, [name]])), ...others }
}
