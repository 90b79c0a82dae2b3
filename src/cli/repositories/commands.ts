import { command, type Command, type Flags } from '../command.ts'
import { manifestListCommands } from '../images/manifest-list-commands.ts'
import { remoteFlags } from '../registries/commands.ts'
import { platformFlag, registryFlags } from '../shared-flags.ts'

const listFlags = {
  limit: { kind: 'number', value: 'N', doc: 'No more than these many' },
  last: { kind: 'string', value: 'NAME', doc: 'Names after this one only' },
  'full-ref': { kind: 'boolean', doc: 'Print whole references' },
  ...remoteFlags,
} as const satisfies Flags

export const repositoryListFlags = listFlags
export const tagListFlags = {
  'omit-digest-tags': { kind: 'boolean', short: 'O', doc: 'Leave out tags that are made of a digest: signatures, lists of referrers' },
  ...listFlags,
} as const satisfies Flags
export const blobFlags = remoteFlags
export const blobGetFlags = {
  output: { kind: 'string', short: 'o', value: 'FILE', doc: 'File to write (default stdout)' },
  ...registryFlags,
} as const satisfies Flags
export const manifestGetFlags = { ...platformFlag, ...registryFlags } as const satisfies Flags
export const manifestDiffFlags = {
  context: { kind: 'number', value: 'N', doc: 'How many lines around a change are shown (default 3)' },
  ...manifestGetFlags,
} as const satisfies Flags
export const manifestPutFlags = {
  'content-type': { kind: 'string', short: 't', value: 'TYPE', doc: 'Media type, where the manifest does not say it' },
  'by-digest': { kind: 'boolean', doc: 'Push it without a tag' },
  ...remoteFlags,
} as const satisfies Flags
export const manifestDeleteFlags = {
  referrers: { kind: 'boolean', doc: 'Delete what refers to it, too: signatures, attestations, SBOMs' },
  ...remoteFlags,
} as const satisfies Flags

const group = { group: 'Registries', flags: {}, examples: [], operands: 'COMMAND' } as const

export const repositoryCommands: readonly Command[] = [
  command({
    ...group,
    name: 'repo',
    summary: 'List what a registry has',
    commands: [
      command({
        name: 'repo ls',
        aliases: ['list', 'catalog'],
        group: 'Registries',
        summary: 'List the repositories of a registry',
        operands: 'REGISTRY',
        least: 1,
        most: 1,
        flags: repositoryListFlags,
        examples: [{ command: 'stave repo ls localhost:5000', doc: 'One a line' }],
        load: () => import('./ls.ts'),
      }),
      command({
        name: 'repo tags',
        group: 'Registries',
        summary: 'List the tags of a repository, one a line',
        operands: 'NAME',
        least: 1,
        most: 1,
        flags: tagListFlags,
        examples: [{ command: 'stave repo tags --omit-digest-tags ghcr.io/acme/web', doc: 'Without signatures' }],
        load: () => import('./tags.ts'),
      }),
    ],
  }),
  command({
    ...group,
    name: 'blob',
    summary: 'Read and write single blobs of a repository',
    commands: [
      command({
        name: 'blob get',
        group: 'Registries',
        summary: 'Write a blob to stdout or a file',
        operands: 'NAME@DIGEST',
        least: 1,
        most: 2,
        flags: blobGetFlags,
        examples: [{ command: 'stave blob get localhost:5000/web@sha256:… | tar -tz', doc: 'What is in a layer' }],
        load: () => import('./blob-get.ts'),
      }),
      command({
        name: 'blob head',
        group: 'Registries',
        summary: 'Print the size of a blob',
        operands: 'NAME@DIGEST',
        least: 1,
        most: 2,
        flags: blobFlags,
        examples: [{ command: 'stave blob head localhost:5000/web@sha256:…', doc: 'In bytes; status 1 says that there is none' }],
        load: () => import('./blob-head.ts'),
      }),
      command({
        name: 'blob put',
        group: 'Registries',
        summary: 'Upload a file as a blob',
        operands: 'NAME [FILE]',
        least: 1,
        most: 2,
        flags: blobFlags,
        examples: [{ command: 'stave blob put localhost:5000/web layer.tar.gz', doc: 'Prints its digest' }],
        load: () => import('./blob-put.ts'),
      }),
      command({
        name: 'blob mount',
        group: 'Registries',
        summary: 'Take a blob over from another repository of the same registry',
        operands: 'NAME@DIGEST TARGET',
        least: 2,
        most: 2,
        flags: blobFlags,
        examples: [{ command: 'stave blob mount localhost:5000/base@sha256:… localhost:5000/web', doc: 'No byte is sent' }],
        load: () => import('./blob-mount.ts'),
      }),
      command({
        name: 'blob delete',
        aliases: ['rm'],
        group: 'Registries',
        summary: 'Remove a blob from a repository',
        operands: 'NAME@DIGEST',
        least: 1,
        most: 2,
        flags: blobFlags,
        examples: [{ command: 'stave blob delete localhost:5000/web@sha256:…', doc: 'Images that mention it are broken then' }],
        load: () => import('./blob-delete.ts'),
      }),
    ],
  }),
  command({
    ...group,
    name: 'manifest',
    summary: 'Read and write single manifests, and lists of images for several platforms',
    commands: [
      ...manifestListCommands,
      command({
        name: 'manifest get',
        group: 'Registries',
        summary: 'Write a manifest or an index exactly as it is stored',
        operands: 'PLACE',
        least: 1,
        most: 1,
        flags: manifestGetFlags,
        examples: [{ command: 'stave manifest get docker://debian:12 | jq', doc: 'The index' }],
        load: () => import('./manifest-get.ts'),
      }),
      command({
        name: 'manifest head',
        group: 'Registries',
        summary: 'Print the digest of what a name stands for',
        operands: 'PLACE',
        least: 1,
        most: 1,
        flags: remoteFlags,
        examples: [{ command: 'stave manifest head docker://debian:12', doc: 'By HEAD, which counts as no pull' }],
        load: () => import('./manifest-head.ts'),
      }),
      command({
        name: 'manifest diff',
        group: 'Registries',
        summary: 'Tell what differs between two manifests or indexes, line by line',
        description: 'The exit status is 1 if they differ.',
        operands: 'PLACE PLACE',
        least: 2,
        most: 2,
        flags: manifestDiffFlags,
        examples: [
          {
            command: 'stave manifest diff docker://ghcr.io/acme/web:1 docker://ghcr.io/acme/web:2',
            doc: 'Removed lines have a -, added ones a +',
          },
        ],
        load: () => import('./manifest-diff.ts'),
      }),
      command({
        name: 'manifest put',
        group: 'Registries',
        summary: 'Push a manifest or an index, exactly these bytes',
        operands: 'NAME [FILE]',
        least: 1,
        most: 2,
        flags: manifestPutFlags,
        examples: [{ command: 'stave manifest put localhost:5000/web:1 manifest.json', doc: 'What it mentions has to be there' }],
        load: () => import('./manifest-put.ts'),
      }),
      command({
        name: 'manifest delete',
        group: 'Registries',
        summary: 'Delete a manifest with all its tags',
        operands: 'NAME',
        least: 1,
        most: 1,
        flags: manifestDeleteFlags,
        examples: [{ command: 'stave manifest delete --referrers localhost:5000/web:1', doc: 'With its signatures' }],
        load: () => import('./manifest-delete.ts'),
      }),
    ],
  }),
]
