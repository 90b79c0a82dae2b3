import type { Authenticator, Realm } from './auth.ts'
import type { Context } from '#context.ts'
import type { Credential } from '../login/credential.ts'
import { addressOf, originOf } from './host.ts'
import type { Endpoint } from './hosts.ts'
import { isStream, type Job, type Send } from './stage.ts'

/** Sends the Authorization field that a host is known to want, and answers its challenges. */
export function authorizing(
  authenticator: Authenticator,
  credentialOf: (cx: Context, endpoint: Endpoint) => Promise<Credential | undefined>,
  next: Send,
): Send {
  const realmOf = ({ host, endpoint }: Job): Realm => ({
    origin: originOf(host),
    registry: endpoint.registry,
    isInsecure: host.isInsecure,
    credential: (cx) => credentialOf(cx, endpoint),
  })
  return async (cx, job) => {
    const { call, host } = job
    const isOwn = (url: URL) => url.host === originOf(host).host
    const mayAuthorize = isOwn(addressOf(host, call))
    let authorization = mayAuthorize ? await authenticator.prepare(cx, realmOf(job), call.scopes) : undefined
    // A second challenge may ask for a scope that the first did not.
    for (let challenges = 0; ; challenges++) {
      const response = await next(cx, { ...job, authorization })
      if (response.status !== 401 || challenges === 2 || !mayAuthorize || !isOwn(response.url)) return response
      const other = await authenticator.answer(cx, realmOf(job), call.scopes, response.headers, authorization)
      // A body that was a stream is gone, but the next call finds the new token.
      if (other === undefined || isStream(call.body)) return response
      await response.body.discard()
      authorization = other
    }
  }
}
