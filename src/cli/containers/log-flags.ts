import type { Flags } from '../command.ts'

/** Of `run` and `create`: how what a container writes is kept. */
export const logFlags = {
  'log-driver': {
    kind: 'string',
    value: 'DRIVER',
    choices: ['json-file', 'local', 'k8s-file', 'none', 'passthrough', ''],
    instead: 'What a container writes is kept in a file, which stave logs reads: stave logs -f NAME | systemd-cat has it in the journal.',
    doc: 'Form of the log (default json-file); none: keep nothing of what it writes',
  },
  'log-opt': { kind: 'list', value: 'K=V', doc: 'max-size=10m, max-file=3, path=FILE, tag=TEXT' },
} as const satisfies Flags
