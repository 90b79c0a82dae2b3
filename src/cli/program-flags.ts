import type { Flag, Flags } from './command.ts'
import { storageDrivers } from './settings.ts'

/** Understood before and after the command. */
export const globalFlags = {
  root: { kind: 'string', value: 'DIR', doc: 'Directory of the store (default $STAVE_ROOT, else /var/lib/stave or ~/.local/share/stave)' },
  debug: { kind: 'boolean', doc: 'Show stacks of errors, and what is done otherwise than usual' },
  'storage-driver': {
    kind: 'string',
    value: 'NAME',
    choices: storageDrivers,
    doc: 'How layers are kept: unpacked (dir, the default; vfs, overlay and the like too), mounted (erofs), or mounted where this machine can (auto)',
  },
  // skopeo's and podman's, which their users' scripts have before the command
  policy: { kind: 'string', value: 'FILE', hidden: true, doc: 'What may be used, for commands that bring images from elsewhere' },
  'insecure-policy': { kind: 'boolean', hidden: true, doc: 'Use anything, whatever the policy says' },
  'registries.d': { kind: 'string', value: 'DIR', hidden: true, doc: 'Where it is said where signatures are' },
  'registries-conf': { kind: 'string', value: 'FILE', hidden: true, doc: 'In place of registries.conf' },
  'command-timeout': { kind: 'string', value: 'TIME', hidden: true, doc: 'Cancel the command after this time, such as 30s' },
  tmpdir: { kind: 'string', value: 'DIR', hidden: true, doc: 'Where archives are put that cannot be read in place' },
  'log-level': {
    kind: 'string',
    value: 'LEVEL',
    hidden: true,
    choices: ['trace', 'debug', 'info', 'warn', 'warning', 'error', 'fatal', 'panic'],
    doc: 'debug and trace do what --debug does, the others nothing',
  },
} as const satisfies Flags

const idle = (value: string, about: string): Flag => ({ kind: 'string', value, hidden: true, doc: `Accepted without effect: ${about}` })
const idleSwitch = (about: string): Flag => ({ kind: 'boolean', hidden: true, doc: `Accepted without effect: ${about}` })
const oneStorage = '--storage-driver is all that there is to choose'
const noDaemon = 'there is no daemon to connect to'

/**
 * Words of docker, podman, buildah and skopeo that say what is decided otherwise here, before and after the command. Where
 * a command has a flag of the same name, it is that one.
 */
export const idleFlags: Flags = {
  'storage-opt': { ...idle('K=V', oneStorage), kind: 'list' },
  runroot: idle('DIR', 'nothing is kept outside the store'),
  'cgroup-manager': idle('NAME', 'control groups are made without a manager'),
  runtime: idle('NAME', 'it is for run, create and build'),
  'runtime-flag': { ...idle('FLAG', 'a runtime gets the flags that every one has'), kind: 'list' },
  conmon: idle('FILE', 'containers have a monitor of their own'),
  'events-backend': idle('NAME', 'no events are kept'),
  'network-cmd-path': idle('FILE', 'pasta or slirp4netns is found where programs are'),
  'registries-conf-dir': idle('DIR', 'drop-in files are those beside registries.conf'),
  'short-name-alias-conf': idle('FILE', 'short names are names of Docker Hub'),
  'default-mounts-file': idle('FILE', 'containers have no default mounts'),
  'user-agent-prefix': idle('TEXT', 'registries are told stave/VERSION'),
  'cpu-profile': idle('FILE', 'it profiles another program'),
  'memory-profile': idle('FILE', 'it profiles another program'),
  syslog: idleSwitch('messages go to standard error'),
  ssh: idle('MODE', noDaemon),
  identity: idle('FILE', noDaemon),
  tls: idleSwitch(noDaemon),
  tlsverify: idleSwitch(noDaemon),
  tlscacert: idle('FILE', noDaemon),
  tlscert: idle('FILE', noDaemon),
  tlskey: idle('FILE', noDaemon),
}

/** Before the command alone: after it, these names and letters are flags of commands. */
export const leadingFlags = {
  host: {
    kind: 'list',
    short: 'H',
    aliases: ['url'],
    value: 'URL',
    hidden: true,
    doc: 'A socket of this machine is accepted without effect; another machine is an error',
  },
  context: {
    kind: 'string',
    short: 'c',
    aliases: ['connection'],
    value: 'NAME',
    hidden: true,
    doc: "Accepted without effect, unless docker's context of that name is on another machine, which is an error",
  },
  remote: { kind: 'boolean', short: 'r', hidden: true, doc: 'podman: an error, because there is no daemon' },
  config: { kind: 'string', value: 'DIR', hidden: true, doc: 'Where config.json with credentials is, in place of $DOCKER_CONFIG' },
  debug: { ...globalFlags.debug, short: 'D' },
  'log-level': { ...globalFlags['log-level'], short: 'l' },
} as const satisfies Flags

/** Words that change what is meant, and cannot be honoured, with what to do instead. */
export const absentBefore: Readonly<Record<string, string>> = {
  '--imagestore': 'There is one store: --root says where.',
  '--volumepath': 'Volumes are in the store: --root says where.',
  '--module': 'No containers.conf is read: write the flags.',
  '--hooks-dir': 'No hooks are run.',
  '--cdi-spec-dir': 'Name the devices themselves: stave run --device.',
  '--network-config-dir': 'Networks are in the store: stave network create makes one.',
  '--require-signed': 'Say what must be signed in policy.json: --policy FILE.',
}

/** Whether `--log-level` asks for what `--debug` shows. */
export function saysDebug(level: string | undefined): boolean {
  return level === 'debug' || level === 'trace'
}
