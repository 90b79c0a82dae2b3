import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import { readWholeFile, replaceFile, withFileErrors } from '#image/file.ts'
import * as limit from '#limit.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import { attach } from '#trust/cosign.ts'
import { defaultTrustPaths } from '#trust/host.ts'
import { privateKey, signPayload } from '#trust/key.ts'
import { lookasideFor, pathOf, readLookasides, readSignatures } from '#trust/lookaside.ts'
import { claimTypes, writeClaim } from '#trust/payload.ts'
import type { Location } from '#places/location.ts'
import type { Places } from '#places/places.ts'
import type { Settings } from '../settings.ts'
import { version } from '../version.ts'
import { gpg } from './gpg.ts'
import { askLookaside, type TrustChoices } from './guard.ts'
import { passphraseOf, readNamed } from './passphrase.ts'

/** What flags say of signatures of what is copied. */
export interface SigningChoices {
  readonly signBy: string | undefined
  readonly sigstoreKey: string | undefined
  readonly passphraseFile: string | undefined
  readonly identity: string | undefined
  /** Those that there are stay behind. */
  readonly isRemoving: boolean
}

export interface SignatureJob {
  readonly from: Location
  readonly to: Location
  readonly places: Places
  readonly settings: Settings
  readonly trust: TrustChoices
  readonly choices: SigningChoices
}

/** The signatures of one copy: made before anything is copied, and put down after it. */
export interface CopiedSignatures {
  /** @throws StaveError where they cannot be made: then nothing was copied */
  prepare(root: Descriptor): Promise<void>
  finish(): Promise<void>
}

/** Where simple signatures of the images of a place are kept. */
interface SignatureStore {
  read(digest: Digest): Promise<readonly Uint8Array[]>
  write?(digest: Digest, signatures: readonly Uint8Array[]): Promise<void>
}

/**
 * Takes along the signatures of GPG that an image has, and adds new ones. A changed image has another digest: what was
 * signed is not what it is now, and no signature is copied.
 *
 * @param source What is copied, before anything is changed of it
 * @see containers-signature(5), containers-registries.d(5)
 */
export async function copySignatures(cx: Context, job: SignatureJob, source: Descriptor): Promise<CopiedSignatures> {
  const { choices, from, to } = job
  const reader = choices.isRemoving ? undefined : await storeOf(cx, job, from)
  const writer = await storeOf(cx, job, to)
  if (choices.signBy !== undefined && writer?.write === undefined) {
    throw new StaveError('unsupported', `cannot sign what is copied: there is no place for signatures beside it`, {
      hint: 'Name a lookaside of the registry in registries.d, or copy to dir:.',
    })
  }
  let made: readonly Uint8Array[] = []
  let root = source
  let attachSigstore = async (): Promise<void> => {}
  return {
    async prepare(changed) {
      root = changed
      // A directory has the signatures of its one image, and does not say of which.
      const isSigned = from.transport !== 'dir' || root.digest === source.digest
      const found = isSigned ? ((await reader?.read(root.digest)) ?? []) : []
      const own = choices.signBy === undefined ? [] : [await signWithGpg(job, root)]
      made = [...found, ...own]
      if (choices.sigstoreKey !== undefined) attachSigstore = await sigstoreSignature(cx, job, root)
    },
    async finish() {
      if (made.length > 0 && writer?.write !== undefined) await writer.write(root.digest, made)
      await attachSigstore()
    },
  }
}

async function signWithGpg({ choices, settings, to }: SignatureJob, { digest }: Descriptor): Promise<Uint8Array> {
  const claim = writeClaim(
    { digest, reference: identityOf(choices, to) },
    claimTypes.gpg,
    `stave ${version}`,
    Math.floor(Date.now() / 1000),
  )
  const file = choices.passphraseFile
  const unlock = file === undefined ? [] : ['--pinentry-mode', 'loopback', '--passphrase-file', resolve(settings.cwd, file)]
  return gpg([...unlock, '--local-user', choices.signBy!, '--sign', '--output', '-'], claim, settings)
}

async function sigstoreSignature(cx: Context, job: SignatureJob, { digest }: Descriptor): Promise<() => Promise<void>> {
  const { choices, settings, to, places } = job
  if (to.transport !== 'docker')
    throw new StaveError('unsupported', 'cannot sign what is copied for sigstore: only images in registries have such signatures')
  const file = choices.sigstoreKey!
  const key = await privateKey((await readNamed(file, settings)).toString(), await passphraseOf(choices.passphraseFile, settings), file)
  const claim = writeClaim(
    { digest, reference: identityOf(choices, to) },
    claimTypes.sigstore,
    `stave ${version}`,
    Math.floor(Date.now() / 1000),
  )
  const signature = signPayload(key, claim)
  return async () => void (await attach(cx, await places.registry(parseReference(to.name)), digest, claim, signature))
}

/** What the image is called in its signature. */
function identityOf({ identity }: SigningChoices, to: Location): string {
  if (identity !== undefined) return formatReference(parseReference(identity))
  if (to.transport === 'docker') return formatReference(parseReference(to.name))
  throw new StaveError('usage', 'cannot sign what is copied: it has no name there', { hint: 'Say with --sign-identity what it is called.' })
}

async function storeOf(cx: Context, { trust, settings }: SignatureJob, location: Location): Promise<SignatureStore | undefined> {
  if (location.transport === 'dir') return directoryStore(resolve(settings.cwd, location.path))
  if (location.transport !== 'docker') return undefined
  const { registriesD } = defaultTrustPaths(settings.env, settings, {
    ...(trust['registries.d'] !== undefined && { registriesD: resolve(settings.cwd, trust['registries.d']) }),
  })
  const reference = parseReference(location.name)
  const { read, write } = lookasideFor(await readLookasides(registriesD), reference)
  const ask = askLookaside(settings)
  return {
    read: async (digest) => (read === undefined ? [] : readSignatures(cx, read, reference, digest, ask)),
    ...(write?.startsWith('file:') && {
      write: (digest: Digest, signatures: readonly Uint8Array[]) =>
        writeNumbered(join(fileURLToPath(write), pathOf(reference, digest), 'signature-'), signatures),
    }),
  }
}

/** skopeo's `dir:` has the signatures of its one image beside it. */
function directoryStore(path: string): SignatureStore {
  return {
    async read() {
      const found: Uint8Array[] = []
      while (found.length < limit.signatures) {
        const file = join(path, `signature-${found.length + 1}`)
        const bytes = await readWholeFile(file, limit.signatureBytes).catch((error: unknown) => {
          if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
          throw error
        })
        if (bytes === undefined) return found
        found.push(bytes)
      }
      return found
    },
    write: (_digest, signatures) => writeNumbered(join(path, 'signature-'), signatures),
  }
}

async function writeNumbered(prefix: string, signatures: readonly Uint8Array[]): Promise<void> {
  await withFileErrors(`write signatures to ${dirname(prefix)}`, async () => {
    await mkdir(dirname(prefix), { recursive: true })
    for (const [at, signature] of signatures.entries())
      await replaceFile(`${prefix}${at + 1}`, (temporary) => writeFile(temporary, signature))
  })
}
