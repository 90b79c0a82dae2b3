type Group = Readonly<Record<string, readonly string[]>>

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
      'port',
      'ps',
      'rename',
      'restart',
      'rm',
      'run',
      'start',
      'stats',
      'stop',
      'top',
      'unpause',
      'update',
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
  builder: named(['build'], {}),
  buildx: named(['build', 'version'], { b: ['build'], du: ['df'], prune: ['builder', 'prune'], imagetools: ['imagetools'] }),
}

const noBuilders = 'There are no builders to make, choose or look at: leave the line out, stave build builds on this machine.'

/** Their words that have nothing to stand for here, and what to do instead. */
const absent: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  buildx: {
    ...Object.fromEntries(['create', 'use', 'ls', 'inspect', 'rm', 'stop'].map((word) => [word, noBuilders])),
    bake: 'There are no bake files: write a stave build for each target.',
    history: 'stave explain and stave logs tell of a build that was made.',
  },
}

/** crane's and regctl's words, which stand alone there. */
const alone: Readonly<Record<string, readonly string[]>> = {
  catalog: ['repo', 'ls'],
  digest: ['image', 'digest'],
  config: ['image', 'config'],
  validate: ['image', 'validate'],
  append: ['image', 'append'],
  mutate: ['image', 'mutate'],
  flatten: ['image', 'flatten'],
  rebase: ['image', 'rebase'],
}

/** regctl's words for the tags of a registry; `tag delete web` names an image of the store that is called `delete`. */
const tags: Readonly<Record<string, readonly string[]>> = { delete: ['untag'], rm: ['untag'], ls: ['repo', 'tags'], list: ['repo', 'tags'] }

/** `image ls` as `images`, `container run` as `run`, for scripts that were written for docker; other words as they are. */
export function withoutGroup(words: readonly string[]): readonly string[] {
  const [group = '', word = '', ...rest] = words
  if (Object.hasOwn(alone, group) && !isOwnGroup(group, word)) return [...alone[group]!, ...words.slice(1)]
  if (group === 'tag' && Object.hasOwn(tags, word) && rest.some((text) => text.startsWith('docker://'))) return [...tags[word]!, ...rest]
  const command = Object.hasOwn(groups, group) && Object.hasOwn(groups[group]!, word) ? groups[group]![word] : undefined
  return command === undefined ? words : [...command, ...rest]
}

/** crane's `config IMAGE` beside `config explain NAME`: an image that is called `explain` is written with its registry. */
function isOwnGroup(group: string, word: string): boolean {
  return group === 'config' && ['explain', '', '--help', '-h'].includes(word)
}

/** What to do instead of a word that only docker has. */
export function insteadOf([group = '', word = '']: readonly string[]): string | undefined {
  return Object.hasOwn(absent, group) && Object.hasOwn(absent[group]!, word) ? absent[group]![word] : undefined
}

/** What a group has, for whoever typed it alone or with a word that it does not have. */
export function wordsOfGroup(group: string): readonly string[] | undefined {
  return Object.hasOwn(groups, group) ? Object.keys(groups[group]!).toSorted() : undefined
}

function named(same: readonly string[], others: Group): Group {
  return { ...Object.fromEntries(same.map((name) => [name, [name]])), ...others }
}
