import { command, type Command, type Flags } from '../command.ts'

export const doctorFlags = {
  verify: { kind: 'boolean', doc: 'Hash every blob again' },
  repair: { kind: 'boolean', doc: 'Mend what can be mended: what is damaged is removed, so that it is fetched or built again' },
  json: { kind: 'boolean', doc: 'Print JSON' },
} as const satisfies Flags

export const pruneFlags = {
  all: { kind: 'boolean', short: 'a', doc: 'Also images that no container uses' },
  only: {
    kind: 'list',
    value: 'KIND',
    choices: ['containers', 'images', 'cache'],
    doc: 'What loses its place: stopped containers, images, build cache (default images without a name)',
  },
  filter: { kind: 'list', value: 'K=V', doc: 'Of images and containers only these: until=24h, label=K[=V], label!=K[=V]' },
  force: { kind: 'boolean', short: 'f', doc: 'Do not ask, on a terminal, before all images that no container uses are removed' },
  'keep-storage': { kind: 'string', value: 'SIZE', doc: 'Most bytes that the build cache keeps', aliases: ['max-used-space'] },
  volumes: { kind: 'boolean', doc: 'Also anonymous volumes that nothing uses' },
  json: { kind: 'boolean', doc: 'Print JSON' },
} as const satisfies Flags

export const jsonFlag = {
  json: { kind: 'boolean', doc: 'Print JSON' },
  format: { kind: 'string', hidden: true, value: 'FORMAT', doc: 'json, or a template' },
} as const satisfies Flags
export const resetFlags = {
  force: { kind: 'boolean', short: 'f', doc: 'Do not ask' },
} as const satisfies Flags

export const noFlags = {} as const satisfies Flags

export const systemCommands: readonly Command[] = [
  command({
    name: 'doctor',
    group: 'System',
    summary: 'Say what this machine allows, and check the store',
    operands: '',
    most: 0,
    flags: doctorFlags,
    examples: [{ command: 'stave doctor --verify', doc: 'Hash all that the store holds' }],
    load: () => import('./doctor.ts'),
  }),
  command({
    name: 'prune',
    group: 'System',
    summary: 'Remove what nothing uses',
    operands: '',
    most: 0,
    flags: pruneFlags,
    examples: [
      { command: 'stave prune --keep-storage 10g', doc: 'And keep the build cache below 10 GB' },
      { command: 'stave prune --only cache', doc: 'What docker builder prune does' },
    ],
    load: () => import('./prune.ts'),
  }),
  command({
    name: 'system',
    group: 'System',
    summary: 'Remove the whole store; docker system df, info and prune are understood too',
    operands: 'COMMAND',
    flags: noFlags,
    examples: [],
    commands: [
      command({
        name: 'system reset',
        group: 'System',
        summary: 'Remove everything: containers, images, volumes, networks, build cache',
        description:
          'Kills and removes all containers, then removes all that is in the store, also what belongs to subordinate ids of the user and what stave serve keeps there, and the directory of the store. Asks first. A directory that holds other things too is left alone.',
        operands: '',
        most: 0,
        flags: resetFlags,
        examples: [{ command: 'stave system reset --force', doc: 'Without a question' }],
        load: () => import('./reset.ts'),
      }),
    ],
  }),
  command({
    name: 'unshare',
    group: 'System',
    summary: "Run a command, or a shell, in the user namespace of an ordinary user's store",
    description:
      "Runs a command, a shell by default, as root of a user namespace that has the user's subordinate ids, with mounts of its own: files in the store and in volumes have the owners that containers gave them, and can be looked at, changed and removed. What runs there is not confined otherwise. STAVE_ROOT is set, so that stave uses the same store there. Root, who needs no such namespace, gets an error.",
    operands: '[COMMAND] [ARG...]',
    ownFailure: 125,
    passthrough: true,
    flags: noFlags,
    examples: [
      { command: 'stave unshare', doc: 'A shell' },
      { command: 'stave unshare ls -ln ~/.local/share/stave/volumes/data/_data', doc: 'Owners as containers see them' },
    ],
    load: () => import('./unshare.ts'),
  }),
  command({
    name: 'df',
    group: 'System',
    summary: 'Show what the store takes',
    operands: '',
    most: 0,
    flags: jsonFlag,
    examples: [{ command: 'stave df', doc: 'Images, containers, volumes, build cache' }],
    load: () => import('./df.ts'),
  }),
  command({
    name: 'info',
    group: 'System',
    summary: 'Show the machine and the store as JSON',
    operands: '',
    most: 0,
    flags: jsonFlag,
    examples: [{ command: 'stave info', doc: 'Versions, isolation, cgroups' }],
    load: () => import('./info.ts'),
  }),
  command({
    name: 'version',
    group: 'System',
    summary: 'Show the version',
    operands: '',
    most: 0,
    flags: jsonFlag,
    examples: [{ command: 'stave version', doc: 'Of stave and of Node' }],
    load: () => import('./version.ts'),
  }),
  command({
    name: 'completion',
    group: 'System',
    summary: 'Print a completion script for a shell',
    operands: 'bash|zsh|fish',
    least: 1,
    most: 1,
    flags: noFlags,
    examples: [{ command: 'stave completion bash > /etc/bash_completion.d/stave', doc: 'For bash' }],
    load: () => import('./completion.ts'),
  }),
  command({
    name: 'help',
    group: 'System',
    summary: 'Show help for a command, or the error codes',
    operands: '[COMMAND|errors]',
    most: 2,
    flags: noFlags,
    examples: [{ command: 'stave help errors', doc: 'What each error code means' }],
    load: () => import('./help.ts'),
  }),
]
