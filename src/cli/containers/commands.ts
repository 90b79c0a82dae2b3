import { command, type Command, type Flags } from '../command.ts'
import { formatFlags, registryFlags, trustFlags } from '../shared-flags.ts'
import { neutralRunFlags } from '../neutral-flags.ts'
import { networkFlags } from './network-flags.ts'

const processFlags = {
  interactive: { kind: 'boolean', short: 'i', doc: 'Keep stdin open' },
  tty: { kind: 'boolean', short: 't', doc: 'Give it a terminal' },
  env: { kind: 'list', short: 'e', value: 'K[=V]', doc: 'Environment; without =V taken from the caller' },
  'env-file': { kind: 'list', value: 'FILE', doc: 'File with a K=V a line' },
  workdir: { kind: 'string', short: 'w', value: 'DIR', doc: 'Working directory' },
  user: { kind: 'string', short: 'u', value: 'USER[:GROUP]', doc: 'User' },
  privileged: { kind: 'boolean', doc: 'All capabilities and devices: no isolation to speak of' },
  detach: { kind: 'boolean', short: 'd', doc: 'Do not wait for it' },
} as const satisfies Flags

const detachKeys = {
  'detach-keys': { kind: 'string', value: 'KEYS', doc: 'Keys that leave it running (default ctrl-p,ctrl-q)' },
} as const satisfies Flags

const kept = 'Nothing here outlives a reboot: let the service manager (a systemd unit) run stave run.'

export const createFlags = {
  ...neutralRunFlags,
  ...processFlags,
  ...detachKeys,
  attach: {
    kind: 'list',
    short: 'a',
    value: 'STREAM',
    choices: ['stdin', 'stdout', 'stderr'],
    doc: 'Connect this stream alone (default all; stdin with --interactive)',
  },
  name: { kind: 'string', value: 'NAME', doc: 'Name (default a made one)' },
  rm: { kind: 'boolean', doc: 'Remove it when it ends' },
  entrypoint: { kind: 'string', value: 'COMMAND', doc: 'In place of the ENTRYPOINT of the image (a JSON array has several words)' },
  volume: { kind: 'list', short: 'v', value: 'SRC:DST[:OPTS]', doc: 'Bind a directory or named volume; OPTS: ro, rw' },
  mount: { kind: 'list', value: 'type=…', doc: 'type=bind,src=…,dst=…[,ro], type=volume,…, or type=tmpfs,dst=…' },
  tmpfs: { kind: 'list', value: 'DST[:OPTS]', doc: 'Temporary file system in memory' },
  'volumes-from': { kind: 'list', value: 'CONTAINER[:ro]', doc: 'Volumes and binds of another container, at the same places' },
  'env-host': { kind: 'boolean', doc: "All of the caller's environment, below that of the image" },
  ...networkFlags,
  hostname: { kind: 'string', short: 'h', value: 'NAME', doc: 'Host name inside' },
  'read-only': { kind: 'boolean', doc: 'Mount the root read-only' },
  memory: { kind: 'string', short: 'm', value: 'SIZE', doc: 'Memory limit: 512m, 2g' },
  'memory-swap': { kind: 'string', value: 'SIZE', doc: 'Limit of memory and swap; -1 for none' },
  cpus: { kind: 'number', value: 'N', doc: 'CPU limit: 1.5' },
  'cpu-quota': { kind: 'number', value: 'MICROSECONDS', doc: 'CPU time in each period' },
  'cpu-period': { kind: 'number', value: 'MICROSECONDS', doc: 'Period of --cpu-quota (default 100000)' },
  'cpu-shares': { kind: 'number', short: 'c', value: 'N', doc: 'CPU weight' },
  'cpuset-cpus': { kind: 'string', value: 'LIST', doc: 'CPUs to run on: 0-1,3' },
  'pids-limit': { kind: 'number', value: 'N', doc: 'Most processes; -1 for no limit' },
  'shm-size': { kind: 'string', value: 'SIZE', doc: 'Size of /dev/shm (default 64m)' },
  ulimit: { kind: 'list', value: 'NAME=SOFT[:HARD]', doc: 'Resource limit' },
  'cap-add': { kind: 'list', value: 'CAP', doc: 'Add a capability, or ALL' },
  'cap-drop': { kind: 'list', value: 'CAP', doc: 'Drop a capability, or ALL' },
  'security-opt': { kind: 'list', value: 'OPT', doc: 'no-new-privileges, seccomp=unconfined, seccomp=FILE (a profile as JSON)' },
  device: { kind: 'list', value: 'SRC[:DST[:rwm]]', doc: 'Device of the host' },
  'group-add': { kind: 'list', value: 'GROUP', doc: 'Supplementary group' },
  sysctl: { kind: 'list', value: 'K=V', doc: 'Kernel parameter of its namespaces' },
  pid: { kind: 'string', value: 'host', choices: ['host', 'private', ''], doc: 'PID namespace' },
  ipc: { kind: 'string', value: 'host', choices: ['host', 'private', 'shareable', 'none', ''], doc: 'IPC namespace' },
  uts: { kind: 'string', value: 'host', choices: ['host', 'private', ''], doc: 'UTS namespace' },
  init: { kind: 'boolean', doc: 'Run a small init that reaps zombies and forwards signals' },
  label: { kind: 'list', short: 'l', value: 'K=V', doc: 'Label of the container' },
  'label-file': { kind: 'list', value: 'FILE', doc: 'File with a label a line' },
  'log-driver': {
    kind: 'string',
    value: 'none',
    choices: ['json-file', 'local', 'k8s-file', 'none'],
    doc: 'none: keep nothing of what it writes (default json-file)',
  },
  'stop-signal': { kind: 'string', value: 'SIGNAL', doc: 'Signal that stop sends' },
  'stop-timeout': { kind: 'number', value: 'SECONDS', doc: 'How long stop waits (default 10)' },
  timeout: { kind: 'number', value: 'SECONDS', doc: 'Kill it when it has run this long; 0 for no limit' },
  'oom-score-adj': { kind: 'number', value: 'N', doc: 'Preference of the OOM killer' },
  replace: { kind: 'boolean', doc: 'Remove the container that has this name first' },
  cidfile: { kind: 'string', value: 'FILE', doc: 'Write the ID to a file' },
  pull: {
    kind: 'string',
    value: 'POLICY',
    choices: ['always', 'missing', 'newer', 'never'],
    doc: 'When to fetch the image (default missing)',
  },
  platform: { kind: 'string', value: 'OS/ARCH', doc: 'Of an image for several platforms, the one to take' },
  quiet: { kind: 'boolean', short: 'q', doc: 'Show no progress of a pull' },
  restart: { kind: 'string', hidden: true, value: 'no', choices: ['no', ''], instead: kept, doc: 'Accepted for docker: no, as it is' },
  userns: {
    kind: 'string',
    hidden: true,
    value: 'host',
    choices: ['host', ''],
    instead: 'Run stave as another user than root to have a user namespace.',
    doc: 'Accepted for docker: host, as it is',
  },
  isolation: {
    kind: 'string',
    hidden: true,
    value: 'default',
    choices: ['default', ''],
    instead: 'Other ways to isolate are those of Windows.',
    doc: 'Accepted for docker: default, as it is',
  },
  'no-healthcheck': { kind: 'boolean', hidden: true, doc: 'Accepted for docker: no health checks are run' },
  'sig-proxy': { kind: 'boolean', hidden: true, doc: 'Accepted for docker: signals are passed on' },
  ...registryFlags,
  ...trustFlags,
} as const satisfies Flags

export const execFlags = processFlags

const unchecked = 'Nothing is checked in the background. Let whoever watches the container call stave exec.'
const absentFlags = {
  '--link': 'Containers of one network find each other by name: stave network create.',
  '--gpus': 'Pass the devices with --device.',
  '--log-opt': 'A container has one log file, which grows until the container is removed. --log-driver none keeps none.',
  '--health-cmd': unchecked,
  '--health-interval': unchecked,
  '--health-retries': unchecked,
  '--health-start-period': unchecked,
  '--health-timeout': unchecked,
  '--pod': 'There are no pods. With --network container:ID containers share one network, and reach each other over localhost.',
} as const

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
    doc: 'name=, id=, status=, exited=, label=, ancestor=, volume=, network=, before=, since=',
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
  details: { kind: 'boolean', hidden: true, doc: 'Accepted for docker: there are no details' },
} as const satisfies Flags

export const stopFlags = {
  time: { kind: 'number', short: 't', value: 'SECONDS', doc: 'How long to wait before SIGKILL (default 10)', aliases: ['timeout'] },
  all: { kind: 'boolean', short: 'a', doc: 'Every one that runs' },
  ignore: { kind: 'boolean', short: 'i', doc: 'One that is not there is no error' },
} as const satisfies Flags

export const killFlags = {
  signal: { kind: 'string', short: 's', value: 'SIGNAL', doc: 'Signal to send (default KILL)' },
  all: { kind: 'boolean', short: 'a', doc: 'Every one that runs' },
} as const satisfies Flags

export const rmFlags = {
  force: { kind: 'boolean', short: 'f', doc: 'Also one that runs; one that is not there is no error' },
  volumes: { kind: 'boolean', short: 'v', doc: 'Also its anonymous volumes' },
  all: { kind: 'boolean', short: 'a', doc: 'Every one' },
} as const satisfies Flags

export const startFlags = {
  attach: { kind: 'boolean', short: 'a', doc: 'Wait for it and show its output' },
  interactive: { kind: 'boolean', short: 'i', doc: 'Also pass stdin on' },
  ...detachKeys,
} as const satisfies Flags

export const attachFlags = {
  'no-stdin': { kind: 'boolean', doc: 'Do not pass stdin on' },
  ...detachKeys,
} as const satisfies Flags

export const noFlags = {} as const satisfies Flags

export const forceFlag = {
  force: { kind: 'boolean', short: 'f', hidden: true, doc: 'Accepted for docker: nothing is asked' },
} as const satisfies Flags

export const containerPruneFlags = {
  filter: psFlags.filter,
  ...forceFlag,
} as const satisfies Flags

export const topFlags = formatFlags

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
    absent: absentFlags,
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
    absent: absentFlags,
    examples: [{ command: 'stave create --name job web ./job', doc: 'Start it later with stave start job' }],
    load: () => import('./create.ts'),
  }),
  command({
    name: 'start',
    group: 'Containers',
    summary: 'Start containers',
    operands: 'CONTAINER...',
    least: 1,
    flags: startFlags,
    examples: [{ command: 'stave start -a job', doc: 'And wait for it' }],
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
    operands: 'CONTAINER|BUILD',
    least: 1,
    most: 1,
    flags: logsFlags,
    examples: [{ command: 'stave logs -f --tail 20 web', doc: 'The last lines, and what follows' }],
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
    absent: { '--detach-keys': 'What exec runs ends with exec. With --detach it goes on by itself.' },
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
    least: 1,
    flags: { time: stopFlags.time },
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
    least: 1,
    flags: noFlags,
    examples: [{ command: 'stave pause web', doc: 'Until stave unpause web' }],
    load: () => import('./pause.ts'),
  }),
  command({
    name: 'unpause',
    group: 'Containers',
    summary: 'Let frozen containers go on',
    operands: 'CONTAINER...',
    least: 1,
    flags: noFlags,
    examples: [{ command: 'stave unpause web', doc: 'Go on' }],
    load: () => import('./unpause.ts'),
  }),
  command({
    name: 'wait',
    group: 'Containers',
    summary: 'Wait for containers to end, and print their exit status',
    operands: 'CONTAINER...',
    least: 1,
    flags: noFlags,
    examples: [{ command: 'stave wait job', doc: 'Prints 0 if it went well' }],
    load: () => import('./wait.ts'),
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
