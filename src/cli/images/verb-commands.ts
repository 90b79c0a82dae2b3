import { command, type Command, type Flags } from '../command.ts'
import { platformFlag, registryFlags } from '../shared-flags.ts'

export const placeFlags = { ...platformFlag, ...registryFlags } as const satisfies Flags
export const digestFlags = {
  'full-ref': { kind: 'boolean', doc: 'Print the name with the digest' },
  ...placeFlags,
} as const satisfies Flags
export const validateFlags = { json: { kind: 'boolean', doc: 'Print JSON' }, ...placeFlags } as const satisfies Flags

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
    ],
  }),
]
