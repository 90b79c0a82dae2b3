import { command, type Command, type Flags } from '../command.ts'
import { formatFlags, registryFlags, trustFlags } from '../shared-flags.ts'

const placesFlags = { ...registryFlags, ...trustFlags } as const satisfies Flags
const platforms = { kind: 'list', value: 'OS/ARCH', doc: 'Of indexes among the sources, only the images for these' } as const
const ref = { kind: 'list', value: 'PLACE', doc: 'An image to add, as an operand' } as const
const annotation = { kind: 'list', value: 'K=V', doc: 'Annotation of the index' } as const
const tag = { kind: 'string', short: 't', value: 'PLACE', doc: 'Where the result goes (default: in place of what it was)' } as const

export const indexCreateFlags = {
  ref,
  platform: platforms,
  annotation,
  'artifact-type': { kind: 'string', value: 'TYPE', doc: 'What kind of artifact the index is' },
  format: { kind: 'string', value: 'oci|docker', choices: ['oci', 'docker', 'v2s2'], doc: 'Default: as the images are' },
  tag: { kind: 'list', short: 't', value: 'TAG', doc: 'More names in the target' },
  ...placesFlags,
} as const satisfies Flags

export const indexAddFlags = { ref, platform: platforms, annotation, tag, ...placesFlags } as const satisfies Flags

export const indexRemoveFlags = {
  digest: { kind: 'list', value: 'DIGEST', doc: 'An entry to remove, as an operand' },
  platform: { kind: 'list', value: 'OS/ARCH', doc: 'Remove the entries for these' },
  tag,
  ...placesFlags,
} as const satisfies Flags

export const indexFilterFlags = {
  platform: { kind: 'list', value: 'OS/ARCH', doc: 'What stays' },
  tag,
  ...placesFlags,
} as const satisfies Flags

export const indexListFlags = { ...formatFlags, ...registryFlags } as const satisfies Flags

export const imagetoolsCreateFlags = {
  tag: { kind: 'list', short: 't', value: 'NAME', doc: 'What the index is called' },
  file: { kind: 'list', short: 'f', value: 'FILE', doc: 'Take the descriptor in this file as a source' },
  append: { kind: 'boolean', doc: 'Add to what the first name stands for' },
  annotation: { kind: 'list', value: 'K=V', doc: 'Annotation of the index' },
  'dry-run': { kind: 'boolean', doc: 'Print the index, and write nothing' },
  'prefer-index': { kind: 'boolean', doc: 'Make an index of one image, too (default); =false copies the image' },
  builder: { kind: 'string', value: 'NAME', hidden: true, doc: 'Accepted: there are no builders' },
  progress: { kind: 'string', value: 'HOW', hidden: true, doc: 'Accepted' },
  ...placesFlags,
} as const satisfies Flags

export const imagetoolsInspectFlags = {
  raw: { kind: 'boolean', doc: 'The manifest exactly as it is stored' },
  format: { kind: 'string', value: 'TEMPLATE', doc: 'Go template such as {{json .Manifest}}' },
  builder: { kind: 'string', value: 'NAME', hidden: true, doc: 'Accepted: there are no builders' },
  ...registryFlags,
} as const satisfies Flags

/** As buildx writes them. */
const imagetoolsCommands: readonly Command[] = [
  command({
    name: 'imagetools',
    group: 'Images',
    summary: 'What docker buildx imagetools does',
    operands: 'COMMAND',
    hidden: true,
    flags: {},
    examples: [],
    commands: [
      command({
        name: 'imagetools create',
        group: 'Images',
        summary: 'Join images of registries to one index',
        operands: 'SOURCE...',
        flags: imagetoolsCreateFlags,
        examples: [],
        load: () => import('./imagetools.ts').then(({ create }) => ({ run: create })),
      }),
      command({
        name: 'imagetools inspect',
        group: 'Images',
        summary: 'Show an image or index of a registry',
        operands: 'NAME',
        least: 1,
        most: 1,
        flags: imagetoolsInspectFlags,
        examples: [],
        load: () => import('./imagetools.ts').then(({ inspect }) => ({ run: inspect })),
      }),
    ],
  }),
]

export const indexCommands: readonly Command[] = [
  ...imagetoolsCommands,
  command({
    name: 'index',
    group: 'Images',
    summary: 'Make and change indexes: images for several platforms under one name',
    description:
      'Indexes are made and changed wherever they are: a PLACE is docker://NAME, oci:DIR[:TAG], or a bare name in the store. In a registry nothing is sent but manifests, where the images are in it.',
    operands: 'COMMAND',
    flags: {},
    examples: [],
    commands: [
      command({
        name: 'index create',
        group: 'Images',
        summary: 'Join images to one index',
        description:
          'Makes an index of images, wherever they are, and copies to TARGET what it lacks. Of an index among the sources all entries are taken, with their attestations.',
        operands: 'TARGET [SOURCE...]',
        least: 1,
        flags: indexCreateFlags,
        examples: [
          {
            command: 'stave index create docker://ghcr.io/acme/web:1 docker://ghcr.io/acme/web:1-amd64 docker://ghcr.io/acme/web:1-arm64',
            doc: 'What two machines built',
          },
        ],
        load: () => import('./index-create.ts'),
      }),
      command({
        name: 'index add',
        group: 'Images',
        summary: 'Add images to an index',
        operands: 'PLACE [SOURCE...]',
        least: 1,
        flags: indexAddFlags,
        examples: [
          { command: 'stave index add docker://ghcr.io/acme/web:1 docker://ghcr.io/acme/web:1-riscv64', doc: 'One more platform' },
        ],
        load: () => import('./index-change.ts').then(({ add }) => ({ run: add })),
      }),
      command({
        name: 'index remove',
        aliases: ['rm', 'delete'],
        group: 'Images',
        summary: 'Remove images from an index',
        operands: 'PLACE [DIGEST...]',
        least: 1,
        flags: indexRemoveFlags,
        examples: [{ command: 'stave index remove docker://ghcr.io/acme/web:1 --platform linux/386', doc: 'With its attestations' }],
        load: () => import('./index-change.ts').then(({ remove }) => ({ run: remove })),
      }),
      command({
        name: 'index filter',
        group: 'Images',
        summary: 'Keep some platforms of an index alone',
        operands: 'PLACE',
        least: 1,
        most: 1,
        flags: indexFilterFlags,
        examples: [
          {
            command: 'stave index filter docker://debian:12 --platform linux/amd64,linux/arm64 -t docker://localhost:5000/debian:12',
            doc: 'A smaller index, somewhere else',
          },
        ],
        load: () => import('./index-change.ts').then(({ filter }) => ({ run: filter })),
      }),
      command({
        name: 'index list',
        aliases: ['ls'],
        group: 'Images',
        summary: 'List the entries of an index',
        operands: 'PLACE',
        least: 1,
        most: 1,
        flags: indexListFlags,
        examples: [{ command: 'stave index list docker://debian:12', doc: 'Digest, platform, size' }],
        load: () => import('./index-list.ts'),
      }),
    ],
  }),
]
