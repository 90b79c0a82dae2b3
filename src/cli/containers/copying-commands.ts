import { command, type Command, type Flags } from '../command.ts'
import { quietFlag } from '../shared-flags.ts'

export const commitFlags = {
  author: { kind: 'string', short: 'a', value: 'NAME', doc: 'Who made it' },
  change: { kind: 'list', short: 'c', value: 'INSTRUCTION', doc: 'Dockerfile instruction for the config, such as CMD ["sh"]' },
  message: { kind: 'string', short: 'm', value: 'TEXT', doc: 'Comment in the history' },
  ...quietFlag,
} as const satisfies Flags

export const exportFlags = {
  output: { kind: 'string', short: 'o', value: 'FILE', doc: 'Where to (default standard output)' },
} as const satisfies Flags

/** What is taken out of containers. */
export const copyingCommands: readonly Command[] = [
  command({
    name: 'cp',
    group: 'Containers',
    summary: 'Copy a file or directory out of a container',
    description:
      'Copies out of a container, whether or not it runs: into a directory that is there, else under the new name. PATH/. means what is in a directory; - as the target is a tar on standard output. What is copied belongs to you.',
    operands: 'CONTAINER:PATH TARGET|-',
    least: 2,
    most: 2,
    flags: {},
    examples: [{ command: 'stave cp builder:/src/app ./app', doc: 'What was built in it' }],
    load: () => import('./cp.ts'),
  }),
  command({
    name: 'commit',
    group: 'Containers',
    summary: 'Make an image of a container',
    description:
      'Makes an image of what a container has written, with what it was told to run. Volumes are not part of it. A Dockerfile says better where an image comes from.',
    operands: 'CONTAINER [NAME]',
    least: 1,
    most: 2,
    flags: commitFlags,
    examples: [{ command: 'stave commit -c \'CMD ["bash"]\' tried tried:1', doc: 'And another command' }],
    load: () => import('./commit.ts'),
  }),
  command({
    name: 'export',
    group: 'Containers',
    summary: 'Write the root of a container as a tar',
    operands: 'CONTAINER',
    least: 1,
    most: 1,
    flags: exportFlags,
    examples: [{ command: 'stave export web | tar -t', doc: 'All that is in it' }],
    load: () => import('./export.ts'),
  }),
]
