import { command, type Command, type Flags } from '../command.ts'
import { quietFlag, registryFlags, trustFlags } from '../shared-flags.ts'

const placesFlags = {
  insecure: { kind: 'boolean', hidden: true, doc: 'docker: as --tls-verify=false' },
  ...registryFlags,
  ...trustFlags,
} as const satisfies Flags

const entryFlags = {
  arch: { kind: 'string', value: 'ARCH', doc: 'Say that it is for this architecture' },
  os: { kind: 'string', value: 'OS', doc: 'Say that it is for this operating system' },
  variant: { kind: 'string', value: 'VARIANT', doc: 'Say that it is for this variant' },
  'os-version': { kind: 'string', value: 'VERSION', doc: 'Say that it is for this version of the operating system' },
  'os-features': { kind: 'list', value: 'FEATURE', doc: 'Say that it needs this of the operating system' },
  annotation: { kind: 'list', value: 'K=V', doc: 'Annotation of the entry' },
} as const satisfies Flags

const all = { kind: 'boolean', doc: 'Of an index, every image' } as const

export const listCreateFlags = {
  amend: { kind: 'boolean', short: 'a', doc: 'Add to a list that is there already' },
  all,
  annotation: { kind: 'list', value: 'K=V', doc: 'Annotation of the list' },
  ...placesFlags,
} as const satisfies Flags
export const listAddFlags = { all, ...entryFlags, ...placesFlags } as const satisfies Flags
export const listAnnotateFlags = { ...entryFlags, ...placesFlags } as const satisfies Flags
export const listPushFlags = {
  all: { kind: 'boolean', hidden: true, doc: 'Accepted for podman: a list goes with its images always' },
  purge: { kind: 'boolean', short: 'p', aliases: ['rm'], doc: 'Remove the list here when it is pushed' },
  digestfile: { kind: 'string', value: 'FILE', doc: 'Write the digest to a file' },
  ...quietFlag,
  ...placesFlags,
} as const satisfies Flags
export const listInspectFlags = {
  verbose: { kind: 'boolean', short: 'v', hidden: true, doc: 'Accepted for docker' },
  ...placesFlags,
} as const satisfies Flags

const group = 'Images'

/** docker's and podman's lists: made here, and pushed when they are complete. */
export const manifestListCommands: readonly Command[] = [
  command({
    name: 'manifest create',
    group,
    summary: 'Make a list of images in the store',
    operands: 'LIST [IMAGE...]',
    least: 1,
    flags: listCreateFlags,
    examples: [
      {
        command: 'stave manifest create ghcr.io/acme/web:1 ghcr.io/acme/web:1-amd64 ghcr.io/acme/web:1-arm64',
        doc: 'What two machines built; stave manifest push sends it',
      },
    ],
    load: () => import('./manifest-list-verbs.ts').then(({ create }) => ({ run: create })),
  }),
  command({
    name: 'manifest add',
    group,
    summary: 'Add images to a list',
    operands: 'LIST IMAGE...',
    least: 2,
    flags: listAddFlags,
    examples: [{ command: 'stave manifest add ghcr.io/acme/web:1 ghcr.io/acme/web:1-riscv64', doc: 'One more' }],
    load: () => import('./manifest-list-verbs.ts').then(({ add }) => ({ run: add })),
  }),
  command({
    name: 'manifest annotate',
    group,
    summary: 'Say what an image of a list is for',
    operands: 'LIST IMAGE|DIGEST',
    least: 2,
    most: 2,
    flags: listAnnotateFlags,
    examples: [
      { command: 'stave manifest annotate ghcr.io/acme/web:1 ghcr.io/acme/web:1-arm --variant v6', doc: 'What its config does not say' },
    ],
    load: () => import('./manifest-list-verbs.ts').then(({ annotate }) => ({ run: annotate })),
  }),
  command({
    name: 'manifest remove',
    group,
    summary: 'Remove an image from a list',
    operands: 'LIST IMAGE|DIGEST',
    least: 2,
    most: 2,
    flags: placesFlags,
    examples: [{ command: 'stave manifest remove ghcr.io/acme/web:1 sha256:…', doc: 'By its digest' }],
    load: () => import('./manifest-list-verbs.ts').then(({ remove }) => ({ run: remove })),
  }),
  command({
    name: 'manifest inspect',
    group,
    summary: 'Show a list of the store, or what a name stands for in a registry',
    operands: 'NAME',
    least: 1,
    most: 1,
    flags: listInspectFlags,
    examples: [{ command: 'stave manifest inspect debian:12', doc: 'The index in the registry' }],
    load: () => import('./manifest-list-verbs.ts').then(({ inspect }) => ({ run: inspect })),
  }),
  command({
    name: 'manifest push',
    group,
    summary: 'Push a list, and its images',
    operands: 'LIST [TARGET]',
    least: 1,
    most: 2,
    flags: listPushFlags,
    examples: [{ command: 'stave manifest push --purge ghcr.io/acme/web:1', doc: 'Images that are there already are not sent' }],
    load: () => import('./manifest-list-verbs.ts').then(({ push }) => ({ run: push })),
  }),
  command({
    name: 'manifest rm',
    group,
    summary: 'Remove lists from the store',
    operands: 'LIST...',
    least: 1,
    flags: {},
    examples: [{ command: 'stave manifest rm ghcr.io/acme/web:1', doc: 'Images in registries stay' }],
    load: () => import('./manifest-list-verbs.ts').then(({ rm }) => ({ run: rm })),
  }),
  command({
    name: 'manifest exists',
    group,
    summary: 'Tell by the exit status whether there is a list',
    operands: 'LIST',
    least: 1,
    most: 1,
    flags: {},
    examples: [{ command: 'stave manifest exists ghcr.io/acme/web:1', doc: 'Status 1: no' }],
    load: () => import('./manifest-list-verbs.ts').then(({ exists }) => ({ run: exists })),
  }),
]
