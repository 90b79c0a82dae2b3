import { command, type Command, type Flags } from '../command.ts'
import { quietFlag, registryFlags } from '../shared-flags.ts'

export const signFlags = {
  key: { kind: 'string', value: 'FILE', doc: 'Private key: PKCS #8 or SEC 1 in PEM, or as cosign and podman write it' },
  'passphrase-file': { kind: 'string', value: 'FILE', doc: 'Passphrase of the key (default $COSIGN_PASSWORD)' },
  'sign-identity': { kind: 'string', value: 'REFERENCE', doc: 'What the image is called in the signature (default its name)' },
  recursive: { kind: 'boolean', short: 'r', doc: 'Sign each image of an index too' },
  ...quietFlag,
  ...registryFlags,
} as const satisfies Flags

export const verifyFlags = {
  key: { kind: 'list', value: 'FILE', doc: 'Public key in PEM; several: one of them will do' },
  'certificate-authority': { kind: 'string', value: 'FILE', doc: 'In place of a key: authorities of certificates, in PEM' },
  'certificate-email': { kind: 'string', value: 'ADDRESS', doc: 'Whom the certificate must be for' },
  'certificate-oidc-issuer': { kind: 'string', value: 'URL', doc: 'Who must have vouched for that' },
  'rekor-key': { kind: 'list', value: 'FILE', doc: 'Public key of a transparency log that must have the signature' },
  'signed-identity': {
    kind: 'string',
    choices: ['exact', 'repository', 'digest'],
    doc: 'What the signature must name: this very reference, its repository (default), or only the content',
  },
  json: { kind: 'boolean', doc: 'Print what was signed as JSON' },
  ...registryFlags,
} as const satisfies Flags

export const keyFlags = {
  'output-prefix': { kind: 'string', value: 'PREFIX', doc: 'Write PREFIX.private and PREFIX.pub' },
  'passphrase-file': { kind: 'string', value: 'FILE', doc: 'Passphrase for the private key (default: asked for, or $COSIGN_PASSWORD)' },
} as const satisfies Flags

export const standaloneSignFlags = {
  output: { kind: 'string', short: 'o', value: 'FILE', doc: 'Where the signature is written' },
  'passphrase-file': { kind: 'string', value: 'FILE', doc: 'Passphrase of the key' },
} as const satisfies Flags

export const standaloneVerifyFlags = {
  'public-key-file': { kind: 'string', value: 'FILE', doc: 'Keyring to take keys from (default the one of gpg)' },
} as const satisfies Flags

export const trustCommands: readonly Command[] = [
  command({
    name: 'sign',
    group: 'Registries',
    summary: 'Sign an image in a registry, as cosign does',
    operands: 'docker://NAME',
    least: 1,
    most: 1,
    flags: signFlags,
    examples: [
      {
        command: 'stave sign --key release.private docker://registry.example/web:1',
        doc: 'The signature is kept beside the image, as a tag',
      },
    ],
    load: () => import('./sign.ts'),
  }),
  command({
    name: 'verify',
    group: 'Registries',
    summary: 'Verify the signatures of an image in a registry',
    operands: 'docker://NAME',
    least: 1,
    most: 1,
    flags: verifyFlags,
    examples: [{ command: 'stave verify --key release.pub docker://registry.example/web:1', doc: 'Prints the digest that was signed' }],
    load: () => import('./verify.ts'),
  }),
  command({
    name: 'generate-sigstore-key',
    group: 'Registries',
    summary: 'Make a pair of keys to sign images with',
    operands: '',
    most: 0,
    flags: keyFlags,
    examples: [{ command: 'stave generate-sigstore-key --output-prefix release', doc: 'release.private, for stave sign, and release.pub' }],
    load: () => import('./generate-key.ts'),
  }),
  command({
    name: 'standalone-sign',
    group: 'Registries',
    summary: 'Sign a manifest in a file with a key of GPG',
    operands: 'MANIFEST REFERENCE FINGERPRINT',
    least: 3,
    most: 3,
    flags: standaloneSignFlags,
    examples: [
      {
        command: 'stave standalone-sign manifest.json registry.example/web:1 1D8230F6CDB6A06716E414C1DB72F2188BB46CC8 -o sig',
        doc: 'With the keys of gpg',
      },
    ],
    load: () => import('./standalone-sign.ts'),
  }),
  command({
    name: 'standalone-verify',
    group: 'Registries',
    summary: 'Verify a signature of GPG for a manifest in a file',
    operands: 'MANIFEST REFERENCE FINGERPRINT|any SIGNATURE',
    least: 4,
    most: 4,
    flags: standaloneVerifyFlags,
    examples: [
      {
        command: 'stave standalone-verify manifest.json registry.example/web:1 any sig --public-key-file keys.gpg',
        doc: 'By any key of the ring',
      },
    ],
    load: () => import('./standalone-verify.ts'),
  }),
]
