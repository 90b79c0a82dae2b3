import { readdir, rm, stat, writeFile } from 'node:fs/promises'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { makeDirectories } from '#directory.ts'
import { StaveError } from '#error.ts'
import type { Source, Target } from '#image/content.ts'
import { readWholeFile, replaceFile, withFileErrors, writeFileVerified } from '#image/file.ts'
import { readAll, verified } from '#image/read.ts'
import * as limit from '#limit.ts'
import type { Descriptor } from '#oci/descriptor.ts'
import { digestHex, digestOf } from '#oci/digest.ts'
import { sniffMediaType } from '#oci/manifest.ts'
import { isManifestOrIndex } from '#oci/media-type.ts'

const versionFile = 'version'
const versionText = 'Directory Transport Version: 1.1\n'
const manifestFile = 'manifest.json'
/** Names of what belongs to an image: its blobs, manifests and signatures. */
const contentPattern = /^(?:[0-9a-f]{64}|[0-9a-f]{128}|signature-\d+)(?:\.manifest\.json)?$/

/**
 * Opens a directory as skopeo's `dir:` writes it: `manifest.json`, and beside it every other blob under the hexadecimal
 * part of its digest; manifests of an index with `.manifest.json` behind that.
 *
 * @see containers-transports(5), "dir:path"
 */
export async function openDirectory(path: string): Promise<Source> {
  await withFileErrors(`open the directory ${path}`, async () => {
    if ((await stat(join(path, manifestFile)).catch(() => undefined)) === undefined)
      throw new StaveError('not-found', `cannot open dir:${path}: there is no file ${manifestFile}`)
  })
  return placeAt(path)
}

/** Makes such a directory, or opens one to replace what it holds. @throws StaveError `conflict` if it holds other things */
export async function createDirectory(path: string): Promise<Target> {
  await withFileErrors(`create the directory ${path}`, async () => {
    makeDirectories(path)
    const names = await readdir(path)
    if (names.length > 0 && !names.includes(versionFile))
      throw new StaveError('conflict', `cannot write dir:${path}: the directory is not empty`, { hint: 'Choose a new or empty directory.' })
    await replaceFile(join(path, versionFile), (temporary) => writeFile(temporary, versionText))
  })
  return placeAt(path)
}

function placeAt(path: string): Target {
  const title = `dir:${path}`
  const fileOf = (what: Descriptor): string =>
    join(path, digestHex(what.digest) + (isManifestOrIndex(what.mediaType) ? '.manifest.json' : ''))
  // The root lies in manifest.json only.
  const find = async (what: Descriptor): Promise<string | undefined> => {
    for (const candidate of [fileOf(what), join(path, manifestFile)]) {
      const found = await stat(candidate).catch(() => undefined)
      if (found === undefined || !found.isFile() || found.size !== what.size) continue
      if (!candidate.endsWith(`/${manifestFile}`)) return candidate
      if (what.size <= limit.manifestBytes && digestOf(await readWholeFile(candidate, limit.manifestBytes)) === what.digest)
        return candidate
    }
    return undefined
  }
  // What a copy asks for or writes is part of the image; the rest is of the one that was here before.
  const used = new Set<string>()
  let named = false
  const place: Target = {
    title,
    async resolve() {
      return withFileErrors(`read ${title}`, async () => {
        const raw = await readWholeFile(join(path, manifestFile), limit.manifestBytes)
        return { mediaType: sniffMediaType(raw), digest: digestOf(raw), size: raw.length }
      })
    },
    async open(_cx, what, from = 0) {
      const file = await find(what)
      if (file === undefined) throw new StaveError('blob-unknown', `cannot read ${what.digest}: ${title} does not have it`)
      const bytes = createReadStream(file, { start: from })
      return from === 0 ? verified(bytes, what, title) : bytes
    },
    async has(_cx, what) {
      used.add(fileOf(what))
      return (await find(what)) !== undefined
    },
    write(cx, what, bytes) {
      used.add(fileOf(what))
      return writeFileVerified(cx, fileOf(what), what, bytes, title)
    },
    async name(cx, root) {
      const raw = await readAll(cx, place, root, limit.manifestBytes)
      await withFileErrors(`write ${title}`, () => replaceFile(join(path, manifestFile), (temporary) => writeFile(temporary, raw)))
      used.delete(fileOf(root))
      named = true
    },
    async finish() {
      if (!named) return
      await withFileErrors(`remove what ${title} had before`, async () => {
        const stale = (await readdir(path)).filter((file) => contentPattern.test(file) && !used.has(join(path, file)))
        for (const file of stale) await rm(join(path, file))
      })
    },
    async [Symbol.asyncDispose]() {},
  }
  return place
}
