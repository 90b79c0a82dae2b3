import type { Context } from '#context.ts'
import type { Bytes } from '#image/content.ts'
import type { Digest } from '#oci/digest.ts'
import type { Place } from '#runner/protocol.ts'
import type { Store } from '#store/store.ts'
import type { Session } from '../session.ts'
import type { Download } from '../state.ts'
import type { FetchOp, Step } from '../step.ts'
import { createHash } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { createWriteStream, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { StaveError } from '#error.ts'
import { digestHex, digestOf, isDigest, parseDigest } from '#oci/digest.ts'
import { isPrivateHost, parseAddress } from '#text/address.ts'

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

const maxRedirects = 10

/** Writes a stream to a temporary file of the store. */
export async function receive(store: Store, bytes: Bytes): Promise<Received> {
  const file = await store.blobs.temporary()
  const dispose = (): Promise<void> => store.blobs.discard(file)
  const hash = createHash('sha256')
  let size = 0
  try {
    await pipeline(
      bytes,
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          hash.update(chunk)
          size += chunk.length
          yield chunk
        }
      },
      createWriteStream(join(store.root, file.path), { flags: 'wx', mode: 0o600 }),
    )
  } catch (error) {
    await dispose()
    throw error
  }
  return { file, digest: parseDigest(`sha256:${hash.digest('hex')}`), size, dispose, [Symbol.asyncDispose]: dispose }
}

/**
 * Downloads a URL that a Dockerfile or the command line names. Redirects are followed, but never from a public
 * address to a private one: an answer from the internet must not make this machine ask its own network.
 */
export async function download(cx: Context, store: Store, url: string, proxy: Readonly<Record<string, string>> = {}): Promise<Downloaded> {
  const answer = await request(cx, url, {}, proxy)
  if (answer.status === 304) {
    throw new StaveError('network', `cannot download ${url}: the server says that it has not changed, without being asked`)
  }
  return body(store, url, answer)
}

async function body(store: Store, url: string, answer: Response): Promise<Downloaded> {
  if (answer.body === null) {
    throw new StaveError('network', `cannot download ${url}: the answer is empty`)
  }
  try {
    const received = await receive(store, answer.body)
    return { ...received, etag: answer.headers.get('etag') ?? undefined, lastModified: answer.headers.get('last-modified') ?? undefined }
  } catch (error) {
    throw error instanceof StaveError ? error : new StaveError('network', `cannot download ${url}`, { cause: error })
  }
}

async function request(
  cx: Context,
  start: string,
  headers: Readonly<Record<string, string>>,
  proxy: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const { fetch, EnvHttpProxyAgent } = await import('undici')
  const of = (name: string): string => proxy[name.toLowerCase()] ?? proxy[name] ?? ''
  // A proxy cannot reach what only this machine can.
  const noProxy = [of('NO_PROXY'), 'localhost', '127.0.0.1', '[::1]'].filter((part) => part !== '').join(',')
  // Always given: by itself it would look into the environment.
  const dispatcher = new EnvHttpProxyAgent({ httpProxy: of('HTTP_PROXY'), httpsProxy: of('HTTPS_PROXY'), noProxy })
  let url = new URL(start)
  const origin = url.origin
  const fromPublic = !(await isPrivate(url.hostname))
  for (let redirects = 0; ; redirects++) {
    let answer: Response
    try {
      // Credentials are for the server that was named, not for where it sends us.
      const sent =
        url.origin === origin ? headers : Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'authorization'))
      answer = await fetch(url, {
        headers: { 'accept-encoding': 'identity', 'user-agent': 'stave', ...sent },
        redirect: 'manual',
        signal: cx.signal,
        dispatcher,
      })
    } catch (error) {
      cx.signal.throwIfAborted()
      throw new StaveError('network', `cannot download ${start}`, { cause: (error as Error).cause ?? error })
    }
    if (answer.status === 304 || answer.ok) {
      return answer
    }
    const location = answer.headers.get('location')
    await answer.body?.cancel()
    if (answer.status < 300 || answer.status >= 400 || location === null) {
      throw new StaveError(
        answer.status === 404 ? 'not-found' : 'network',
        `cannot download ${start}: the server answered ${answer.status} ${answer.statusText}`,
      )
    }
    if (redirects === maxRedirects) {
      throw new StaveError('network', `cannot download ${start}: more than ${maxRedirects} redirects`)
    }
    const next = new URL(location, url)
    if (next.protocol !== 'http:' && next.protocol !== 'https:') {
      throw new StaveError('network', `cannot download ${start}: it redirects to ${next.protocol}`)
    }
    if (url.protocol === 'https:' && next.protocol === 'http:') {
      throw new StaveError('network', `cannot download ${start}: it redirects from https to ${next.href}`)
    }
    if (fromPublic && (await isPrivate(next.hostname))) {
      throw new StaveError('denied', `cannot download ${start}: it redirects to ${next.host}, an address of this machine or its network`)
    }
    url = next
  }
}

async function isPrivate(hostname: string): Promise<boolean> {
  if (isPrivateHost(hostname)) return true
  if (parseAddress(hostname) !== undefined) return false
  try {
    const addresses = await lookup(hostname, { all: true })
    return addresses.some(({ address }) => isPrivateHost(address))
  } catch {
    // Behind a proxy names need not resolve here; the request itself will tell.
    return false
  }
}

/** What is remembered of a URL, so that an unchanged file is not downloaded again. */
interface Remembered {
  readonly digest: Digest
  readonly size: number
  readonly etag?: string
  readonly lastModified?: string
}

/** ADD of a URL. The file is kept as a blob, and asked for again with its ETag. */
export async function fetchUrl(cx: Context, session: Session, step: Step, op: FetchOp): Promise<Download> {
  const { store } = session
  if (op.checksum !== undefined && !isDigest(op.checksum)) {
    throw new StaveError(
      'dockerfile',
      `cannot use --checksum=${op.checksum}: it is not a digest`,
      step.span === undefined ? {} : { span: step.span },
    )
  }
  const note = join(store.root, 'cache/http', `${digestHex(digestOf(op.url))}.json`)
  const known = await readNote(store, note)
  if (known !== undefined && op.checksum === known.digest) {
    return asDownload(store, known)
  }
  const headers = authorization(session, op.url)
  const validators: Record<string, string> = {
    ...(known?.etag === undefined ? {} : { 'if-none-match': known.etag }),
    ...(known?.lastModified === undefined ? {} : { 'if-modified-since': known.lastModified }),
  }
  try {
    const answer = await request(cx, op.url, { ...headers, ...validators }, session.options.proxy)
    if (answer.status === 304 && known !== undefined) {
      return asDownload(store, known)
    }
    const received = await body(store, op.url, answer)
    const { digest, size, etag, lastModified } = received
    if (op.checksum !== undefined && !(await matches(store, received, op.checksum))) {
      await received.dispose()
      throw new StaveError('digest-mismatch', `cannot use ${op.url}: its digest is ${digest}, and --checksum says ${op.checksum}`)
    }
    await store.blobs.adopt(received.file, digest, size)
    const remembered: Remembered = {
      digest,
      size,
      ...(etag === undefined ? {} : { etag }),
      ...(lastModified === undefined ? {} : { lastModified }),
    }
    mkdirSync(join(store.root, 'cache/http'), { recursive: true })
    writeFileSync(`${note}.${process.pid}`, JSON.stringify(remembered))
    renameSync(`${note}.${process.pid}`, note)
    return asDownload(store, remembered)
  } catch (error) {
    if (error instanceof StaveError && error.span === undefined && step.span !== undefined && error.code !== 'cancelled') {
      throw new StaveError(error.code, error.message, {
        cause: error.cause,
        span: step.span,
        ...(error.hint === undefined ? {} : { hint: error.hint }),
      })
    }
    throw error
  }
}

async function matches(store: Store, received: Received, checksum: string): Promise<boolean> {
  if (received.digest === checksum) {
    return true
  }
  if (!checksum.startsWith('sha512:')) {
    return false
  }
  const hash = createHash('sha512')
  const { createReadStream } = await import('node:fs')
  await pipeline(createReadStream(join(store.root, received.file.path)), hash)
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

/** HTTP_AUTH_TOKEN_<host> and HTTP_AUTH_HEADER_<host>, as BuildKit names these secrets. */
function authorization(session: Session, url: string): Record<string, string> {
  const { host } = new URL(url)
  const header = session.secrets.get(`HTTP_AUTH_HEADER_${host}`, false, undefined)
  if (header !== undefined) {
    return { authorization: Buffer.from(header).toString().trim() }
  }
  const token = session.secrets.get(`HTTP_AUTH_TOKEN_${host}`, false, undefined)
  return token === undefined ? {} : { authorization: `Bearer ${Buffer.from(token).toString().trim()}` }
}
