import type { ServerResponse } from 'node:http'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import type { Fault } from './fault.ts'
import { type FileRange, sendRange } from './send-file.ts'

/** What a handler answers. */
export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string | number | readonly string[] | undefined>>
  readonly body?: Uint8Array | FileRange | Streamed
}

/** Bytes that are still coming. */
export interface Streamed {
  readonly stream: AsyncIterable<Uint8Array>
  readonly length: number
}

/** @see distribution-spec, "Error Codes" */
export type RefusalCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'SIZE_INVALID'
  | 'UNAUTHORIZED'
  | 'DENIED'
  | 'UNSUPPORTED'
  | 'TOOMANYREQUESTS'
  | 'UNKNOWN'

/** A request that is answered with an error. Handlers throw it. */
export class Refusal extends Error {
  readonly status: number
  readonly code: RefusalCode
  readonly headers: Answer['headers']

  constructor(status: number, code: RefusalCode, message: string, headers: Answer['headers'] = {}) {
    super(message)
    this.name = 'Refusal'
    this.status = status
    this.code = code
    this.headers = headers
  }
}

/** The error body of the specification. */
export function refusalAnswer(refusal: Refusal): Answer {
  return jsonAnswer(refusal.status, { errors: [{ code: refusal.code, message: refusal.message }] }, refusal.headers)
}

export function jsonAnswer(status: number, value: unknown, headers: Answer['headers'] = {}): Answer {
  const body = Buffer.from(`${JSON.stringify(value)}\n`)
  return { status, headers: { 'content-type': 'application/json', ...headers }, body }
}

/** Sends an answer, without its body for HEAD, and with a fault if one is due. */
export async function sendAnswer(response: ServerResponse, method: string, answer: Answer, fault: Fault | undefined): Promise<void> {
  const { body } = answer
  const length = body === undefined ? 0 : body.length
  const headers: Record<string, string | number | readonly string[] | undefined> = {
    'docker-distribution-api-version': 'registry/2.0',
    'x-content-type-options': 'nosniff',
    'content-length': answer.status === 204 || answer.status === 304 ? undefined : length,
    ...answer.headers,
  }
  response.statusCode = answer.status
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && !(fault?.dropHeaders ?? []).includes(name)) response.setHeader(name, value)
  if (method === 'HEAD' || body === undefined || length === 0) {
    response.end()
    return
  }
  if (body instanceof Uint8Array && !spoilsBody(fault)) {
    response.end(body)
    return
  }
  if (!(body instanceof Uint8Array) && 'file' in body && !spoilsBody(fault)) return sendRange(response, body)
  const source = body instanceof Uint8Array ? [body] : 'stream' in body ? body.stream : createReadStream(body.file, endsOf(body))
  await pipeline(spoilsBody(fault) ? spoiled(source, fault!, response) : source, response)
}

function endsOf({ start, length }: FileRange): { readonly start: number; readonly end: number } {
  return { start, end: start + length - 1 }
}

function spoilsBody(fault: Fault | undefined): boolean {
  return fault !== undefined && (fault.cutAfter !== undefined || fault.corrupt === true || fault.bytesPerSecond !== undefined)
}

async function* spoiled(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  fault: Fault,
  response: ServerResponse,
): AsyncGenerator<Uint8Array> {
  let sent = 0
  for await (const chunk of source) {
    let bytes = chunk
    if (fault.corrupt === true && sent === 0) {
      bytes = Buffer.from(chunk)
      bytes[0] = bytes[0]! ^ 1
    }
    if (fault.cutAfter !== undefined && sent + bytes.length > fault.cutAfter) {
      yield bytes.subarray(0, fault.cutAfter - sent)
      // What was written has to leave before the connection breaks.
      await new Promise((resolve) => setTimeout(resolve, 20))
      response.destroy()
      return
    }
    if (fault.bytesPerSecond === undefined) yield bytes
    else {
      const step = Math.max(1, Math.floor(fault.bytesPerSecond / 20))
      for (let at = 0; at < bytes.length; at += step) {
        yield bytes.subarray(at, at + step)
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
    sent += bytes.length
  }
}
