import { PassThrough } from 'node:stream'
import { Client, type Dispatcher } from 'undici'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { createDockerArchive, type ArchiveTarget } from './create.ts'
import { openDockerArchive } from './open.ts'
import type { Archive } from './source.ts'

/** A daemon saves and loads for as long as an image is large; that it answers at all is soon clear. */
const connectTimeoutMs = 10_000

/**
 * An image of a Docker daemon, as it saves it: into a temporary file, which goes away with the archive.
 *
 * @param host `unix:///var/run/docker.sock`, `tcp://HOST:PORT`
 * @throws StaveError `not-found`, `network` where no daemon answers, and what {@link openDockerArchive} throws
 * @see Docker Engine API, ImageGet
 */
export async function openDaemonImage(cx: Context, host: string, name: string, temporary: string): Promise<Archive> {
  const client = connect(host)
  try {
    const path = `/images/${name.split('/').map(encodeURIComponent).join('/')}/get`
    const answer = await ask(cx, client, host, { method: 'GET', path })
    if (answer.statusCode !== 200) {
      const why = await problemOf(answer)
      const code = answer.statusCode === 404 || /no such image|reference does not exist/i.test(why) ? 'not-found' : 'io'
      throw new StaveError(code, `cannot read docker-daemon:${name} of ${host}: ${why}`)
    }
    return await openDockerArchive(cx, answer.body, { temporary, title: `docker-daemon:${name}` })
  } finally {
    await client.destroy()
  }
}

/**
 * Images for a Docker daemon, which loads them when they are finished.
 *
 * @throws StaveError `network` where no daemon answers, and from `finish` what the daemon says
 * @see Docker Engine API, ImageLoad
 */
export async function createDaemonImage(cx: Context, host: string, name: string): Promise<ArchiveTarget> {
  const client = connect(host)
  // Before anything is read for it: is there one?
  await textOf(await ask(cx, client, host, { method: 'GET', path: '/_ping' })).catch(async (error: unknown) => {
    await client.destroy()
    throw error
  })
  const body = new PassThrough()
  const archive = await createDockerArchive(body, { title: `docker-daemon:${name}` })
  const loading = ask(cx, client, host, {
    method: 'POST',
    path: '/images/load?quiet=1',
    headers: { 'content-type': 'application/x-tar' },
    body,
  })
  // What it says is read at the end; that it goes away makes the next write fail.
  loading.catch((error: unknown) => body.destroy(error as Error))
  const load = async (): Promise<void> => {
    body.end()
    const answer = await loading
    const why = answer.statusCode === 200 ? loadProblem(await textOf(answer)) : await problemOf(answer)
    if (why !== undefined) throw new StaveError('io', `cannot write docker-daemon:${name} to ${host}: ${why}`)
  }
  return {
    ...archive,
    async finish(inner) {
      await archive.finish(inner)
      await load()
    },
    async [Symbol.asyncDispose]() {
      if (!body.writableEnded) body.destroy()
      await loading.catch(() => undefined)
      await client.destroy()
    },
  }
}

function connect(host: string): Client {
  const options = { connect: { timeout: connectTimeoutMs }, headersTimeout: 0, bodyTimeout: 0 }
  const socket = /^unix:\/\/(\/.+)$/.exec(host)?.[1]
  if (socket !== undefined) return new Client('http://docker', { ...options, connect: { ...options.connect, socketPath: socket } })
  const address = /^(?:tcp|http):\/\/([^/@]+)\/?$/.exec(host)?.[1]
  if (address !== undefined && URL.canParse(`http://${address}`)) return new Client(`http://${address}`, options)
  throw new StaveError('unsupported', `cannot use ${JSON.stringify(host)} as the address of a Docker daemon`, {
    hint: 'Write unix:///PATH or tcp://HOST:PORT. One behind TLS or ssh is reached through a forwarded socket: ssh -L ./docker.sock:/var/run/docker.sock HOST.',
  })
}

async function ask(cx: Context, client: Client, host: string, options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData> {
  try {
    return await client.request({ ...options, signal: cx.signal })
  } catch (cause) {
    cx.signal.throwIfAborted()
    if (cause instanceof StaveError) throw cause
    throw new StaveError('network', `cannot reach a Docker daemon at ${host}`, {
      cause,
      hint: 'Start it, or name another with --daemon-host or $DOCKER_HOST.',
    })
  }
}

async function textOf({ body }: Dispatcher.ResponseData): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    size += chunk.length
    if (size > limit.listBytes) break
  }
  return Buffer.concat(chunks).toString('utf8')
}

async function problemOf(answer: Dispatcher.ResponseData): Promise<string> {
  const text = await textOf(answer)
  return messageIn(text, 'message') ?? `it answers ${answer.statusCode}`
}

/** A stream of JSON, one object a line, of which any may be an error. */
function loadProblem(text: string): string | undefined {
  return text
    .split('\n')
    .map((line) => messageIn(line, 'error'))
    .find((message) => message !== undefined)
}

function messageIn(line: string, key: string): string | undefined {
  try {
    const value = (JSON.parse(line) as Record<string, unknown> | null)?.[key]
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined
  }
}
