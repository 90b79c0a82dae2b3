import { command, type Command, type Flags } from '../command.ts'
import { quietFlag, registryFlags, retryFlags, sideFlags, trustFlags } from '../shared-flags.ts'
import { serveCommand } from './serve-flags.ts'

const compatAuthFlag = {
  'compat-auth-file': { kind: 'string', value: 'FILE', doc: 'Credential file of docker, in place of that of podman' },
} as const satisfies Flags

export const loginFlags = {
  username: { kind: 'string', short: 'u', value: 'NAME', doc: 'User name' },
  password: { kind: 'string', short: 'p', value: 'PASSWORD', doc: 'Password (seen by others on this machine: prefer --password-stdin)' },
  'password-stdin': { kind: 'boolean', doc: 'Read the password from stdin' },
  verbose: { kind: 'boolean', short: 'v', hidden: true, doc: 'Accepted for podman: the file is named anyway' },
  'get-login': { kind: 'boolean', doc: 'Print the user that is logged in' },
  'tls-verify': registryFlags['tls-verify'],
  authfile: registryFlags.authfile,
  ...compatAuthFlag,
  'cert-dir': registryFlags['cert-dir'],
} as const satisfies Flags

export const logoutFlags = {
  all: { kind: 'boolean', short: 'a', doc: 'Log out of every registry' },
  authfile: registryFlags.authfile,
  ...compatAuthFlag,
  'tls-verify': { kind: 'boolean', hidden: true, doc: 'Accepted for skopeo: no registry is asked' },
} as const satisfies Flags

export const remoteFlags = { ...registryFlags, json: { kind: 'boolean', doc: 'Print JSON' } } as const satisfies Flags

export const retriedFlags = { ...remoteFlags, ...retryFlags } as const satisfies Flags

export const syncFlags = {
  src: { kind: 'string', short: 's', value: 'TRANSPORT', choices: ['docker', 'dir', 'yaml'], doc: 'What SOURCE is' },
  dest: { kind: 'string', short: 'd', value: 'TRANSPORT', choices: ['docker', 'dir'], doc: 'What TARGET is' },
  scoped: { kind: 'boolean', doc: 'Keep the whole path of the source in the target, not only its last part' },
  all: { kind: 'boolean', short: 'a', doc: 'Copy every platform of an index (default; --all=false: the one of this machine)' },
  'dry-run': { kind: 'boolean', doc: 'Print what would be copied, and with --prune deleted' },
  state: {
    kind: 'string',
    value: 'FILE',
    doc: 'Remember in this file what is where: what has not changed then costs one request at the source and none at the target, which nobody else may change',
  },
  plan: {
    kind: 'string',
    value: 'FILE',
    doc: 'Write what would be done to this file (- prints it), with manifests, blobs, bytes, mounts and deletions, and do nothing',
  },
  apply: { kind: 'string', value: 'FILE', doc: 'Do what the plan in this file says, and fail for an image that has moved since' },
  watch: { kind: 'string', value: 'TIME', doc: 'Sync again and again, with this time between, such as 1h' },
  jitter: { kind: 'string', value: 'TIME', doc: 'With --watch: up to so much longer, at random (default a tenth)' },
  metrics: { kind: 'string', value: 'FILE', doc: 'Write what became of the run as metrics, for the textfile collector of Prometheus' },
  prune: { kind: 'boolean', doc: 'Delete tags of the target’s repositories that the source does not have' },
  'prune-limit': { kind: 'number', value: 'N', doc: 'How many may be deleted at once (default 20): more is a failure, and nothing is' },
  'keep-going': { kind: 'boolean', doc: 'Go on with the others when an image fails' },
  'append-suffix': { kind: 'string', value: 'TEXT', doc: 'Add to each name in the target' },
  format: { kind: 'string', short: 'f', value: 'oci|v2s2', choices: ['oci', 'docker', 'v2s2'], doc: 'Convert the manifests' },
  'preserve-digests': { kind: 'boolean', doc: 'Fail where the bytes of a manifest would change' },
  'remove-signatures': { kind: 'boolean', hidden: true, doc: 'Accepted for skopeo; signatures are copied with --referrers only' },
  referrers: { kind: 'boolean', doc: 'Copy signatures and attestations that refer to the images' },
  digestfile: { kind: 'string', value: 'FILE', doc: 'Write a line for each image, its digest and its place in the target' },
  json: { kind: 'boolean', doc: 'Print what became of each image as JSON' },
  ...sideFlags,
  ...quietFlag,
} as const satisfies Flags

const signing = 'Sign what was mirrored with stave sign, or while one image is copied with stave copy --sign-by.'
const absentSyncFlags = {
  '--sign-by': signing,
  '--sign-by-sigstore': signing,
  '--sign-by-sigstore-private-key': signing,
  '--sign-by-sq-fingerprint': signing,
  '--sign-passphrase-file': signing,
}

export const authExplainFlags = {
  check: { kind: 'boolean', doc: 'Ask the registry, too, whether it takes them' },
  ...remoteFlags,
} as const satisfies Flags
export const configExplainFlags = { ...remoteFlags, 'signature-policy': trustFlags['signature-policy'] } as const satisfies Flags

export const registryCommands: readonly Command[] = [
  command({
    name: 'login',
    group: 'Registries',
    summary: 'Store credentials for a registry',
    operands: '[REGISTRY]',
    most: 1,
    flags: loginFlags,
    examples: [{ command: 'stave login -u ci --password-stdin ghcr.io < token', doc: 'In a pipeline' }],
    load: () => import('./login.ts'),
  }),
  command({
    name: 'logout',
    group: 'Registries',
    summary: 'Remove credentials',
    operands: '[REGISTRY]',
    most: 1,
    flags: logoutFlags,
    examples: [{ command: 'stave logout ghcr.io', doc: 'Of one registry' }],
    load: () => import('./logout.ts'),
  }),
  command({
    name: 'auth',
    group: 'Registries',
    summary: 'Say which credentials are used',
    operands: 'COMMAND',
    flags: {},
    examples: [],
    commands: [
      command({
        name: 'auth explain',
        group: 'Registries',
        summary: 'Say which credentials are used for a name, and where they are looked for',
        description: 'No secret is shown. Programs that keep credentials are asked; the registry is only with --check.',
        operands: 'NAME',
        least: 1,
        most: 1,
        flags: authExplainFlags,
        examples: [{ command: 'stave auth explain ghcr.io/acme/web', doc: 'Each file, with what it has for it' }],
        load: () => import('./explain.ts').then(({ explainAuth }) => ({ run: explainAuth })),
      }),
    ],
  }),
  command({
    name: 'config',
    group: 'Registries',
    summary: 'Say what decides how a registry is reached',
    operands: 'COMMAND',
    flags: {},
    examples: [],
    commands: [
      command({
        name: 'config explain',
        group: 'Registries',
        summary: 'Say which mirrors, TLS, proxy, credentials and policy a name is reached with, and by which files',
        description: 'Nothing is sent, and no secret is shown.',
        operands: 'NAME',
        least: 1,
        most: 1,
        flags: configExplainFlags,
        examples: [{ command: 'stave config explain docker.io/library/debian:12', doc: 'In the order in which they are asked' }],
        load: () => import('./explain.ts').then(({ explainConfig }) => ({ run: explainConfig })),
      }),
    ],
  }),
  command({
    name: 'list-tags',
    group: 'Registries',
    summary: 'List the tags of a repository',
    operands: 'docker://NAME',
    least: 1,
    most: 1,
    flags: retriedFlags,
    examples: [{ command: 'stave list-tags docker://docker.io/library/debian', doc: 'As skopeo prints them' }],
    load: () => import('./list-tags.ts'),
  }),
  command({
    name: 'sync',
    group: 'Registries',
    summary: 'Mirror repositories and directories of images',
    description:
      'Copies all images of SOURCE to TARGET, several at a time, and leaves alone what is there already. SOURCE is a repository (all its tags) or an image of a registry, a directory with images as dir: writes them, or a list of registries in YAML. TARGET is a registry, with or without a path below it, or a directory. Neither has a transport before it. A blob that several repositories of a registry lack is uploaded once, and mounted into the others. The exit status is 0 only if everything is there.',
    operands: 'SOURCE TARGET',
    most: 2,
    flags: syncFlags,
    absent: absentSyncFlags,
    examples: [
      { command: 'stave sync --src docker --dest docker quay.io/acme/web registry.example/acme', doc: 'All tags of a repository' },
      { command: 'stave sync --src yaml --dest dir --scoped images.yml /media/usb', doc: 'What a list names, onto a disk' },
      {
        command: 'stave sync --src docker --dest docker --state web.state --prune quay.io/acme/web registry.example/acme',
        doc: 'Every hour: what is gone at the source is gone here, and what has not changed costs a HEAD',
      },
      {
        command: 'stave sync --src docker --dest docker --plan web.plan quay.io/acme/web registry.example/acme',
        doc: 'What would be moved: to be read, and then done with stave sync --apply web.plan',
      },
      {
        command: 'stave sync --src dir --dest docker --scoped --keep-going /media/usb registry.example',
        doc: 'And from there into a registry',
      },
    ],
    load: () => import('./sync.ts'),
  }),
  command({
    name: 'delete',
    group: 'Registries',
    summary: 'Delete an image from a registry',
    operands: 'docker://NAME',
    least: 1,
    most: 1,
    flags: retriedFlags,
    absent: {
      '--daemon-host': 'Images of a Docker daemon are deleted with docker rmi.',
      '--shared-blob-dir': 'Images are deleted from registries: a layout is removed with its directory.',
    },
    examples: [{ command: 'stave delete docker://localhost:5000/web:old', doc: 'The manifest that the tag names' }],
    load: () => import('./delete.ts'),
  }),
  command({
    name: 'manifest-digest',
    group: 'Registries',
    summary: 'Print the digest of a manifest in a file',
    operands: 'FILE',
    least: 1,
    most: 1,
    flags: {},
    examples: [{ command: 'stave manifest-digest web/manifest.json', doc: 'Of what stave copy … dir:web wrote' }],
    load: () => import('./manifest-digest.ts'),
  }),
  serveCommand,
]
