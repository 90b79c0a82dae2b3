import type { Flags } from './command.ts'

/** For all that talks to a registry. */
export const registryFlags = {
  'tls-verify': {
    kind: 'boolean',
    doc: 'Require HTTPS and verify certificates (default; plain HTTP is used for loopback)',
    aliases: ['src-tls-verify', 'dest-tls-verify'],
  },
  creds: { kind: 'string', value: 'USER[:PASSWORD]', doc: 'Credentials for the registry, in place of stored ones' },
  'no-creds': { kind: 'boolean', doc: 'Use no credentials, though some are stored' },
  'registry-token': { kind: 'string', value: 'TOKEN', doc: 'Bearer token for the registry, in place of credentials' },
  username: { kind: 'string', value: 'NAME', hidden: true, doc: 'skopeo: user for the registry' },
  password: { kind: 'string', value: 'PASSWORD', hidden: true, doc: 'skopeo: password for the registry' },
  authfile: { kind: 'string', value: 'FILE', doc: 'Credential file (default $REGISTRY_AUTH_FILE, then the ones of podman and docker)' },
  'cert-dir': { kind: 'string', value: 'DIR', doc: 'Directory with *.crt, *.cert and *.key for the registry' },
} as const satisfies Flags

export const retryFlags = {
  'retry-times': { kind: 'number', value: 'N', doc: 'How often a request is tried again (default 4)', aliases: ['retry'] },
  'retry-delay': { kind: 'string', value: 'TIME', doc: 'How long to wait before that, such as 2s (default growing, from 0.2s)' },
} as const satisfies Flags

/** For a command that looks at one place, wherever it is. */
export const placeFlags = {
  ...registryFlags,
  ...retryFlags,
  'shared-blob-dir': { kind: 'string', value: 'DIR', doc: 'Where the blobs of an OCI layout are, if not in it' },
  'daemon-host': {
    kind: 'string',
    value: 'HOST',
    doc: 'The Docker daemon of docker-daemon: (default $DOCKER_HOST, then /var/run/docker.sock)',
  },
} as const satisfies Flags

/** For all that brings images here from elsewhere. @see containers-policy.json(5) */
export const trustFlags = {
  'signature-policy': {
    kind: 'string',
    value: 'FILE',
    doc: 'What may be used (default ~/.config/containers/policy.json, then /etc/containers/policy.json)',
  },
  'insecure-policy': { kind: 'boolean', doc: 'Use anything, whatever the policy says' },
  'registries.d': { kind: 'string', value: 'DIR', doc: 'Where it is said where signatures are (default registries.d beside the policy)' },
} as const satisfies Flags

/** The same for commands that have a source and a target. */
export const sideFlags = {
  ...retryFlags,
  'src-creds': { kind: 'string', value: 'USER[:PASSWORD]', doc: 'Credentials for the source', aliases: ['screds'] },
  'dest-creds': { kind: 'string', value: 'USER[:PASSWORD]', doc: 'Credentials for the target', aliases: ['dcreds'] },
  'src-username': { kind: 'string', value: 'NAME', doc: 'User for the source' },
  'src-password': { kind: 'string', value: 'PASSWORD', doc: 'Password for the source (seen by others on this machine)' },
  'dest-username': { kind: 'string', value: 'NAME', doc: 'User for the target' },
  'dest-password': { kind: 'string', value: 'PASSWORD', doc: 'Password for the target (seen by others on this machine)' },
  'src-registry-token': { kind: 'string', value: 'TOKEN', doc: 'Bearer token for the source' },
  'dest-registry-token': { kind: 'string', value: 'TOKEN', doc: 'Bearer token for the target' },
  'src-tls-verify': { kind: 'boolean', doc: 'Verify the certificate of the source' },
  'dest-tls-verify': { kind: 'boolean', doc: 'Verify the certificate of the target' },
  'src-no-creds': { kind: 'boolean', doc: 'Use no credentials for the source' },
  'dest-no-creds': { kind: 'boolean', doc: 'Use no credentials for the target' },
  'src-authfile': { kind: 'string', value: 'FILE', doc: 'Credential file for the source' },
  'dest-authfile': { kind: 'string', value: 'FILE', doc: 'Credential file for the target' },
  'src-cert-dir': { kind: 'string', value: 'DIR', doc: 'Certificates for the source' },
  'dest-cert-dir': { kind: 'string', value: 'DIR', doc: 'Certificates for the target' },
  'tls-verify': { kind: 'boolean', doc: 'Both of --src-tls-verify and --dest-tls-verify' },
  creds: registryFlags.creds,
  'no-creds': registryFlags['no-creds'],
  authfile: registryFlags.authfile,
  'cert-dir': registryFlags['cert-dir'],
  policy: { ...trustFlags['signature-policy'], aliases: ['signature-policy'] },
  'insecure-policy': trustFlags['insecure-policy'],
  'registries.d': trustFlags['registries.d'],
} as const satisfies Flags

export const quietFlag = { quiet: { kind: 'boolean', short: 'q', doc: 'Show no progress' } } as const satisfies Flags

export const platformFlag = {
  platform: { kind: 'string', value: 'OS/ARCH[/VARIANT]', doc: 'Of an image for several platforms, the one to take' },
} as const satisfies Flags

export const formatFlags = {
  format: { kind: 'string', value: 'json|TEMPLATE', doc: 'json, or a template such as {{.ID}}' },
  json: { kind: 'boolean', doc: 'Print JSON' },
} as const satisfies Flags
