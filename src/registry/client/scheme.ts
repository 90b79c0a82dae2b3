import type { Context } from '#context.ts'
import * as limit from '#limit.ts'
import { bodyOfBytes, readAll, type Response } from './message.ts'
import { addressOf, type Host } from './host.ts'
import { errorCode, isTls, speaksPlainHttp } from './problem.ts'
import { type Call, isStream, type Job, type Send } from './stage.ts'

/**
 * Finds out whether a host speaks http or https, where it may be either, and sends the request in that scheme. It is
 * found out once for a host: by the first request, and while that is under way the others wait.
 */
export function settlingScheme(next: Send): Send {
  return async (cx, job) => {
    const { host } = job
    if (job.url !== undefined || typeof job.call.to !== 'string') return next(cx, job)
    while (host.schemes.length > 1) {
      if (host.settling !== undefined) {
        await host.settling
        continue
      }
      const { promise, resolve } = Promise.withResolvers<void>()
      host.settling = promise
      try {
        // What can be sent only once is no good for trying out.
        const isTrial = !isStream(job.call.body)
        const response = await settle(cx, host, isTrial ? job : { ...job, call: question }, next)
        if (isTrial) return response
        await response.body.discard()
      } finally {
        host.settling = undefined
        resolve()
      }
    }
    return next(cx, job)
  }
}

const question: Call = { method: 'GET', to: '/v2/', scopes: [], expect: [], doing: 'cannot reach the registry' }

/** The answer of the scheme that it is; the others are gone then. */
async function settle(cx: Context, host: Host, job: Job, next: Send): Promise<Response> {
  const [scheme, ...others] = host.schemes
  try {
    const response = await next(cx, job)
    const isTlsWanted = scheme === 'http:' && response.status === 400
    const settled = isTlsWanted ? await unlessTlsWanted(cx, response, job, next) : response
    if (settled !== undefined) {
      host.schemes = [scheme!]
      return settled
    }
  } catch (error) {
    if (!mayBeOtherScheme(addressOf(host, job.call), error)) throw error
  }
  host.schemes = others
  return next(cx, job)
}

function mayBeOtherScheme(url: URL, error: unknown): boolean {
  if (url.protocol === 'https:') return speaksPlainHttp(error) || isTls(error) || ['ECONNREFUSED', 'ECONNRESET'].includes(errorCode(error))
  // A TLS server hangs up on, or answers with an alert to, what is no TLS hello.
  return ['ECONNRESET', 'UND_ERR_SOCKET', 'EPIPE'].includes(errorCode(error)) || errorCode(error).startsWith('HPE_')
}

/** Did a plain request reach a TLS server that says so, as Go's and nginx's do? Else the answer, whole. */
async function unlessTlsWanted(cx: Context, response: Response, job: Job, next: Send): Promise<Response | undefined> {
  // An answer to HEAD has no words.
  if (job.call.method === 'HEAD') {
    const asked = await next(cx, { ...job, call: question })
    return asked.status === 400 && saysTls(await wordsOf(asked)) ? undefined : response
  }
  const bytes = await wordsOf(response)
  return saysTls(bytes) ? undefined : { ...response, body: bodyOfBytes(bytes) }
}

async function wordsOf(response: Response): Promise<Uint8Array> {
  return (await readAll(response.body, limit.plainAnswerBytes)) ?? new Uint8Array()
}

function saysTls(bytes: Uint8Array): boolean {
  return /plain HTTP request|HTTP request to an HTTPS server/i.test(new TextDecoder().decode(bytes))
}
