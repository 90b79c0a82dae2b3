import { command, type Command, type Flags } from '../command.ts'
import { platformFlag, quietFlag, registryFlags, trustFlags } from '../shared-flags.ts'

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

export const artifactBackupFlags = {
  output: { kind: 'string', short: 'o', value: 'FILE', doc: 'The archive, which is an OCI layout as a tar' },
  known: { kind: 'list', value: 'FILE', doc: 'Leave out what the other side has by this inventory (again for more)' },
  inventory: { kind: 'string', value: 'FILE', doc: 'Write what the other side will have, for the next --known: that of --known, and this' },
  referrers: {
    kind: 'boolean',
    aliases: ['include-referrers'],
    doc: 'Also signatures and SBOMs that refer to the images (default; --referrers=false: without)',
  },
  ...trustFlags,
  ...registryFlags,
  json: { kind: 'boolean', doc: 'Print what is in it as JSON' },
  ...quietFlag,
} as const satisfies Flags

export const artifactRestoreFlags = {
  input: { kind: 'string', short: 'i', value: 'FILE', hidden: true, doc: 'oras: the archive, in place of the first word' },
  repository: {
    kind: 'boolean',
    doc: 'Put all into the one repository TARGET, by their tags; default where names in the archive are tags alone',
  },
  inventory: { kind: 'string', value: 'FILE', doc: 'Note in this file what the target has now, for --known of the next backup' },
  'dry-run': { kind: 'boolean', doc: 'Read and hash all of the archive, and write nothing' },
  referrers: { kind: 'boolean', doc: 'Also signatures and SBOMs that refer to the images (default)' },
  'exclude-referrers': { kind: 'boolean', hidden: true, doc: 'oras: --referrers=false' },
  ...registryFlags,
  json: { kind: 'boolean', doc: 'Print the images as JSON' },
  ...quietFlag,
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
      command({
        name: 'artifact backup',
        group: 'Registries',
        summary: 'Write images and artifacts of registries to one archive, for a place without network',
        description:
          'Each NAME is docker://REPOSITORY with a tag or digest, with several tags (docker://NAME:1,2), or without one for all its tags; or a name in the store. The same images make the same file. With --known it has only the blobs that the other side lacks.',
        operands: 'NAME...',
        least: 1,
        flags: artifactBackupFlags,
        examples: [
          {
            command: 'stave artifact backup -o monday.tar --inventory far.json docker://ghcr.io/acme/web docker://ghcr.io/acme/db:15',
            doc: 'All tags of one, one of the other',
          },
          {
            command: 'stave artifact backup -o tuesday.tar --known far.json --inventory far.json docker://ghcr.io/acme/web',
            doc: 'What has come since then',
          },
        ],
        load: () => import('./backup.ts'),
      }),
      command({
        name: 'artifact restore',
        group: 'Registries',
        summary: 'Bring the images of such an archive into a registry or layout',
        description:
          'TARGET is docker://REGISTRY[/PATH], below which each image has the path that it came with, or oci:DIR. All that the images mention must be in the archive or, if it was left out, in the target: nothing else is asked. Every byte is hashed.',
        operands: 'FILE [TARGET]',
        most: 2,
        flags: artifactRestoreFlags,
        examples: [
          {
            command: 'stave artifact restore monday.tar docker://registry.internal/mirror',
            doc: 'acme/web becomes registry.internal/mirror/acme/web',
          },
          { command: 'stave artifact restore --dry-run monday.tar', doc: 'Is it whole?' },
        ],
        load: () => import('./restore.ts'),
      }),
    ],
  }),
]
