import type { Flags } from '../command.ts'

/** Which containers a command is for, besides those that its operands name. */
export const choiceFlags = {
  all: { kind: 'boolean', short: 'a', doc: 'Every one that it is possible for' },
  latest: { kind: 'boolean', short: 'l', doc: 'The last one made' },
  filter: { kind: 'list', value: 'K=V', doc: 'Every one of them that fits, as with stave ps' },
  cidfile: { kind: 'list', value: 'FILE', doc: 'The one whose ID is in this file' },
  ignore: { kind: 'boolean', short: 'i', doc: 'One that is not there is no error' },
} as const satisfies Flags
