import type { Flags } from '../command.ts'
import { buildFlags } from './flags.ts'

const accepted = (doc: string) => ({ kind: 'boolean', hidden: true, doc: `Accepted for kaniko: ${doc}` }) as const
const acceptedValue = (doc: string) => ({ kind: 'list', hidden: true, value: 'VALUE', doc: `Accepted for kaniko: ${doc}` }) as const

/** The words of kaniko's executor. */
export const kanikoFlags = {
  context: {
    kind: 'string',
    short: 'c',
    value: 'WHERE',
    doc: 'dir://PATH, tar://FILE, tar://stdin, git://HOST/REPO[#REF], https://…, or a path (default /workspace)',
  },
  git: {
    kind: 'list',
    value: 'K=V',
    doc: 'Of a git context: branch=NAME, recurse-submodules=false',
  },
  'context-sub-path': { kind: 'string', value: 'PATH', doc: 'Directory of the context to use' },
  dockerfile: { kind: 'string', short: 'f', value: 'FILE', doc: 'Dockerfile (default Dockerfile of the context)' },
  destination: { kind: 'list', short: 'd', value: 'NAME', doc: 'Name to push the result to' },
  'build-arg': buildFlags['build-arg'],
  target: buildFlags.target,
  label: buildFlags.label,
  annotation: buildFlags.annotation,
  secret: buildFlags.secret,
  'custom-platform': { kind: 'string', value: 'OS/ARCH', doc: 'Platform to build for', aliases: ['customPlatform'] },
  'digest-file': { kind: 'string', value: 'FILE', doc: 'Write the digest to a file' },
  'image-name-with-digest-file': { kind: 'string', value: 'FILE', doc: 'Write NAME@DIGEST to a file' },
  'image-name-tag-with-digest-file': { kind: 'string', value: 'FILE', doc: 'Write NAME:TAG@DIGEST to a file' },
  'no-push': { kind: 'boolean', doc: 'Build only' },
  'no-push-cache': { kind: 'boolean', doc: 'Read the cache repository, but do not write it' },
  'tar-path': { kind: 'string', value: 'FILE', doc: 'Also write a docker-archive', aliases: ['tarPath'] },
  'oci-layout-path': { kind: 'string', value: 'DIR', doc: 'Also write an OCI layout' },
  cache: { kind: 'boolean', doc: 'Use the cache repository' },
  'cache-repo': { kind: 'string', value: 'NAME|oci:DIR', doc: 'Repository, or OCI layout, for cached layers (default DESTINATION/cache)' },
  'cache-ttl': { kind: 'string', value: 'DURATION', doc: 'Take from the cache only what was made within this time' },
  reproducible: { kind: 'boolean', doc: 'Times are 0: the same input gives the same digest' },
  'single-snapshot': { kind: 'boolean', doc: 'One layer for what the build adds' },
  compression: { kind: 'string', value: 'KIND', choices: ['gzip', 'zstd'], doc: 'Compression of new layers' },
  'compression-level': { kind: 'number', value: 'N', doc: 'Level of that' },
  insecure: { kind: 'boolean', doc: 'Push by plain HTTP or without verifying' },
  'insecure-pull': { kind: 'boolean', doc: 'Pull by plain HTTP or without verifying' },
  'skip-tls-verify': { kind: 'boolean', doc: 'Do not verify certificates when pushing' },
  'skip-tls-verify-pull': { kind: 'boolean', doc: 'Do not verify certificates when pulling' },
  'insecure-registry': { kind: 'list', value: 'HOST', doc: 'Registry that is spoken to by plain HTTP or without verifying' },
  'skip-tls-verify-registry': { kind: 'list', value: 'HOST', doc: 'Registry whose certificate is not verified' },
  'registry-mirror': { kind: 'list', value: 'HOST', doc: 'Mirror of Docker Hub, asked first' },
  'registry-map': { kind: 'list', value: 'FROM=TO;…', doc: 'Mirrors of registries, asked first' },
  'push-retry': { kind: 'number', value: 'N', doc: 'How often a request is tried again' },
  verbosity: { kind: 'string', short: 'v', value: 'LEVEL', doc: 'error and fatal show no progress' },
  'cache-dir': acceptedValue('base images are kept in the store'),
  'cache-copy-layers': accepted('every layer is cached'),
  'cache-run-layers': accepted('every layer is cached'),
  'compressed-caching': accepted('layers are compressed once'),
  cleanup: accepted('nothing is left behind'),
  force: accepted('a build never touches its own root'),
  'ignore-path': acceptedValue('the file system of the build is not this one'),
  'ignore-var-run': accepted('the file system of the build is not this one'),
  'snapshot-mode': acceptedValue('changes are seen by the file system itself'),
  snapshotMode: acceptedValue('changes are seen by the file system itself'),
  'use-new-run': accepted('changes are seen by the file system itself'),
  'skip-unused-stages': accepted('stages that nothing needs are never built'),
  'skip-push-permission-check': accepted('the push itself says it'),
  'push-ignore-immutable-tag-errors': accepted('a tag that has this digest is no error'),
  'image-download-retry': acceptedValue('see --push-retry'),
  'image-fs-extract-retry': acceptedValue('see --push-retry'),
  'log-format': acceptedValue('there are plain lines'),
  'log-timestamp': accepted('there are plain lines'),
  'kaniko-dir': acceptedValue('see --root'),
  'preserve-context': accepted('a build never changes its context'),
  materialize: accepted('the file system of the build is not this one'),
} as const satisfies Flags

const certificates = 'Put ca.crt, client.cert and client.key into /etc/containers/certs.d/HOST.'

/** What kaniko has and this has in another way. */
export const absentKanikoFlags = {
  '--registry-certificate': certificates,
  '--registry-client-cert': certificates,
  '--skip-default-registry-fallback': 'Block the registry in registries.conf: then only its mirrors are asked.',
  '--credential-helpers': 'Credential helpers are named in ~/.docker/config.json.',
  '--bucket': 'Fetch the context first, and use dir:// or tar://.',
} as const
