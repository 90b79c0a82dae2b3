import { command, type Command, type Flags } from '../command.ts'
import { platformFlag, registryFlags, trustFlags } from '../shared-flags.ts'

export const placeFlags = { ...platformFlag, ...registryFlags } as const satisfies Flags
export const digestFlags = {
  'full-ref': { kind: 'boolean', doc: 'Print the name with the digest' },
  ...placeFlags,
} as const satisfies Flags
export const validateFlags = { json: { kind: 'boolean', doc: 'Print JSON' }, ...placeFlags } as const satisfies Flags

export const imageDiffFlags = {
  files: { kind: 'boolean', doc: 'Read the layers and compare their files (default; --files=false: config and layers alone)' },
  ...validateFlags,
} as const satisfies Flags

/** For what makes another image of one. */
export const changeFlags = {
  tag: {
    kind: 'string',
    short: 't',
    value: 'PLACE',
    aliases: ['new-tag', 'new_tag'],
    doc: 'Where the result goes (default, for one in a registry: the same repository, without a tag)',
  },
  ...placeFlags,
  ...trustFlags,
} as const satisfies Flags

export const mutateFlags = {
  label: { kind: 'list', short: 'l', value: 'K=V', doc: 'Set a label' },
  unsetlabel: { kind: 'list', value: 'K', doc: 'Remove a label' },
  annotation: { kind: 'list', short: 'a', value: 'K=V', doc: 'Set an annotation of the manifest' },
  unsetannotation: { kind: 'list', value: 'K', doc: 'Remove an annotation' },
  env: { kind: 'list', short: 'e', value: 'K=V', doc: 'Set a variable' },
  unsetenv: { kind: 'list', value: 'K', doc: 'Remove a variable' },
  entrypoint: { kind: 'string', value: 'WORDS', doc: 'Set the entry point, and remove the command: ["sh", "-c"] or sh,-c' },
  cmd: { kind: 'string', value: 'WORDS', doc: 'Set the command' },
  user: { kind: 'string', short: 'u', value: 'USER', doc: 'Set the user' },
  workdir: { kind: 'string', short: 'w', value: 'DIR', doc: 'Set the working directory' },
  'exposed-ports': { kind: 'list', value: 'PORT', doc: 'Add ports that it listens on' },
  change: { kind: 'list', short: 'c', value: 'INSTRUCTION', doc: 'Dockerfile instruction for the config, such as STOPSIGNAL SIGINT' },
  append: { kind: 'list', value: 'FILE', doc: 'Put the layer of a tar file on it' },
  'set-platform': { kind: 'string', value: 'OS/ARCH[/VARIANT]', doc: 'Say that it is for this platform' },
  created: { kind: 'string', value: 'TIME', doc: 'Set the time, as 2026-01-31T12:00:00Z or in seconds since 1970' },
  author: { kind: 'string', value: 'NAME', doc: 'Set the author' },
  ...changeFlags,
} as const satisfies Flags

export const appendFlags = {
  base: { kind: 'string', short: 'b', value: 'PLACE', doc: 'Image to put the layers on (default: none)' },
  'new-layer': { kind: 'list', short: 'f', value: 'FILE', aliases: ['new_layer'], doc: 'Tar file with a layer, as an operand' },
  ...changeFlags,
} as const satisfies Flags

export const rebaseFlags = {
  'old-base': { kind: 'string', value: 'PLACE', aliases: ['old_base'], doc: 'What it was built on (default: what its annotations say)' },
  'new-base': {
    kind: 'string',
    value: 'PLACE',
    aliases: ['new_base'],
    doc: 'What it is to be on (default: what that name stands for now)',
  },
  ...changeFlags,
} as const satisfies Flags

export const checkBaseFlags = {
  base: { kind: 'string', value: 'PLACE', doc: 'What it was built on (default: what its annotations say)' },
  digest: { kind: 'string', value: 'DIGEST', doc: 'What the base was then (default: what its annotations or its layers say)' },
  ...validateFlags,
} as const satisfies Flags

/** What can be done with an image wherever it lies. */
export const imageVerbs: readonly Command[] = [
  command({
    name: 'image',
    group: 'Images',
    summary: 'Look at and change images wherever they lie',
    description:
      'A PLACE is docker://NAME, oci:DIR[:TAG], an archive, dir:DIR, or a bare name in the store. The words that docker has after image are understood, too: stave image ls is stave images.',
    operands: 'COMMAND',
    flags: {},
    examples: [],
    commands: [
      command({
        name: 'image digest',
        group: 'Images',
        summary: 'Print the digest of what a name stands for',
        operands: 'PLACE',
        least: 1,
        most: 1,
        flags: digestFlags,
        examples: [{ command: 'stave image digest --platform linux/arm64 docker://debian:12', doc: 'Of one image of an index' }],
        load: () => import('./digest.ts'),
      }),
      command({
        name: 'image config',
        group: 'Images',
        summary: 'Write the config of an image exactly as it is stored',
        operands: 'PLACE',
        least: 1,
        most: 1,
        flags: placeFlags,
        examples: [{ command: 'stave image config docker://debian:12 | jq .config', doc: 'What a container of it starts with' }],
        load: () => import('./config.ts'),
      }),
      command({
        name: 'image diff',
        group: 'Images',
        summary: 'Tell what differs between two images: config, layers, files, size',
        description:
          'Files are compared as they are in the whole image, by kind, mode, owner and content, whatever layers they come from; times are not. The exit status is 1 if the images differ.',
        operands: 'PLACE PLACE',
        least: 2,
        most: 2,
        flags: imageDiffFlags,
        examples: [
          { command: 'stave image diff docker://ghcr.io/acme/web:1 docker://ghcr.io/acme/web:2', doc: 'What a release changes' },
          { command: 'stave image diff --files=false web docker://ghcr.io/acme/web:1', doc: 'Without reading layers' },
        ],
        load: () => import('./diff.ts'),
      }),
      command({
        name: 'image ratelimit',
        group: 'Images',
        summary: 'Print how many pulls a registry grants, and how many are left',
        description: 'Asks by HEAD, which counts as no pull.',
        operands: 'docker://NAME',
        least: 1,
        most: 1,
        flags: validateFlags,
        examples: [{ command: 'stave image ratelimit docker://docker.io/library/debian', doc: 'Of Docker Hub' }],
        load: () => import('./ratelimit.ts'),
      }),
      command({
        name: 'image validate',
        group: 'Images',
        summary: 'Read all of an image, hash it again, and tell what is wrong',
        operands: 'PLACE',
        least: 1,
        most: 1,
        flags: validateFlags,
        examples: [{ command: 'stave image validate oci:web:1', doc: 'Every image of an index; status 1 if anything is wrong' }],
        load: () => import('./validate.ts'),
      }),
      command({
        name: 'image mutate',
        aliases: ['mod'],
        group: 'Images',
        summary: 'Change config, annotations and layers of an image',
        description:
          'Makes an image with another config, other annotations or more layers from one, or from each of an index. Layers are neither read nor sent again where they are there.',
        operands: 'PLACE',
        least: 1,
        most: 1,
        flags: mutateFlags,
        examples: [
          {
            command: 'stave image mutate docker://ghcr.io/acme/web:1 --label release=1 -t docker://ghcr.io/acme/web:1-released',
            doc: 'Nothing but manifest and config is sent',
          },
        ],
        load: () => import('./mutate.ts'),
      }),
      command({
        name: 'image append',
        group: 'Images',
        summary: 'Put layers of tar files on an image',
        operands: 'FILE...',
        flags: appendFlags,
        examples: [
          {
            command: 'stave image append -b docker://debian:12 -t docker://localhost:5000/web site.tar.gz',
            doc: 'On each image of the index; without -b an image of the layers alone',
          },
        ],
        load: () => import('./append.ts'),
      }),
      command({
        name: 'image flatten',
        group: 'Images',
        summary: 'Make one layer of all that an image has',
        operands: 'PLACE',
        least: 1,
        most: 1,
        flags: changeFlags,
        examples: [{ command: 'stave image flatten web -t web:flat', doc: 'What its layers delete is not in it' }],
        load: () => import('./flatten.ts'),
      }),
      command({
        name: 'image rebase',
        group: 'Images',
        summary: 'Put what an image has above its base onto another base',
        operands: 'PLACE',
        least: 1,
        most: 1,
        flags: rebaseFlags,
        examples: [
          {
            command:
              'stave image rebase docker://ghcr.io/acme/web:1 --old-base docker://debian@sha256:… --new-base docker://debian:12 -t docker://ghcr.io/acme/web:1',
            doc: 'No layer is read: only right where base and image are independent of each other',
          },
        ],
        load: () => import('./rebase.ts'),
      }),
      command({
        name: 'image check-base',
        group: 'Images',
        summary: 'Tell whether the base of an image is still what its name stands for',
        operands: 'PLACE',
        least: 1,
        most: 1,
        flags: checkBaseFlags,
        examples: [{ command: 'stave image check-base docker://ghcr.io/acme/web:1', doc: 'Status 1: it is time to build it again' }],
        load: () => import('./check-base.ts'),
      }),
      command({
        name: 'image export',
        group: 'Images',
        summary: 'Write the root file system of an image as a tar',
        operands: 'PLACE [FILE]',
        least: 1,
        most: 2,
        flags: placeFlags,
        examples: [{ command: 'stave image export docker://debian:12 | tar -t', doc: 'All layers in one, to stdout' }],
        load: () => import('./export.ts'),
      }),
    ],
  }),
]
