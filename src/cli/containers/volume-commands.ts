import { command, type Command, type Flags } from '../command.ts'
import { formatFlags } from '../shared-flags.ts'
import { forceFlag, noFlags } from './commands.ts'
import { exportFlags } from './copying-commands.ts'

export const volumeCreateFlags = { label: { kind: 'list', value: 'K=V', doc: 'Label' } } as const satisfies Flags
export const volumeListFlags = { quiet: { kind: 'boolean', short: 'q', doc: 'Show names alone' }, ...formatFlags } as const satisfies Flags
export const volumeRmFlags = {
  force: { kind: 'boolean', short: 'f', doc: 'One that is not there is no error' },
  all: { kind: 'boolean', short: 'a', doc: 'Every one that no container has' },
} as const satisfies Flags
export const volumePruneFlags = {
  all: { kind: 'boolean', short: 'a', doc: 'Also named ones' },
  ...forceFlag,
} as const satisfies Flags

export const volumeCommands: readonly Command[] = [
  command({
    name: 'volume',
    group: 'Containers',
    summary: 'Make, list and remove volumes',
    operands: 'COMMAND',
    flags: noFlags,
    examples: [],
    commands: [
      command({
        name: 'volume create',
        group: 'Containers',
        summary: 'Make a volume',
        operands: '[NAME]',
        most: 1,
        flags: volumeCreateFlags,
        examples: [{ command: 'stave volume create data', doc: 'For run -v data:/var/lib/data' }],
        load: () => import('./volume-create.ts'),
      }),
      command({
        name: 'volume ls',
        aliases: ['list'],
        group: 'Containers',
        summary: 'List volumes',
        operands: '',
        most: 0,
        flags: volumeListFlags,
        examples: [{ command: 'stave volume ls', doc: 'All of them' }],
        load: () => import('./volume-ls.ts'),
      }),
      command({
        name: 'volume inspect',
        group: 'Containers',
        summary: 'Show volumes',
        operands: 'NAME...',
        least: 1,
        flags: { format: { ...formatFlags.format, short: 'f' } },
        examples: [{ command: "stave volume inspect -f '{{.Mountpoint}}' data", doc: 'Where it is' }],
        load: () => import('./volume-inspect.ts'),
      }),
      command({
        name: 'volume exists',
        group: 'Containers',
        summary: 'Exit with 0 if there is such a volume, else with 1',
        operands: 'NAME',
        least: 1,
        most: 1,
        flags: noFlags,
        examples: [{ command: 'stave volume exists data || stave volume create data', doc: 'Unless it is there' }],
        load: () => import('./volume-exists.ts'),
      }),
      command({
        name: 'volume export',
        group: 'Containers',
        summary: 'Write what is in a volume as a tar',
        operands: 'NAME',
        least: 1,
        most: 1,
        flags: exportFlags,
        examples: [{ command: 'stave volume export data -o data.tar', doc: 'A copy to keep' }],
        load: () => import('./volume-export.ts'),
      }),
      command({
        name: 'volume import',
        group: 'Containers',
        summary: 'Unpack a tar into a volume',
        description: 'Unpacks a tar, compressed or not, into a volume that is there, beside what it holds.',
        operands: 'NAME [FILE|-]',
        least: 1,
        most: 2,
        flags: noFlags,
        examples: [{ command: 'stave volume import data data.tar', doc: 'What was exported' }],
        load: () => import('./volume-import.ts'),
      }),
      command({
        name: 'volume rm',
        aliases: ['remove'],
        group: 'Containers',
        summary: 'Remove volumes',
        operands: 'NAME...',
        flags: volumeRmFlags,
        examples: [{ command: 'stave volume rm data', doc: 'With what it holds' }],
        load: () => import('./volume-rm.ts'),
      }),
      command({
        name: 'volume prune',
        group: 'Containers',
        summary: 'Remove volumes that nothing uses',
        operands: '',
        most: 0,
        flags: volumePruneFlags,
        examples: [{ command: 'stave volume prune', doc: 'Anonymous ones' }],
        load: () => import('./volume-prune.ts'),
      }),
    ],
  }),
]
