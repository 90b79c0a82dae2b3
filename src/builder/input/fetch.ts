import { layout, pathOf } from '#store/layout.ts'
import type { Context } from '#context.ts'
import type { Bytes } from '#image/content.ts'
import type { Digest } from '#oci/digest.ts'
import type { Place } from '#runner/protocol.ts'
import type { Store } from '#store/store.ts'
import type { Session } from '../session.ts'
import type { Download } from '../solved.ts'
import type { FetchOp, Step } from '../plan/step.ts'
import { createHash } from 'node:crypto'
import { createWriteStream, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { STATUS_CODES } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { placed, StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { digestAlgorithm, digestHex, digestOf, isDigest, parseDigest } from '#oci/digest.ts'
import { redactUrl, splitUserinfo } from '#text/url.ts'
import { httpAuthorization } from './authorization.ts'
import { get, type HttpAnswer, type HttpRequest } from './http.ts'

/** A file that was received, in a temporary place of the store. */
export interface Received extends AsyncDisposable {
  readonly file: Place & { readonly path: string }
  readonly digest: Digest
  readonly size: number
  readonly dispose: () => Promise<void>
}

export interface Downloaded extends Received {
  readonly etag: string | undefined
  readonly lastModified: string | undefined
}

/**
 * Writes a stream to a temporary file of the store.
 *
 * @param what for messages: what is received
 * @throws StaveError `too-large` past `most` bytes
 */
export async function receive(store: Store, bytes: Bytes, what: string, most: number = limit.downloadBytes): Promise<Received> {
  const file = await store.blobs.temporary()
  const dispose = (): Promise<void> => store.blobs.discard(file)
  const hash = createHash('sha256')
  let size = 0
  try {
    await pipeline(
      bytes,
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          size += chunk.length
          if (size > most) throw new StaveError('too-large', `cannot receive ${what}: it has more than ${most} bytes`)
          hash.update(chunk)
          yield chunk
        }
      },
      createWriteStream(pathOf(store, file.path), { flags: 'wx', mode: 0o600 }),
    )
  } catch (error) {
    await dispose()
    throw error
  }
  return { file, digest: parseDigest(`sha256:${hash.digest('hex')}`), size, dispose, [Symbol.asyncDispose]: dispose }
}

/** Downloads what a Dockerfile or the command line names, into a temporary file of the store. */
export async function download(cx: Context, store: Store, request: HttpRequest, most?: number): Promise<Downloaded> {
  const answer = await get(cx, request)
  if (answer.status === 304) {
    throw new StaveError(
      'network',
      `cannot download ${redactUrl(request.url)}: the server says that it has not changed, without being asked`,
    )
  }
  return body(store, request.url, answer, most)
}

async function body(store: Store, url: string, answer: HttpAnswer, most?: number): Promise<Downloaded> {
  const shown = redactUrl(url)
  const { status, headers } = answer
  if (status < 200 || status >= 300) {
    await answer.discard()
    throw new StaveError(status === 404 ? 'not-found' : 'network', `cannot download ${shown}: the server answered ${statusText(status)}`)
  }
  try {
    const received = await receive(store, answer.body, shown, most)
    return { ...received, etag: headers['etag'], lastModified: headers['last-modified'] }
  } catch (error) {
    throw error instanceof StaveError ? error : new StaveError('network', `cannot download ${shown}`, { cause: error })
  }
}

function statusText(status: number): string {
  return `${status} ${STATUS_CODES[status] ?? ''}`.trimEnd()
}

/** What is remembered of a URL, so that an unchanged file is not downloaded again. */
interface Remembered {
  readonly digest: Digest
  readonly size: number
  readonly etag?: string
  readonly lastModified?: string
}

/** What a download needs of a build. */
type Fetching = Pick<Session, 'store' | 'secrets' | 'contexts' | 'options' | 'materials'>

/** ADD of a URL. The file is kept as a blob, and asked for again with its ETag. */
export async function fetchUrl(cx: Context, session: Fetching, step: Step, op: FetchOp): Promise<Download> {
  const found = await fetched(cx, session, step, op)
  session.materials.set(step.id, { uri: redactUrl(op.url), digest: { [digestAlgorithm(found.digest)]: digestHex(found.digest) } })
  return found
}

async function fetched(cx: Context, session: Omit<Fetching, 'materials'>, step: Step, op: FetchOp): Promise<Download> {
  const { store } = session
  if (op.checksum !== undefined && !isDigest(op.checksum)) {
    throw new StaveError(
      'dockerfile',
      `cannot use --checksum=${op.checksum}: it is not a digest`,
      step.span === undefined ? {} : { span: step.span },
    )
  }
  const note = pathOf(store, layout.download(digestHex(digestOf(op.url))))
  const known = await readNote(store, note)
  if (known !== undefined && op.checksum === known.digest) return asDownload(store, known)
  const validators: Record<string, string> = {
    ...(known?.etag !== undefined && { 'if-none-match': known.etag }),
    ...(known?.lastModified !== undefined && { 'if-modified-since': known.lastModified }),
  }
  try {
    const { url } = splitUserinfo(op.url)
    const authorization = httpAuthorization(
      cx,
      session.secrets,
      op.isForeign ? { ...session.contexts.trust, isLocal: false } : session.contexts.trust,
      op.url,
    )
    const answer = await get(cx, { url, headers: validators, authorization, proxy: session.options.proxy })
    if (answer.status === 304 && known !== undefined) {
      await answer.discard()
      return asDownload(store, known)
    }
    const received = await body(store, op.url, answer)
    const { digest, size, etag, lastModified } = received
    if (op.checksum !== undefined && !(await matches(store, received, op.checksum))) {
      await received.dispose()
      throw new StaveError(
        'digest-mismatch',
        `cannot use ${redactUrl(op.url)}: its digest is ${digest}, and --checksum says ${op.checksum}`,
      )
    }
    await store.blobs.adopt(received.file, digest, size)
    const remembered: Remembered = {
      digest,
      size,
      ...(etag !== undefined && { etag }),
      ...(lastModified !== undefined && { lastModified }),
    }
    mkdirSync(pathOf(store, layout.downloads), { recursive: true })
    writeFileSync(`${note}.${process.pid}`, JSON.stringify(remembered))
    renameSync(`${note}.${process.pid}`, note)
    return asDownload(store, remembered)
  } catch (error) {
    throw placed(error, step.span)
  }
}

async function matches(store: Store, received: Received, checksum: string): Promise<boolean> {
  if (received.digest === checksum) return true
  if (!checksum.startsWith('sha512:')) return false
  const hash = createHash('sha512')
  const { createReadStream } = await import('node:fs')
  await pipeline(createReadStream(pathOf(store, received.file.path)), hash)
  return `sha512:${hash.digest('hex')}` === checksum
}

async function readNote(store: Store, path: string): Promise<Remembered | undefined> {
  try {
    const note = JSON.parse(readFileSync(path, 'utf8')) as Remembered
    return (await store.blobs.has(parseDigest(note.digest), note.size)) ? note : undefined
  } catch {
    // None yet, or not whole: then it is downloaded.
    return undefined
  }
}

function asDownload(store: Store, { digest, lastModified }: Remembered): Download {
  const mtime = lastModified === undefined ? Number.NaN : Date.parse(lastModified)
  return { kind: 'file', file: store.blobs.place(digest), digest, mtime: Number.isNaN(mtime) ? undefined : Math.floor(mtime / 1000) }
}
