import { StaveError } from '#error.ts'
import type { Response } from './message.ts'
import type { Host } from './host.ts'
import { redactUrl } from './problem.ts'
import { mayLeadTo } from './reach.ts'
import { type Call, isStream, type Send } from './stage.ts'

const redirects = 5

/** Follows redirects, without the Authorization field once they lead to another origin. */
export function redirecting(next: Send): Send {
  return async (cx, job) => {
    const { call, host } = job
    let response = await next(cx, job)
    const origin = response.url.origin
    let mayAuthorize = true
    for (let hop = 0; isRedirect(response, call); hop++) {
      const url = await redirectTarget(response, call, host)
      if (hop === redirects) throw new StaveError('registry-problem', `${call.doing}: more than ${redirects} redirects`)
      await response.body.discard()
      // Once on another origin there is no way back to trust: what it redirects to is its choice.
      mayAuthorize &&= url.origin === origin
      response = await next(cx, { ...job, url, authorization: mayAuthorize ? job.authorization : undefined })
    }
    return response
  }
}

function isRedirect(response: Response, call: Call): boolean {
  if (response.headers.location === undefined) return false
  if (call.method === 'GET' || call.method === 'HEAD') return [301, 302, 303, 307, 308].includes(response.status)
  return [307, 308].includes(response.status) && !isStream(call.body)
}

async function redirectTarget(response: Response, call: Call, host: Host): Promise<URL> {
  const target = URL.parse(response.headers.location ?? '', response.url)
  const from = `${call.method} ${redactUrl(response.url)} → ${response.status}`
  if (target === null || (target.protocol !== 'https:' && target.protocol !== 'http:'))
    throw new StaveError('registry-problem', `${call.doing}: the registry redirects to no valid address`, { cause: new Error(from) })
  if (response.url.protocol === 'https:' && target.protocol === 'http:' && !host.isInsecure) {
    throw new StaveError('tls', `${call.doing}: the registry redirects from https to plain http`, {
      cause: new Error(`${from} ${redactUrl(target)}`),
      hint: 'Plain http is used only for registries that registries.conf marks as insecure.',
    })
  }
  if (!(await mayLeadTo(response.url, target))) {
    throw new StaveError('registry-problem', `${call.doing}: the registry redirects to a private address`, {
      cause: new Error(`${from} ${redactUrl(target)}`),
    })
  }
  target.username = ''
  target.password = ''
  return target
}
