import { command, type Command, type Flags } from '../command.ts'
import { formatFlags, placeFlags, platformFlag, quietFlag, registryFlags, sideFlags, trustFlags } from '../shared-flags.ts'

export const pullFlags = {
  ...platformFlag,
  'all-platforms': { kind: 'boolean', doc: 'Take every platform of an index' },
  'all-tags': { kind: 'boolean', short: 'a', doc: 'Pull every tag of the repository' },
  policy: {
    kind: 'string',
    value: 'POLICY',
    choices: ['always', 'missing', 'newer', 'never'],
    doc: 'When to ask the registry (default always)',
  },
  'disable-content-trust': { kind: 'boolean', hidden: true, doc: 'Accepted for docker, where it is the default' },
  ...quietFlag,
  ...registryFlags,
  ...trustFlags,
} as const satisfies Flags

export const pushFlags = {
  platform: { kind: 'list', value: 'OS/ARCH', doc: 'Push only these platforms of an index: of several, a smaller index is made' },
  sparse: { kind: 'boolean', doc: 'With several of --platform: the index as it is, mentioning what is not pushed' },
  'all-tags': { kind: 'boolean', short: 'a', doc: 'Push every tag of the repository' },
  digestfile: { kind: 'string', value: 'FILE', doc: 'Write the digest to a file' },
  format: { kind: 'string', short: 'f', value: 'oci|docker', choices: ['oci', 'docker', 'v2s2'], doc: 'Convert the manifest' },
  'compression-format': {
    kind: 'string',
    value: 'KIND',
    choices: ['gzip', 'zstd'],
    doc: 'Compress all layers so: manifests get other digests',
  },
  'compression-level': { kind: 'number', value: 'N', doc: 'How hard: 0 to 9 for gzip, 0 to 22 for zstd' },
  'disable-content-trust': { kind: 'boolean', hidden: true, doc: 'Accepted for docker, where it is the default' },
  'remove-signatures': { kind: 'boolean', hidden: true, doc: 'Accepted for podman; signatures are not pushed' },
  ...quietFlag,
  ...registryFlags,
} as const satisfies Flags

export const imagesFlags = {
  all: { kind: 'boolean', short: 'a', hidden: true, doc: 'Accepted: build steps are not images here' },
  digests: { kind: 'boolean', doc: 'Show digests' },
  'no-trunc': { kind: 'boolean', doc: 'Show whole IDs' },
  filter: {
    kind: 'list',
    short: 'f',
    value: 'K=V',
    doc: 'reference=PATTERN, label=K[=V], dangling=true, before=IMAGE, since=IMAGE, until=24h',
  },
  sort: {
    kind: 'string',
    value: 'COLUMN',
    choices: ['created', 'id', 'repository', 'size', 'tag'],
    doc: 'Order (default created, the newest first)',
  },
  quiet: { kind: 'boolean', short: 'q', doc: 'Show IDs alone' },
  noheading: { kind: 'boolean', short: 'n', doc: 'Leave the heading out' },
  ...formatFlags,
} as const satisfies Flags

export const rmiFlags = {
  force: { kind: 'boolean', short: 'f', doc: 'Remove also with several names, and containers of it' },
  all: { kind: 'boolean', short: 'a', doc: 'Remove every image' },
  ignore: { kind: 'boolean', short: 'i', doc: 'An image that is not there is no error' },
  prune: { kind: 'boolean', hidden: true, doc: 'Accepted for buildah' },
} as const satisfies Flags

export const historyFlags = {
  'no-trunc': { kind: 'boolean', doc: 'Show whole lines' },
  human: { kind: 'boolean', short: 'H', doc: 'Sizes and times for people (default)' },
  quiet: { kind: 'boolean', short: 'q', doc: 'Show IDs alone' },
  ...formatFlags,
} as const satisfies Flags

export const inspectFlags = {
  ...platformFlag,
  type: { kind: 'string', value: 'KIND', choices: ['image', 'container', 'volume', 'all'], doc: 'What NAME is, where it could be both' },
  format: { kind: 'string', short: 'f', value: 'TEMPLATE', doc: 'Go template such as {{.Config.Env}} or {{json .}}' },
  remote: { kind: 'boolean', doc: 'Look in registries, as if docker:// stood before NAME' },
  raw: { kind: 'boolean', doc: 'The manifest exactly as it is stored (places with a transport)' },
  config: { kind: 'boolean', doc: 'The config in place of the summary (places with a transport)' },
  'no-tags': { kind: 'boolean', short: 'n', doc: 'Leave the list of tags out' },
  size: { kind: 'boolean', short: 's', hidden: true, doc: 'Accepted for docker' },
  'override-arch': { kind: 'string', hidden: true, value: 'ARCH', doc: 'skopeo: architecture to take from an index' },
  'override-os': { kind: 'string', hidden: true, value: 'OS', doc: 'skopeo: operating system to take from an index' },
  'override-variant': { kind: 'string', hidden: true, value: 'VARIANT', doc: 'skopeo: variant to take from an index' },
  ...placeFlags,
} as const satisfies Flags

export const saveFlags = {
  output: { kind: 'string', short: 'o', value: 'FILE', doc: 'File to write (default stdout)' },
  format: {
    kind: 'string',
    value: 'FORMAT',
    choices: ['docker-archive', 'oci-archive', 'oci-dir'],
    doc: 'Default docker-archive, which holds an OCI layout too',
  },
  'multi-image-archive': { kind: 'boolean', short: 'm', hidden: true, doc: 'Accepted for podman: an archive holds any number of images' },
  ...platformFlag,
  ...quietFlag,
} as const satisfies Flags

export const loadFlags = {
  input: { kind: 'string', short: 'i', value: 'FILE', doc: 'File to read (default stdin)' },
  ...platformFlag,
  ...quietFlag,
} as const satisfies Flags

export const importFlags = {
  change: { kind: 'list', short: 'c', value: 'INSTRUCTION', doc: 'Dockerfile instruction for the config, such as CMD ["sh"]' },
  message: { kind: 'string', short: 'm', value: 'TEXT', doc: 'Comment in the history' },
  platform: { kind: 'string', value: 'OS/ARCH', doc: 'Platform of the result (default this machine)' },
  ...quietFlag,
} as const satisfies Flags

export const copyFlags = {
  all: { kind: 'boolean', short: 'a', doc: 'Copy every platform of an index (default)' },
  platform: { kind: 'list', value: 'OS/ARCH', doc: 'Copy only these platforms of an index: of several, a smaller index is made' },
  sparse: { kind: 'boolean', doc: 'With several of --platform: the index as it is, mentioning what is not copied' },
  'multi-arch': { kind: 'string', value: 'WHICH', choices: ['all', 'system', 'index-only'], doc: 'skopeo: what to copy of an index' },
  'override-arch': { kind: 'string', hidden: true, value: 'ARCH', doc: 'skopeo: architecture to take from an index' },
  'override-os': { kind: 'string', hidden: true, value: 'OS', doc: 'skopeo: operating system to take from an index' },
  'override-variant': { kind: 'string', hidden: true, value: 'VARIANT', doc: 'skopeo: variant to take from an index' },
  'additional-tag': { kind: 'list', value: 'NAME', doc: 'More names in the target' },
  format: { kind: 'string', short: 'f', value: 'oci|v2s2', choices: ['oci', 'docker', 'v2s2'], doc: 'Convert the manifest' },
  'dest-compress': { kind: 'boolean', doc: 'Compress layers that are not compressed, with gzip or what --dest-compress-format says' },
  'dest-compress-format': {
    kind: 'string',
    value: 'KIND',
    choices: ['gzip', 'zstd'],
    doc: 'Compress all layers so: manifests get other digests, images keep their IDs',
  },
  'dest-compress-level': { kind: 'number', value: 'N', doc: 'How hard: 0 to 9 for gzip, 0 to 22 for zstd' },
  'dest-force-compress-format': {
    kind: 'boolean',
    hidden: true,
    doc: 'Accepted for skopeo: what --dest-compress-format says is true of all layers anyway',
  },
  'dest-precompute-digests': {
    kind: 'boolean',
    hidden: true,
    doc: 'Accepted for skopeo: digests are known before anything is sent, so what is there is not sent',
  },
  'dest-oci-accept-uncompressed-layers': {
    kind: 'boolean',
    hidden: true,
    doc: 'Accepted for skopeo: layers stay as they are unless --dest-compress is given',
  },
  'dest-decompress': { kind: 'boolean', doc: 'Decompress all layers' },
  'preserve-digests': { kind: 'boolean', doc: 'Fail where the bytes of a manifest would change' },
  referrers: { kind: 'boolean', doc: 'Copy signatures and attestations that refer to it' },
  'digest-tags': { kind: 'boolean', doc: 'Copy tags that are made of its digests: signatures and attestations of cosign' },
  'remove-signatures': { kind: 'boolean', doc: 'Leave signatures of GPG behind, which else go along where the target can keep them' },
  'sign-by': { kind: 'string', value: 'KEY', doc: 'Sign with a key of gpg: into the lookaside of the registry, or dir:' },
  'sign-by-sigstore-private-key': { kind: 'string', value: 'FILE', doc: 'Sign for sigstore with the key in this file, as stave sign does' },
  'sign-passphrase-file': { kind: 'string', value: 'FILE', doc: 'Passphrase of the key' },
  'sign-identity': {
    kind: 'string',
    value: 'REFERENCE',
    doc: 'What the image is called in the signature (default its name in the target)',
  },
  'no-clobber': { kind: 'boolean', short: 'n', doc: 'Fail if the name is in the target already' },
  'src-shared-blob-dir': { kind: 'string', value: 'DIR', doc: 'Where the blobs of a layout that is read are, if not in it' },
  'dest-shared-blob-dir': { kind: 'string', value: 'DIR', doc: 'Where the blobs of a layout that is written go, if not into it' },
  'src-daemon-host': {
    kind: 'string',
    value: 'HOST',
    doc: 'The Docker daemon of a source docker-daemon:NAME (default $DOCKER_HOST, then /var/run/docker.sock)',
  },
  'dest-daemon-host': { kind: 'string', value: 'HOST', doc: 'The Docker daemon of a target docker-daemon:NAME' },
  'if-changed': { kind: 'boolean', hidden: true, doc: 'Accepted: what is there already is never copied' },
  fast: { kind: 'boolean', hidden: true, doc: 'Accepted for regctl: what is there already costs one request at each end' },
  'image-parallel-copies': { kind: 'number', value: 'N', doc: 'How many layers at a time (default 4)' },
  digestfile: { kind: 'string', value: 'FILE', doc: 'Write the digest to a file' },
  ...sideFlags,
  ...quietFlag,
} as const satisfies Flags

/** skopeo's flags of `copy` that are not here, with what to do instead. */
const notOffered = {
  '--sign-by-sq-fingerprint': 'Sign with --sign-by, or --sign-by-sigstore-private-key.',
  '--sign-by-sigstore': 'Sign with --sign-by-sigstore-private-key.',
  '--encryption-key': 'Layers are not encrypted here.',
  '--encrypt-layer': 'Layers are not encrypted here.',
  '--decryption-key': 'Encrypted layers are copied as they are.',
}

export const tagFlags = registryFlags

export const imageCommands: readonly Command[] = [
  command({
    name: 'pull',
    group: 'Images',
    summary: 'Fetch an image from a registry',
    description:
      'Fetches an image from a registry into the store. Of registries.conf, mirrors, locations, blocked and insecure registries are heeded; a name without a registry is Docker Hub’s, whatever search registries and aliases it has.',
    operands: 'NAME...',
    least: 1,
    flags: pullFlags,
    examples: [
      { command: 'stave pull debian:bookworm', doc: 'From the default registry' },
      { command: 'stave pull --platform linux/arm64 ghcr.io/acme/web@sha256:…', doc: 'One platform, by digest' },
    ],
    load: () => import('./pull.ts'),
  }),
  command({
    name: 'push',
    group: 'Images',
    summary: 'Send an image to a registry',
    operands: 'NAME [TARGET]',
    least: 1,
    most: 2,
    flags: pushFlags,
    examples: [
      { command: 'stave push ghcr.io/acme/web:1.2', doc: 'Under its own name' },
      { command: 'stave push web docker://localhost:5000/web', doc: 'Under another name' },
    ],
    load: () => import('./push.ts'),
  }),
  command({
    name: 'images',
    aliases: ['ls'],
    group: 'Images',
    summary: 'List images',
    operands: '[NAME]',
    most: 1,
    flags: imagesFlags,
    examples: [
      { command: 'stave images', doc: 'All of them' },
      { command: "stave images --format '{{.Repository}}:{{.Tag}} {{.Size}}'", doc: 'Chosen columns' },
    ],
    load: () => import('./images.ts'),
  }),
  command({
    name: 'rmi',
    group: 'Images',
    summary: 'Remove images',
    operands: 'NAME...',
    flags: rmiFlags,
    examples: [{ command: 'stave rmi web:old', doc: 'Remove a name, and what nothing else needs' }],
    load: () => import('./rmi.ts'),
  }),
  command({
    name: 'tag',
    group: 'Images',
    summary: 'Give an image another name',
    description:
      'Gives what a name stands for more names, in the store, or with docker:// in the repository of a registry, where nothing is sent but the manifest.',
    operands: 'NAME NEW...',
    least: 2,
    flags: tagFlags,
    examples: [
      { command: 'stave tag web ghcr.io/acme/web:1.2', doc: 'Name it for a push' },
      { command: 'stave tag docker://ghcr.io/acme/web:1.2 stable latest', doc: 'In the registry' },
    ],
    load: () => import('./tag.ts'),
  }),
  command({
    name: 'untag',
    group: 'Images',
    summary: 'Remove names, and keep the image',
    description:
      'Removes names, and keeps the image under its digest: in the store, or with docker:// in a registry, also in one that can delete nothing but manifests.',
    operands: 'NAME [TAG...]',
    least: 1,
    flags: tagFlags,
    examples: [
      { command: 'stave untag ghcr.io/acme/web:1.2', doc: 'Drop a name' },
      { command: 'stave untag docker://ghcr.io/acme/web:1.2', doc: 'The tag alone; stave delete deletes its manifest' },
    ],
    load: () => import('./untag.ts'),
  }),
  command({
    name: 'history',
    group: 'Images',
    summary: 'Show how an image was made',
    operands: 'NAME',
    least: 1,
    most: 1,
    flags: historyFlags,
    examples: [{ command: 'stave history --no-trunc web', doc: 'With whole lines' }],
    load: () => import('./history.ts'),
  }),
  command({
    name: 'inspect',
    group: 'Images',
    summary: 'Show an image, container, or what lies in a registry',
    description:
      'For a name in the store: what docker inspect prints. For a place with a transport (docker://, oci:, …): what skopeo inspect prints.',
    operands: 'NAME...',
    least: 1,
    flags: inspectFlags,
    examples: [
      { command: "stave inspect --format '{{json .Config.Env}}' web", doc: 'One field' },
      { command: 'stave inspect --raw docker://docker.io/library/debian:12', doc: 'The manifest in a registry' },
    ],
    load: () => import('./inspect.ts'),
  }),
  command({
    name: 'save',
    group: 'Images',
    summary: 'Write images to an archive',
    operands: 'NAME...',
    least: 1,
    flags: saveFlags,
    absent: {
      '--compress': 'Layers are saved as they are compressed now.',
      '--uncompressed': 'Write stave copy --dest-decompress NAME docker-archive:FILE.',
    },
    examples: [{ command: 'stave save -o web.tar web:1.2 web:1.1', doc: 'Two images in one archive' }],
    load: () => import('./save.ts'),
  }),
  command({
    name: 'load',
    group: 'Images',
    summary: 'Read images from an archive',
    operands: '',
    most: 0,
    flags: loadFlags,
    examples: [{ command: 'stave load < web.tar', doc: 'What docker save, podman save or stave save wrote' }],
    load: () => import('./load.ts'),
  }),
  command({
    name: 'import',
    group: 'Images',
    summary: 'Make an image of a root file system in a tar',
    operands: 'FILE|- [NAME]',
    least: 1,
    most: 2,
    flags: importFlags,
    examples: [{ command: 'stave import -c \'CMD ["bash"]\' rootfs.tar debian:bookworm', doc: 'What mmdebstrap made' }],
    load: () => import('./import.ts'),
  }),
  command({
    name: 'copy',
    group: 'Images',
    summary: 'Copy an image between two places',
    description:
      'Copies an image, or a whole index, from one place to another. A place is docker://NAME, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], dir:DIR, docker-daemon:NAME (a Docker daemon, if there is one; else the local store), containers-storage:NAME or a bare name (the local store).',
    operands: 'SOURCE TARGET',
    least: 2,
    most: 2,
    flags: copyFlags,
    absent: notOffered,
    examples: [
      {
        command: 'stave copy docker://docker.io/library/debian:12 docker://registry.example/debian:12',
        doc: 'Registry to registry, all platforms',
      },
      { command: 'stave copy docker://ghcr.io/acme/web oci:web:latest', doc: 'Into an OCI layout' },
    ],
    load: () => import('./copy.ts'),
  }),
]
