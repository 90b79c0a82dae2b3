import { command, type Command, type Flags } from '../command.ts'
import { registryFlags, trustFlags } from '../shared-flags.ts'
import { logsFlags } from '../containers/commands.ts'

/** Which project it is: understood before and after the word behind `compose`; the short ones before it, where others mean something else. */
export const projectFlags = {
  file: { kind: 'list', value: 'FILE', doc: 'Compose file, several are merged (default compose.yaml and its override)' },
  'project-name': { kind: 'string', value: 'NAME', doc: 'Name of the project (default that of its directory)' },
  'project-directory': { kind: 'string', value: 'DIR', doc: 'Where relative paths begin (default the directory of the first file)' },
  profile: { kind: 'list', value: 'NAME', doc: 'Switch a profile on' },
  'env-file': { kind: 'list', value: 'FILE', doc: 'In place of .env' },
  ansi: { kind: 'string', hidden: true, value: 'WHEN', choices: ['never', 'always', 'auto'], doc: 'Accepted for docker: see NO_COLOR' },
  compatibility: { kind: 'boolean', hidden: true, doc: 'Accepted for docker' },
  parallel: { kind: 'number', hidden: true, value: 'N', doc: 'Accepted for docker' },
  progress: { kind: 'string', value: 'MODE', choices: ['auto', 'plain', 'tty', 'json', 'quiet'], doc: 'How progress is shown' },
} as const satisfies Flags

const groupFlags = {
  ...projectFlags,
  file: { ...projectFlags.file, short: 'f' },
  'project-name': { ...projectFlags['project-name'], short: 'p' },
} as const satisfies Flags

const timeFlag = {
  timeout: { kind: 'number', short: 't', value: 'SECONDS', doc: 'How long to wait before SIGKILL' },
} as const satisfies Flags

export const configFlags = {
  ...projectFlags,
  format: { kind: 'string', value: 'FORMAT', choices: ['yaml', 'json'], doc: 'yaml (default) or json' },
  services: { kind: 'boolean', doc: 'The names of services alone' },
  volumes: { kind: 'boolean', doc: 'The names of volumes alone' },
  networks: { kind: 'boolean', doc: 'The names of networks alone' },
  images: { kind: 'boolean', doc: 'The names of images alone' },
  profiles: { kind: 'boolean', doc: 'The names of profiles alone' },
  hash: { kind: 'string', value: 'SERVICE', doc: 'The digest of a service, or with * of all, that says when it is made anew' },
  quiet: { kind: 'boolean', short: 'q', doc: 'Check only' },
  output: { kind: 'string', short: 'o', value: 'FILE', doc: 'Write to a file' },
} as const satisfies Flags

export const buildFlags = {
  ...projectFlags,
  'build-arg': { kind: 'list', value: 'K=V', doc: 'Build argument' },
  'no-cache': { kind: 'boolean', doc: 'Execute every step' },
  pull: { kind: 'boolean', doc: 'Look base images up again' },
  push: { kind: 'boolean', doc: 'Push what was built' },
  quiet: { kind: 'boolean', short: 'q', doc: 'Show nothing of the builds' },
  ...registryFlags,
} as const satisfies Flags

export const pullFlags = {
  ...projectFlags,
  'ignore-pull-failures': { kind: 'boolean', doc: 'Go on where an image cannot be had' },
  'include-deps': { kind: 'boolean', doc: 'Also those of services that they need' },
  'ignore-buildable': { kind: 'boolean', doc: 'Not those that can be built' },
  policy: { kind: 'string', value: 'POLICY', choices: ['missing', 'always'], doc: 'missing or always (default)' },
  quiet: { kind: 'boolean', short: 'q', doc: 'Show nothing of it' },
  ...registryFlags,
} as const satisfies Flags

export const pushFlags = {
  ...projectFlags,
  'ignore-push-failures': { kind: 'boolean', doc: 'Go on where an image cannot be pushed' },
  quiet: { kind: 'boolean', short: 'q', doc: 'Show nothing of it' },
  ...registryFlags,
} as const satisfies Flags

export const createFlags = {
  ...projectFlags,
  build: { kind: 'boolean', doc: 'Build images first' },
  'no-build': { kind: 'boolean', doc: 'Build nothing' },
  pull: { kind: 'string', value: 'POLICY', choices: ['always', 'missing', 'never', 'build'], doc: 'When to fetch images' },
  'force-recreate': { kind: 'boolean', doc: 'Make containers anew, also where nothing changed' },
  'no-recreate': { kind: 'boolean', doc: 'Keep containers that are there, whatever changed' },
  'remove-orphans': { kind: 'boolean', doc: 'Remove containers of services that are no longer defined' },
  scale: { kind: 'list', value: 'SERVICE=N', doc: 'How many containers a service has' },
  'quiet-pull': { kind: 'boolean', doc: 'Show nothing of pulls' },
  yes: { kind: 'boolean', short: 'y', hidden: true, doc: 'Accepted for docker: nothing is asked' },
  ...registryFlags,
  ...trustFlags,
} as const satisfies Flags

export const upFlags = {
  ...createFlags,
  ...timeFlag,
  detach: { kind: 'boolean', short: 'd', doc: 'Do not wait for them' },
  'no-deps': { kind: 'boolean', doc: 'Not the services that they need' },
  'no-start': { kind: 'boolean', doc: 'Make them without starting them' },
  wait: { kind: 'boolean', doc: 'Wait until they run, or are healthy; implies --detach' },
  'wait-timeout': { kind: 'number', value: 'SECONDS', doc: 'How long to wait' },
  'abort-on-container-exit': { kind: 'boolean', doc: 'Stop all when one ends' },
  'abort-on-container-failure': { kind: 'boolean', doc: 'Stop all when one fails' },
  'exit-code-from': { kind: 'string', value: 'SERVICE', doc: 'Stop all when one ends, and end with the status of this one' },
  attach: { kind: 'list', value: 'SERVICE', doc: 'Show the output of these only' },
  'no-attach': { kind: 'list', value: 'SERVICE', doc: 'Do not show the output of these' },
  'no-log-prefix': { kind: 'boolean', doc: 'Show lines without the names of their containers' },
  'no-color': { kind: 'boolean', doc: 'Show lines without colours' },
  timestamps: { kind: 'boolean', doc: 'Show times' },
  'always-recreate-deps': { kind: 'boolean', doc: 'Make also what they need anew' },
  'renew-anon-volumes': { kind: 'boolean', short: 'V', doc: 'Begin with empty anonymous volumes' },
} as const satisfies Flags

export const downFlags = {
  ...projectFlags,
  ...timeFlag,
  volumes: { kind: 'boolean', short: 'v', doc: 'Also volumes of the project' },
  rmi: {
    kind: 'string',
    value: 'WHICH',
    choices: ['all', 'local'],
    doc: 'Also images: all, or local for those without a name of their own',
  },
  'remove-orphans': { kind: 'boolean', doc: 'Also containers of services that are no longer defined' },
} as const satisfies Flags

export const psFlags = {
  ...projectFlags,
  all: { kind: 'boolean', short: 'a', doc: 'Also those that do not run' },
  quiet: { kind: 'boolean', short: 'q', doc: 'Show IDs alone' },
  services: { kind: 'boolean', doc: 'Show the names of services alone' },
  status: { kind: 'list', value: 'STATE', doc: 'Those in this state only' },
  filter: { kind: 'string', value: 'status=STATE', doc: 'The same' },
  format: { kind: 'string', value: 'FORMAT', doc: 'table (default), json, or a template' },
  orphans: { kind: 'boolean', doc: 'Also of services that are no longer defined (default)' },
  'no-trunc': { kind: 'boolean', doc: 'Show whole IDs' },
} as const satisfies Flags

export const composeLogsFlags = {
  ...projectFlags,
  follow: logsFlags.follow,
  tail: logsFlags.tail,
  since: logsFlags.since,
  until: logsFlags.until,
  timestamps: logsFlags.timestamps,
  'no-log-prefix': { kind: 'boolean', doc: 'Show lines without the names of their containers' },
  'no-color': { kind: 'boolean', doc: 'Show lines without colours' },
  index: { kind: 'number', value: 'N', doc: 'Of the Nth container of a service only' },
} as const satisfies Flags

export const execFlags = {
  ...projectFlags,
  detach: { kind: 'boolean', short: 'd', doc: 'Do not wait for it' },
  env: { kind: 'list', short: 'e', value: 'K[=V]', doc: 'Environment' },
  'no-tty': { kind: 'boolean', short: 'T', aliases: ['no-TTY'], doc: 'Without a terminal (default where there is none)' },
  interactive: { kind: 'boolean', short: 'i', doc: 'Pass stdin on (default)' },
  tty: { kind: 'boolean', short: 't', doc: 'With a terminal (default where there is one)' },
  user: { kind: 'string', short: 'u', value: 'USER', doc: 'User' },
  workdir: { kind: 'string', short: 'w', value: 'DIR', doc: 'Working directory' },
  privileged: { kind: 'boolean', doc: 'All capabilities and devices' },
  index: { kind: 'number', value: 'N', doc: 'In the Nth container of the service (default 1)' },
} as const satisfies Flags

export const runFlags = {
  ...projectFlags,
  detach: execFlags.detach,
  env: execFlags.env,
  'no-tty': execFlags['no-tty'],
  interactive: execFlags.interactive,
  tty: execFlags.tty,
  user: execFlags.user,
  workdir: execFlags.workdir,
  build: createFlags.build,
  pull: createFlags.pull,
  'cap-add': { kind: 'list', value: 'CAP', doc: 'Add a capability' },
  'cap-drop': { kind: 'list', value: 'CAP', doc: 'Drop a capability' },
  entrypoint: { kind: 'string', value: 'COMMAND', doc: 'In place of the entrypoint' },
  label: { kind: 'list', short: 'l', value: 'K=V', doc: 'Label' },
  name: { kind: 'string', value: 'NAME', doc: 'Name of the container' },
  'no-deps': upFlags['no-deps'],
  publish: { kind: 'list', short: 'p', value: 'PORT', doc: 'Publish a port' },
  'service-ports': { kind: 'boolean', short: 'P', doc: 'Publish the ports of the service' },
  'use-aliases': { kind: 'boolean', doc: 'Be found by the names of the service' },
  volume: { kind: 'list', short: 'v', value: 'SRC:DST', doc: 'Bind a directory or volume' },
  rm: { kind: 'boolean', doc: 'Remove the container when it ends' },
  'remove-orphans': createFlags['remove-orphans'],
  quiet: { kind: 'boolean', short: 'q', doc: 'Show nothing of builds and pulls' },
  'quiet-pull': createFlags['quiet-pull'],
  ...registryFlags,
  ...trustFlags,
} as const satisfies Flags

export const stopFlags = { ...projectFlags, ...timeFlag } as const satisfies Flags
export const restartFlags = { ...stopFlags, 'no-deps': upFlags['no-deps'] } as const satisfies Flags

export const killFlags = {
  ...projectFlags,
  signal: { kind: 'string', short: 's', value: 'SIGNAL', doc: 'Signal to send (default KILL)' },
  'remove-orphans': createFlags['remove-orphans'],
} as const satisfies Flags

export const rmFlags = {
  ...projectFlags,
  force: { kind: 'boolean', short: 'f', hidden: true, doc: 'Accepted for docker: nothing is asked' },
  stop: { kind: 'boolean', short: 's', doc: 'Stop those that run' },
  volumes: { kind: 'boolean', short: 'v', doc: 'Also anonymous volumes' },
} as const satisfies Flags

export const portFlags = {
  ...projectFlags,
  protocol: { kind: 'string', value: 'PROTOCOL', choices: ['tcp', 'udp'], doc: 'tcp (default) or udp' },
  index: execFlags.index,
} as const satisfies Flags

const word = <F extends Flags>(definition: Omit<Command<F>, 'group'>): Command<F> => command({ ...definition, group: 'Containers' })
const services = '[SERVICE...]'

export const composeCommands: readonly Command[] = [
  command({
    name: 'compose',
    group: 'Containers',
    summary: 'Make and run the services of a compose file together',
    operands: 'COMMAND',
    flags: groupFlags,
    examples: [],
    commands: [
      word({
        name: 'compose up',
        summary: 'Build, make and start services',
        description:
          'Builds images that are not there, makes networks, volumes and containers, starts them in the order in which they need each other, and shows what they write. What runs unchanged is left running; what has changed is made anew. Ctrl-C stops them.',
        operands: services,
        flags: upFlags,
        examples: [
          { command: 'stave compose up -d --wait', doc: 'In the background, and healthy when it returns' },
          { command: 'stave compose up --exit-code-from tests', doc: 'Run tests beside what they need' },
        ],
        load: () => import('./up.ts'),
      }),
      word({
        name: 'compose down',
        summary: 'Stop and remove containers and networks of a project',
        operands: services,
        flags: downFlags,
        examples: [{ command: 'stave compose down -v', doc: 'Its volumes too' }],
        load: () => import('./down.ts'),
      }),
      word({
        name: 'compose ps',
        summary: 'List the containers of a project',
        operands: services,
        flags: psFlags,
        examples: [{ command: 'stave compose ps --format json', doc: 'For scripts' }],
        load: () => import('./ps.ts'),
      }),
      word({
        name: 'compose logs',
        summary: 'Show what services have written',
        operands: services,
        flags: composeLogsFlags,
        examples: [{ command: 'stave compose logs --follow --tail 20 web', doc: 'The last lines of one service, and what comes' }],
        load: () => import('./logs.ts'),
      }),
      word({
        name: 'compose run',
        summary: 'Run a command in a new container of a service',
        operands: 'SERVICE [COMMAND] [ARG...]',
        least: 1,
        passthrough: true,
        ownFailure: 125,
        flags: runFlags,
        examples: [{ command: 'stave compose run --rm web ./migrate', doc: 'Once, beside what the service needs' }],
        load: () => import('./run.ts'),
      }),
      word({
        name: 'compose exec',
        summary: 'Run a command in a container of a service that runs',
        operands: 'SERVICE COMMAND [ARG...]',
        least: 2,
        passthrough: true,
        ownFailure: 125,
        flags: execFlags,
        examples: [{ command: 'stave compose exec db psql', doc: 'In the terminal' }],
        load: () => import('./exec.ts'),
      }),
      word({
        name: 'compose build',
        summary: 'Build the images of services',
        operands: services,
        flags: buildFlags,
        examples: [{ command: 'stave compose build --pull web', doc: 'One of them, on fresh base images' }],
        load: () => import('./build.ts'),
      }),
      word({
        name: 'compose pull',
        summary: 'Fetch the images of services',
        operands: services,
        flags: pullFlags,
        examples: [{ command: 'stave compose pull', doc: 'All of them' }],
        load: () => import('./pull.ts'),
      }),
      word({
        name: 'compose push',
        summary: 'Push the images of services that are built',
        operands: services,
        flags: pushFlags,
        examples: [{ command: 'stave compose push web', doc: 'One of them' }],
        load: () => import('./push.ts'),
      }),
      word({
        name: 'compose config',
        aliases: ['convert'],
        summary: 'Check a compose file and show what it comes to',
        operands: services,
        flags: configFlags,
        examples: [{ command: 'stave compose config --quiet', doc: 'Check only' }],
        load: () => import('./config.ts'),
      }),
      word({
        name: 'compose create',
        summary: 'Make the containers of services without starting them',
        operands: services,
        flags: createFlags,
        examples: [{ command: 'stave compose create', doc: 'Start them later with stave compose start' }],
        load: () => import('./create.ts'),
      }),
      ...(['start', 'stop', 'restart', 'pause', 'unpause'] as const).map((verb) =>
        word({
          name: `compose ${verb}`,
          summary: `${verb[0]?.toUpperCase()}${verb.slice(1)} services`,
          operands: services,
          flags: verb === 'stop' ? stopFlags : verb === 'restart' ? restartFlags : projectFlags,
          examples: [{ command: `stave compose ${verb} web`, doc: 'One of them' }],
          load: async () => ({ run: (await import('./lifecycle.ts'))[verb] as never }),
        }),
      ),
      word({
        name: 'compose kill',
        summary: 'Send a signal to services',
        operands: services,
        flags: killFlags,
        examples: [{ command: 'stave compose kill -s HUP web', doc: 'Let it read its configuration again' }],
        load: async () => ({ run: (await import('./lifecycle.ts')).kill as never }),
      }),
      word({
        name: 'compose rm',
        summary: 'Remove containers of services that have ended',
        operands: services,
        flags: rmFlags,
        examples: [{ command: 'stave compose rm -sf web', doc: 'Stop it first' }],
        load: async () => ({ run: (await import('./lifecycle.ts')).rm as never }),
      }),
      word({
        name: 'compose port',
        summary: 'Show where a port of a service is published',
        operands: 'SERVICE PORT',
        least: 2,
        most: 2,
        flags: portFlags,
        examples: [{ command: 'stave compose port web 80', doc: '0.0.0.0:8080' }],
        load: () => import('./port.ts'),
      }),
    ],
  }),
]
