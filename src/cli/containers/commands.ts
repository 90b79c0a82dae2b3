import { command, type Command, type Flags } from '../command.ts'
import { formatFlags } from '../shared-flags.ts'
import { absentCreateFlags } from './absent-flags.ts'
import { createFlags, detachKeys, processFlags } from './create-flags.ts'
import { choiceFlags } from './choice-flags.ts'
import { limitFlags } from './limit-flags.ts'

export const execFlags = { ...processFlags, ...detachKeys } as const satisfies Flags

export const psFlags = {
  all: { kind: 'boolean', short: 'a', doc: 'Also those that do not run' },
  quiet: { kind: 'boolean', short: 'q', doc: 'Show IDs alone' },
  'no-trunc': { kind: 'boolean', doc: 'Show whole IDs and commands' },
  latest: { kind: 'boolean', short: 'l', doc: 'The last one made' },
  last: { kind: 'number', short: 'n', value: 'N', doc: 'The last N made' },
  filter: {
    kind: 'list',
    short: 'f',
    value: 'K=V',
    doc: 'name=, id=, status=, health=, exited=, label=, ancestor=, volume=, network=, restart-policy=, before=, since=',
  },
  noheading: { kind: 'boolean', doc: 'Leave the heading out' },
  ...formatFlags,
} as const satisfies Flags

export const logsFlags = {
  follow: { kind: 'boolean', short: 'f', doc: 'Wait for more' },
  tail: { kind: 'string', short: 'n', value: 'N', doc: 'The last N lines (default all)' },
  since: { kind: 'string', value: 'TIME', doc: 'From this time on: RFC 3339, seconds since 1970, or 10m ago' },
  until: { kind: 'string', value: 'TIME', doc: 'Up to this time' },
  timestamps: { kind: 'boolean', short: 't', doc: 'Show times' },
  names: { kind: 'boolean', doc: 'Of several, show names in place of IDs' },
  latest: choiceFlags.latest,
  details: { kind: 'boolean', hidden: true, doc: 'Accepted for docker: there are no details' },
} as const satisfies Flags

export const stopFlags = {
  time: { kind: 'number', short: 't', value: 'SECONDS', doc: 'How long to wait before SIGKILL (default 10)', aliases: ['timeout'] },
  ...choiceFlags,
  filter: { ...choiceFlags.filter, short: 'f' },
} as const satisfies Flags

export const killFlags = {
  signal: { kind: 'string', short: 's', value: 'SIGNAL', doc: 'Signal to send (default KILL)' },
  all: choiceFlags.all,
  latest: choiceFlags.latest,
  cidfile: choiceFlags.cidfile,
} as const satisfies Flags

export const rmFlags = {
  force: { kind: 'boolean', short: 'f', doc: 'Also one that runs; one that is not there is no error' },
  volumes: { kind: 'boolean', short: 'v', doc: 'Also its anonymous volumes' },
  time: { ...stopFlags.time, doc: 'With --force: how long to wait before SIGKILL (default 0)' },
  ...choiceFlags,
} as const satisfies Flags

export const startFlags = {
  attach: { kind: 'boolean', short: 'a', doc: 'Wait for it and show its output' },
  interactive: { kind: 'boolean', short: 'i', doc: 'Also pass stdin on' },
  restarting: { kind: 'boolean', doc: 'Those that their restart policy wants up: all of them, after a reboot, if none is named' },
  all: { kind: 'boolean', doc: 'Every one that does not run' },
  latest: choiceFlags.latest,
  filter: { ...choiceFlags.filter, short: 'f' },
  ...detachKeys,
} as const satisfies Flags

export const restartFlags = {
  time: stopFlags.time,
  all: choiceFlags.all,
  latest: choiceFlags.latest,
  filter: { ...choiceFlags.filter, short: 'f' },
  cidfile: choiceFlags.cidfile,
  running: { kind: 'boolean', doc: 'Every one that runs' },
} as const satisfies Flags

export const pauseFlags = {
  all: choiceFlags.all,
  latest: choiceFlags.latest,
  filter: { ...choiceFlags.filter, short: 'f' },
  cidfile: choiceFlags.cidfile,
} as const satisfies Flags

export const attachFlags = {
  'no-stdin': { kind: 'boolean', doc: 'Do not pass stdin on' },
  ...detachKeys,
} as const satisfies Flags

export const waitFlags = {
  condition: {
    kind: 'list',
    value: 'WORD',
    doc: 'For what: stopped (default), exited, running, paused, created, restarting, removing, healthy, unhealthy; of several, the first',
  },
  ignore: { kind: 'boolean', doc: 'One that is not there is no error: it prints -1' },
  interval: { kind: 'string', short: 'i', value: 'TIME', doc: 'How often to look (default: it grows from 5ms to 100ms)' },
} as const satisfies Flags

export const updateFlags = { restart: createFlags.restart, ...limitFlags, latest: choiceFlags.latest } as const satisfies Flags

export const noFlags = {} as const satisfies Flags

export const forceFlag = {
  force: { kind: 'boolean', short: 'f', hidden: true, doc: 'Accepted for docker: nothing is asked' },
} as const satisfies Flags

export const containerPruneFlags = {
  filter: psFlags.filter,
  ...forceFlag,
} as const satisfies Flags

export const topFlags = formatFlags

export const statsFlags = {
  all: { kind: 'boolean', short: 'a', doc: 'Also those that do not run' },
  latest: choiceFlags.latest,
  'no-stream': { kind: 'boolean', doc: 'Once' },
  'no-reset': { kind: 'boolean', doc: 'Do not clear the screen' },
  'no-trunc': { kind: 'boolean', doc: 'Show whole IDs' },
  interval: { kind: 'number', short: 'i', value: 'SECONDS', doc: 'How often (default 1)' },
  ...formatFlags,
} as const satisfies Flags

export const containerCommands: readonly Command[] = [
  command({
    name: 'run',
    group: 'Containers',
    ownFailure: 125,
    summary: 'Run a command in a new container',
    description:
      "Makes a container of an image and runs a command in it. The exit status is the command's; 125 if stave failed, 126 if the command cannot be executed, 127 if it is not there.",
    operands: 'IMAGE [COMMAND] [ARG...]',
    least: 1,
    passthrough: true,
    flags: createFlags,
    absent: absentCreateFlags,
    examples: [
      { command: 'stave run --rm -it debian bash', doc: 'A shell' },
      { command: 'stave run -d --name web -v "$PWD/site:/srv:ro" web', doc: 'In the background' },
      { command: 'stave run -d -p 8080:80 --network app web', doc: 'Reached on a port of this machine, and by name on a network' },
      { command: 'stave run --rm --network none --memory 256m --pids-limit 64 web ./check', doc: 'Confined' },
    ],
    load: () => import('./run.ts'),
  }),
  command({
    name: 'create',
    group: 'Containers',
    ownFailure: 125,
    summary: 'Make a container without starting it',
    operands: 'IMAGE [COMMAND] [ARG...]',
    least: 1,
    passthrough: true,
    flags: createFlags,
    absent: absentCreateFlags,
    examples: [{ command: 'stave create --name job web ./job', doc: 'Start it later with stave start job' }],
    load: () => import('./create.ts'),
  }),
  command({
    name: 'start',
    group: 'Containers',
    summary: 'Start containers',
    operands: 'CONTAINER...',
    flags: startFlags,
    examples: [
      { command: 'stave start -a job', doc: 'And wait for it' },
      { command: 'stave start --restarting', doc: 'After a reboot: what should be up' },
    ],
    load: () => import('./start.ts'),
  }),
  command({
    name: 'ps',
    group: 'Containers',
    summary: 'List containers',
    operands: '',
    most: 0,
    flags: psFlags,
    examples: [{ command: "stave ps -a --filter status=exited --format '{{.Names}}'", doc: 'Names of those that ended' }],
    load: () => import('./ps.ts'),
  }),
  command({
    name: 'logs',
    group: 'Containers',
    summary: 'Show what a container, or a build, wrote',
    operands: 'CONTAINER...|BUILD',
    flags: logsFlags,
    examples: [
      { command: 'stave logs -f --tail 20 web', doc: 'The last lines, and what follows' },
      { command: 'stave logs -f --names web db', doc: 'Of both, as they come' },
    ],
    load: () => import('./logs.ts'),
  }),
  command({
    name: 'exec',
    group: 'Containers',
    ownFailure: 125,
    summary: 'Run one more command in a running container',
    operands: 'CONTAINER COMMAND [ARG...]',
    least: 2,
    passthrough: true,
    flags: execFlags,
    examples: [{ command: 'stave exec -it web sh', doc: 'A shell' }],
    load: () => import('./exec.ts'),
  }),
  command({
    name: 'attach',
    group: 'Containers',
    summary: 'Connect to a running container',
    operands: 'CONTAINER',
    least: 1,
    most: 1,
    flags: attachFlags,
    examples: [{ command: 'stave attach web', doc: 'ctrl-p ctrl-q leaves it running' }],
    load: () => import('./attach.ts'),
  }),
  command({
    name: 'stop',
    group: 'Containers',
    summary: 'Stop containers',
    operands: 'CONTAINER...',
    flags: stopFlags,
    examples: [{ command: 'stave stop -t 30 web', doc: 'SIGTERM, and SIGKILL half a minute later' }],
    load: () => import('./stop.ts'),
  }),
  command({
    name: 'restart',
    group: 'Containers',
    summary: 'Stop containers and start them again',
    operands: 'CONTAINER...',
    flags: restartFlags,
    examples: [{ command: 'stave restart web', doc: 'With the same settings' }],
    load: () => import('./restart.ts'),
  }),
  command({
    name: 'kill',
    group: 'Containers',
    summary: 'Send a signal to containers',
    operands: 'CONTAINER...',
    flags: killFlags,
    examples: [{ command: 'stave kill -s HUP web', doc: 'Reload' }],
    load: () => import('./kill.ts'),
  }),
  command({
    name: 'pause',
    group: 'Containers',
    summary: 'Freeze containers',
    operands: 'CONTAINER...',
    flags: pauseFlags,
    examples: [{ command: 'stave pause web', doc: 'Until stave unpause web' }],
    load: () => import('./pause.ts'),
  }),
  command({
    name: 'unpause',
    group: 'Containers',
    summary: 'Let frozen containers go on',
    operands: 'CONTAINER...',
    flags: pauseFlags,
    examples: [{ command: 'stave unpause web', doc: 'Go on' }],
    load: () => import('./unpause.ts'),
  }),
  command({
    name: 'wait',
    group: 'Containers',
    summary: 'Wait for containers to end, and print their exit status',
    description:
      'Waits for containers to end, or for what --condition says, and prints the exit status of each; -1 of one that has not ended.',
    operands: 'CONTAINER...',
    least: 1,
    flags: waitFlags,
    examples: [
      { command: 'stave wait job', doc: 'Prints 0 if it went well' },
      { command: 'stave wait --condition healthy db', doc: 'Until it does its work' },
    ],
    load: () => import('./wait.ts'),
  }),
  command({
    name: 'update',
    group: 'Containers',
    summary: 'Change the limits and the restart policy of containers',
    description:
      'Changes what containers may use, at once if they run, and whether they are started again when they end. What is not named stays as it is.',
    operands: 'CONTAINER...',
    flags: updateFlags,
    examples: [
      { command: 'stave update --memory 512m --cpus 1.5 web', doc: 'Other limits, at once' },
      { command: 'stave update --restart no web', doc: 'Not started again when it ends' },
    ],
    load: () => import('./update.ts'),
  }),
  command({
    name: 'healthcheck',
    group: 'Containers',
    summary: 'Check the health of a container',
    operands: '',
    flags: {},
    examples: [],
    commands: [
      command({
        name: 'healthcheck run',
        group: 'Containers',
        summary: 'Check the health of a container now',
        description:
          'Runs the health check of a container once. The exit status is 0 if it is well, 1 if not, 125 if it cannot be checked.',
        ownFailure: 125,
        operands: 'CONTAINER',
        least: 1,
        most: 1,
        flags: noFlags,
        examples: [{ command: 'stave healthcheck run db', doc: 'Exits with 0 if it does its work' }],
        load: () => import('./healthcheck-run.ts'),
      }),
    ],
  }),
  command({
    name: 'top',
    group: 'Containers',
    summary: 'List the processes of a container',
    operands: 'CONTAINER [COLUMN...]',
    least: 1,
    passthrough: true,
    flags: topFlags,
    examples: [{ command: 'stave top web pid,state,time,args', doc: 'Some columns' }],
    load: () => import('./top.ts'),
  }),
  command({
    name: 'stats',
    group: 'Containers',
    summary: 'Show what containers use of the machine',
    description:
      'Shows, again and again, what the processes of each container use: CPU since the last time (at first since they were started), resident memory, and what they sent, received, read and wrote.',
    operands: '[CONTAINER...]',
    flags: statsFlags,
    examples: [{ command: "stave stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemUsage}}'", doc: 'Once, as a script reads it' }],
    load: () => import('./stats.ts'),
  }),
  command({
    name: 'rename',
    group: 'Containers',
    summary: 'Give a container another name',
    operands: 'CONTAINER NAME',
    least: 2,
    most: 2,
    flags: noFlags,
    examples: [{ command: 'stave rename web web-old', doc: 'Make room for a new one' }],
    load: () => import('./rename.ts'),
  }),
  command({
    name: 'rm',
    group: 'Containers',
    summary: 'Remove containers',
    operands: 'CONTAINER...',
    flags: rmFlags,
    examples: [{ command: 'stave rm -f web', doc: 'Also if it runs' }],
    load: () => import('./rm.ts'),
  }),
  command({
    name: 'container',
    group: 'Containers',
    summary: 'Remove, or ask for, containers; and all commands on containers by the names that docker has for them',
    operands: 'COMMAND',
    flags: noFlags,
    examples: [],
    commands: [
      command({
        name: 'container prune',
        group: 'Containers',
        summary: 'Remove the containers that do not run',
        operands: '',
        most: 0,
        flags: containerPruneFlags,
        examples: [{ command: 'stave container prune --filter label=ci', doc: 'Those with a label' }],
        load: () => import('./prune.ts'),
      }),
      command({
        name: 'container exists',
        group: 'Containers',
        summary: 'Exit with 0 if there is such a container, else with 1',
        operands: 'CONTAINER',
        least: 1,
        most: 1,
        flags: noFlags,
        examples: [{ command: 'stave container exists web || stave run -d --name web web', doc: 'Unless it is there' }],
        load: () => import('./exists.ts'),
      }),
    ],
  }),
]
