import { command, type Command, type Flags } from '../command.ts'
import { platformFlag, quietFlag, registryFlags, trustFlags } from '../shared-flags.ts'
import { createFlags } from './create-flags.ts'

export const commitFlags = {
  author: { kind: 'string', short: 'a', value: 'NAME', doc: 'Who made it' },
  change: { kind: 'list', short: 'c', value: 'INSTRUCTION', doc: 'Dockerfile instruction for the config, such as CMD ["sh"]' },
  message: { kind: 'string', short: 'm', value: 'TEXT', doc: 'Comment in the history' },
  ...quietFlag,
} as const satisfies Flags

export const exportFlags = {
  output: { kind: 'string', short: 'o', value: 'FILE', doc: 'Where to (default standard output)' },
} as const satisfies Flags

export const cpFlags = {
  archive: { kind: 'boolean', short: 'a', doc: 'Keep owners' },
  'follow-link': { kind: 'boolean', short: 'L', doc: 'Of a link of this machine, copy what it leads to' },
  quiet: { kind: 'boolean', short: 'q', hidden: true, doc: 'Accepted for docker: nothing is said on the way' },
  overwrite: {
    kind: 'boolean',
    hidden: true,
    doc: 'Accepted for podman: a directory is not replaced by a file, nor a file by a directory',
  },
} as const satisfies Flags

export const bundleFlags = {
  entrypoint: createFlags.entrypoint,
  env: createFlags.env,
  'env-file': createFlags['env-file'],
  workdir: createFlags.workdir,
  user: createFlags.user,
  hostname: createFlags.hostname,
  tty: createFlags.tty,
  'read-only': createFlags['read-only'],
  'cap-add': createFlags['cap-add'],
  'cap-drop': createFlags['cap-drop'],
  'security-opt': createFlags['security-opt'],
  pull: createFlags.pull,
  ...platformFlag,
  ...quietFlag,
  ...registryFlags,
  ...trustFlags,
} as const satisfies Flags

/** What is taken out of containers, and put in. */
export const copyingCommands: readonly Command[] = [
  command({
    name: 'cp',
    group: 'Containers',
    summary: 'Copy a file or directory out of a container, or into one',
    description:
      "Copies out of a container or into one, whether or not it runs: into a directory that is there, else under the new name. PATH/. means what is in a directory; - is a tar on standard output or input. What is copied out belongs to you, what is copied in to the container's root.",
    operands: 'CONTAINER:PATH|PATH|- CONTAINER:PATH|PATH|-',
    least: 2,
    most: 2,
    flags: cpFlags,
    examples: [
      { command: 'stave cp builder:/src/app ./app', doc: 'What was built in it' },
      { command: 'stave cp ./site/. web:/srv/www', doc: 'What is in a directory' },
    ],
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
  command({
    name: 'bundle',
    group: 'Containers',
    summary: 'Write an image as a bundle for OCI runtimes',
    description:
      'Makes DIRECTORY with the files of the image as rootfs and a config.json of the runtime specification, of the image and the flags: stave-runtime, runc, crun and others run it. It has a network namespace of its own without a connection; volumes are directories of its root. Of an ordinary user, it has a user namespace with that one user.',
    operands: 'IMAGE DIRECTORY [COMMAND] [ARG...]',
    least: 2,
    passthrough: true,
    flags: bundleFlags,
    examples: [{ command: 'stave bundle alpine box && stave-runtime run --bundle box box1', doc: 'Made here, run there' }],
    load: () => import('./bundle.ts'),
  }),
]
