import { command, type Flags } from '../command.ts'
import { quietFlag, registryFlags } from '../shared-flags.ts'

const listenFlags = {
  host: { kind: 'string', value: 'ADDRESS', doc: 'Address to listen on (default 127.0.0.1)' },
  port: { kind: 'number', short: 'p', value: 'PORT', doc: 'Port to listen on (default 5000; 0 takes a free one)' },
  directory: { kind: 'string', short: 'd', value: 'DIR', doc: 'Where content is kept (default registry/ in the store)' },
  'allowed-host': {
    kind: 'list',
    value: 'NAME',
    doc: 'Answer only to this host name and to loopback ones, as behind a proxy that passes its own name on (again for more)',
  },
  'tls-cert': { kind: 'string', value: 'FILE', doc: 'Certificate: serve HTTPS' },
  'tls-key': { kind: 'string', value: 'FILE', doc: 'Its key' },
  'tls-client-ca': { kind: 'string', value: 'FILE', doc: 'Let in only clients with a certificate of this authority' },
} as const satisfies Flags

const rightFlags = {
  'read-only': { kind: 'boolean', doc: 'Refuse all writes' },
  sparse: { kind: 'boolean', doc: 'Take manifests whose blobs or images are not there' },
  htpasswd: { kind: 'string', value: 'FILE', doc: 'Ask for user and password: a file that htpasswd -B wrote' },
  tokens: { kind: 'boolean', doc: 'With --htpasswd: hand out tokens for them, at /token' },
  'token-realm': { kind: 'string', value: 'URL', doc: 'Ask for a token of this token server' },
  'token-service': { kind: 'string', value: 'NAME', doc: 'What this registry is called there' },
  'token-issuer': { kind: 'string', value: 'NAME', doc: 'What the token server calls itself in its tokens' },
  'token-keys': {
    kind: 'string',
    value: 'FILE',
    doc: 'What it signs them with: public keys or certificates in PEM, or a JSON Web Key Set',
  },
  quota: { kind: 'string', value: 'SIZE', doc: 'The most that is kept, such as 100g: content that repositories share counts once' },
  'repository-quota': { kind: 'string', value: 'SIZE', doc: 'The most that is kept for each repository' },
} as const satisfies Flags

const upstreamFlags = {
  upstream: {
    kind: 'list',
    value: '[PREFIX=]REGISTRY[/PATH]',
    doc: 'Fetch what is asked for from this registry, and keep it: all repositories, or those below PREFIX. Several of one prefix are asked in turn',
  },
  authfile: {
    ...registryFlags.authfile,
    doc: 'Credential file for upstreams (default $REGISTRY_AUTH_FILE, then the ones of podman and docker)',
  },
  'tls-verify': { ...registryFlags['tls-verify'], doc: 'Require HTTPS of upstreams and verify their certificates (default)' },
  'cert-dir': { ...registryFlags['cert-dir'], doc: 'Directory with *.crt, *.cert and *.key for upstreams' },
} as const satisfies Flags

const collectFlags = {
  gc: { kind: 'boolean', doc: 'Collect garbage in the directory, which nobody may serve meanwhile, and end' },
  'dry-run': { kind: 'boolean', doc: 'With --gc: say what would be removed' },
  'gc-every': { kind: 'string', value: 'TIME', doc: 'Collect garbage while serving, so often (such as 24h)' },
  'gc-after': { kind: 'string', value: 'TIME', doc: 'How long blobs that no manifest mentions are kept (default 1h)' },
  'gc-untagged': {
    kind: 'string',
    value: 'TIME',
    doc: 'How long manifests are kept that have no tag and that no other mentions (default: always)',
  },
  'gc-uploads': { kind: 'string', value: 'TIME', doc: 'How long uploads are kept that nothing was added to (default 168h)' },
} as const satisfies Flags

const webhookFlags = {
  webhook: {
    kind: 'list',
    value: 'URL',
    doc: 'Tell this address what is pushed, pulled, mounted and deleted, as distribution’s notifications do',
  },
  'webhook-headers': { kind: 'string', value: 'FILE', doc: 'Header fields for webhooks, a line each, such as Authorization: Bearer …' },
  'webhook-events': {
    kind: 'list',
    value: 'ACTION',
    choices: ['push', 'pull', 'mount', 'delete'],
    doc: 'Tell these alone (again for more; default all)',
  },
} as const satisfies Flags

export const serveFlags = {
  ...listenFlags,
  ...rightFlags,
  ...upstreamFlags,
  ...collectFlags,
  ...webhookFlags,
  ...quietFlag,
} as const satisfies Flags

export const serveCommand = command({
  name: 'serve',
  group: 'Registries',
  summary: 'Run a registry over a directory',
  description:
    'Serves the distribution specification from a directory, to which one process at a time may write. `/metrics` has numbers for Prometheus, for those whom the registry lets in. What an upstream has and this registry keeps is also there when the upstream is not.',
  operands: '',
  most: 0,
  flags: serveFlags,
  examples: [
    { command: 'stave serve --port 5000', doc: 'On loopback, until Ctrl-C' },
    { command: 'stave serve --allowed-host registry.example.com', doc: 'Behind a proxy on this machine' },
    { command: 'stave serve --gc-every 24h --gc-untagged 336h --quota 500g', doc: 'With a daily clean-up, and an end to what is kept' },
    { command: 'stave serve --gc --gc-untagged 0 --gc-after 0 --dry-run', doc: 'What could be removed while nobody serves' },
    {
      command: 'stave serve --upstream docker.io=docker.io --upstream ghcr.io=ghcr.io',
      doc: 'A cache: localhost:5000/docker.io/library/debian is Docker Hub’s',
    },
    {
      command:
        'stave serve --token-realm https://auth.example.com/token --token-service registry.example.com --token-issuer auth.example.com --token-keys auth.pem',
      doc: 'With a token server of one’s own',
    },
  ],
  load: () => import('./serve.ts'),
})
