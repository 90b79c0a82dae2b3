import { command, type Command } from '../command.ts'
import { absentBuildFlags, buildFlags, builderPruneFlags, buildRecordFlags, checkFlags } from './flags.ts'
import { absentKanikoFlags, kanikoFlags } from './kaniko-flags.ts'

export const buildCommands: readonly Command[] = [
  command({
    name: 'build',
    aliases: ['bud'],
    group: 'Build',
    summary: 'Build an image from a Dockerfile',
    description:
      'Builds an image from a Dockerfile and a context: a directory, a tar, a git repository (URL.git#REF:SUBDIR), an http URL, or - for stdin. What has not changed is taken from the cache.',
    operands: 'CONTEXT',
    least: 0,
    most: 1,
    flags: buildFlags,
    absent: absentBuildFlags,
    examples: [
      { command: 'stave build -t web .', doc: 'Build the Dockerfile of this directory and name it web' },
      { command: 'stave build --target test --build-arg GO=1.26 .', doc: 'Build up to a stage, with an argument' },
      { command: 'stave build --platform linux/amd64,linux/arm64 -t ghcr.io/acme/web --push .', doc: 'Build for two platforms and push' },
      { command: 'stave build --output type=local,dest=out .', doc: 'Write the files of the result to a directory' },
      { command: 'stave build --explain .', doc: 'Say why steps were not cached' },
    ],
    load: () => import('./build.ts'),
  }),
  command({
    name: 'check',
    group: 'Build',
    summary: 'Check a Dockerfile without building it',
    description: 'Checks a Dockerfile by the rules of BuildKit. Exit status: 0 if they find nothing, 1 if they do.',
    operands: '[CONTEXT]',
    most: 1,
    flags: checkFlags,
    examples: [
      { command: 'stave check .', doc: 'Check the Dockerfile of this directory' },
      { command: 'stave check --format sarif . > findings.sarif', doc: 'For a code scanning service' },
    ],
    load: () => import('./check.ts'),
  }),
  command({
    name: 'explain',
    group: 'Build',
    summary: 'Say why the steps of a build were not cached',
    operands: '[BUILD]',
    most: 1,
    flags: buildRecordFlags,
    examples: [{ command: 'stave explain', doc: 'The last build' }],
    load: () => import('./explain.ts'),
  }),
  command({
    name: 'kaniko',
    group: 'Build',
    summary: "Build with the flags of kaniko's executor",
    description: "Understands the command line of kaniko's executor, so that a CI template changes one word.",
    operands: '',
    most: 0,
    flags: kanikoFlags,
    absent: absentKanikoFlags,
    examples: [
      {
        command: 'stave kaniko --context dir://$PWD --destination registry.example/web:1 --cache',
        doc: 'Build and push, with a cache in registry.example/web/cache',
      },
    ],
    load: () => import('./kaniko.ts'),
  }),
  command({
    name: 'builder',
    group: 'Build',
    summary: 'Look after the build cache',
    operands: 'COMMAND',
    flags: {},
    examples: [{ command: 'stave builder prune --keep-storage 10g', doc: 'Keep the build cache below 10 GB' }],
    commands: [
      command({
        name: 'builder prune',
        group: 'Build',
        summary: 'Remove the build cache, and no image',
        operands: '',
        most: 0,
        flags: builderPruneFlags,
        examples: [
          { command: 'stave builder prune', doc: 'All of it' },
          { command: 'stave builder prune --keep-storage 10g', doc: 'What was not used for longest, until 10 GB are left' },
          { command: 'stave builder prune --filter until=72h', doc: 'What was not used in the last three days' },
        ],
        load: () => import('./prune.ts'),
      }),
    ],
  }),
]
