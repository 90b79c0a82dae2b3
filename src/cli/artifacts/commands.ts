import { command, type Command, type Flags } from '../command.ts'
import { platformFlag, registryFlags } from '../shared-flags.ts'

const annotation = { kind: 'list', short: 'a', value: 'K=V', doc: 'Annotation of the manifest' } as const

export const artifactPushFlags = {
  'artifact-type': { kind: 'string', value: 'TYPE', doc: 'What kind of artifact it is, as a media type' },
  config: { kind: 'string', value: 'FILE[:TYPE]', doc: 'Config of the artifact (default: an empty one)' },
  annotation,
  'disable-path-validation': {
    kind: 'boolean',
    hidden: true,
    doc: 'oras: names of files that lead out of a directory are not allowed here',
  },
  ...registryFlags,
  json: { kind: 'boolean', doc: 'Print the descriptor as JSON' },
} as const satisfies Flags

export const artifactAttachFlags = { ...artifactPushFlags, ...platformFlag } as const satisfies Flags

export const artifactPullFlags = {
  output: { kind: 'string', short: 'o', value: 'DIR', doc: 'Where the files go (default: the working directory)' },
  'keep-old-files': { kind: 'boolean', short: 'k', doc: 'Fail where a file is there already' },
  config: { kind: 'string', value: 'FILE', doc: 'Write the config to a file too' },
  ...platformFlag,
  ...registryFlags,
  json: { kind: 'boolean', doc: 'Print the files as JSON' },
} as const satisfies Flags

export const artifactDiscoverFlags = {
  'artifact-type': { kind: 'string', value: 'TYPE', doc: 'Only what is of this kind' },
  depth: { kind: 'number', value: 'N', doc: 'How far to follow what refers to what refers to it (default 8)' },
  ...platformFlag,
  ...registryFlags,
  json: { kind: 'boolean', doc: 'Print JSON' },
} as const satisfies Flags

export const artifactCommands: readonly Command[] = [
  command({
    name: 'artifact',
    group: 'Registries',
    summary: 'Keep files in registries, and what belongs to an image beside it',
    description:
      'Artifacts are files under a name, as oras keeps them: each reads what the other wrote. With their signatures and SBOMs they are copied by stave copy --referrers.',
    operands: 'COMMAND',
    flags: {},
    examples: [],
    commands: [
      command({
        name: 'artifact push',
        aliases: ['put'],
        group: 'Registries',
        summary: 'Push files as an artifact',
        description:
          'Pushes files and directories as an artifact. A FILE is a path below the working directory, with a media type behind a colon where it has one; what has * or ? in it stands for all files that it matches. A directory becomes a tar, and a directory again when it is pulled.',
        operands: 'PLACE [FILE[:TYPE]...]',
        least: 1,
        flags: artifactPushFlags,
        examples: [
          {
            command:
              "stave artifact push docker://ghcr.io/acme/site:1 --artifact-type application/vnd.acme.site 'dist/**/*.html' logo.png:image/png",
            doc: 'Chosen by a pattern, and one with its type',
          },
        ],
        load: () => import('./push.ts').then(({ push }) => ({ run: push })),
      }),
      command({
        name: 'artifact pull',
        aliases: ['get'],
        group: 'Registries',
        summary: 'Pull the files of an artifact',
        operands: 'PLACE',
        least: 1,
        most: 1,
        flags: artifactPullFlags,
        examples: [{ command: 'stave artifact pull docker://ghcr.io/acme/site:1 -o site', doc: 'Names that lead out of site are refused' }],
        load: () => import('./pull.ts'),
      }),
      command({
        name: 'artifact attach',
        group: 'Registries',
        summary: 'Push files that belong to an image or artifact',
        operands: 'PLACE [FILE[:TYPE]...]',
        least: 1,
        flags: artifactAttachFlags,
        examples: [
          {
            command:
              'stave artifact attach docker://ghcr.io/acme/web:1 --artifact-type application/spdx+json sbom.json:application/spdx+json',
            doc: 'An SBOM beside an image',
          },
        ],
        load: () => import('./push.ts').then(({ attach }) => ({ run: attach })),
      }),
      command({
        name: 'artifact discover',
        aliases: ['tree', 'list', 'ls'],
        group: 'Registries',
        summary: 'Show what refers to an image or artifact',
        operands: 'PLACE',
        least: 1,
        most: 1,
        flags: artifactDiscoverFlags,
        examples: [{ command: 'stave artifact discover docker://ghcr.io/acme/web:1', doc: 'Signatures, SBOMs, and what signs these' }],
        load: () => import('./discover.ts'),
      }),
    ],
  }),
]
