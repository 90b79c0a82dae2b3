import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import * as limit from '#limit.ts'
import { isManifestOrIndex } from '#oci/media-type.ts'
import type { Cause, Happening } from './happening.ts'
import type { Metrics } from './metrics.ts'

/** Where events are sent. */
export interface Webhook {
  readonly url: string
  /** Such as `Authorization`. */
  readonly headers?: Readonly<Record<string, string>>
  /** Default: all. */
  readonly actions?: readonly Happening['action'][]
  /** How long one delivery may take. Default: 10 s. */
  readonly timeoutMs?: number
  /** Between tries, the first time; it doubles, up to a minute. Default: 1 s. */
  readonly firstDelayMs?: number
}

/** Tells webhooks what happens. */
export interface Notifier extends AsyncDisposable {
  tell(happening: Happening, cause: Cause): void
  /** Events that wait, of all webhooks. */
  readonly waiting: number
}

const eventsMediaType = 'application/vnd.docker.distribution.events.v1+json'
const maxDelayMs = 60_000
/** Whoever stops the server does not wait longer for a webhook that does not answer. */
const farewellMs = 2000

/**
 * Sends events in the form of distribution's notifications, each webhook its own, in their order. One that does not answer,
 * or with another status than 2xx or 3xx, is tried again until it does; meanwhile events wait, and when there are too many
 * of them the oldest are dropped.
 *
 * @param warn Told when a webhook begins to fail
 * @see distribution, "Work with notifications"
 */
export function createNotifier(webhooks: readonly Webhook[], metrics: Metrics, warn: (message: string) => void): Notifier {
  const stop = new AbortController()
  const instance = randomUUID()
  const queues = webhooks.map((webhook) => createQueue(webhook, metrics, warn, stop.signal))
  return {
    get waiting() {
      return queues.reduce((sum, queue) => sum + queue.waiting, 0)
    },
    tell(happening, cause) {
      const event = JSON.stringify(eventOf(happening, cause, instance))
      for (const queue of queues) queue.push(happening.action, event)
    },
    async [Symbol.asyncDispose]() {
      const timer = setTimeout(() => stop.abort(), farewellMs)
      await Promise.all(queues.map((queue) => queue.drained()))
      clearTimeout(timer)
      stop.abort()
    },
  }
}

function createQueue(webhook: Webhook, metrics: Metrics, warn: (message: string) => void, signal: AbortSignal) {
  const events: string[] = []
  let sending: Promise<void> | undefined
  // Of a webhook's address, the path and query may be its secret.
  const { host } = new URL(webhook.url)

  async function send(): Promise<void> {
    let delayMs = webhook.firstDelayMs ?? 1000
    for (let failures = 0; events.length > 0 && !signal.aborted;) {
      const batch = new Set(events.slice(0, limit.webhookBatch))
      const problem = await deliver(webhook, [...batch], signal)
      metrics.count('stave_registry_notifications_total', { host, outcome: problem === undefined ? 'delivered' : 'failed' }, batch.size)
      if (problem === undefined) {
        // The first ones may have been dropped meanwhile, to make room.
        while (events.length > 0 && batch.has(events[0]!)) events.shift()
        failures = 0
        delayMs = webhook.firstDelayMs ?? 1000
        continue
      }
      if (failures++ === 0) warn(`the webhook at ${host} does not take events: ${problem}; it is tried again`)
      await sleep(delayMs, undefined, { signal, ref: false }).catch(() => {})
      delayMs = Math.min(delayMs * 2, maxDelayMs)
    }
  }

  return {
    get waiting() {
      return events.length
    },
    push(action: Happening['action'], event: string) {
      if (webhook.actions !== undefined && !webhook.actions.includes(action)) return
      if (events.length >= limit.webhookEvents) {
        events.shift()
        metrics.count('stave_registry_notifications_total', { host, outcome: 'dropped' })
      }
      events.push(event)
      sending ??= send().finally(() => (sending = undefined))
    },
    async drained() {
      await sending
    },
  }
}

/** @returns why it was not taken; undefined if it was */
async function deliver({ url, headers, timeoutMs }: Webhook, events: readonly string[], signal: AbortSignal): Promise<string | undefined> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { ...headers, 'content-type': eventsMediaType },
      body: `{"events":[${events.join(',')}]}`,
      // The headers are for this address alone.
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs ?? 10_000)]),
    })
    await response.body?.cancel()
    return response.status >= 200 && response.status < 400 ? undefined : `it answers ${response.status}`
  } catch (error) {
    const { cause, message } = error as Error
    return cause instanceof Error ? cause.message : message
  }
}

function eventOf(happening: Happening, cause: Cause, instance: string): object {
  const { action, kind, repository, digest, mediaType, size, tag, references, from } = happening
  const isSmall = references !== undefined && references.length <= limit.webhookReferences
  return {
    id: randomUUID(),
    timestamp: new Date().toISOString(),
    action,
    target: {
      mediaType,
      digest,
      size,
      // distribution writes both words for it.
      length: size,
      repository,
      ...(from !== undefined && { fromRepository: from }),
      ...(digest !== undefined && { url: `${cause.origin}/v2/${repository}/${kind}/${digest}` }),
      ...(tag !== undefined && { tag }),
      ...(isSmall && { references: references.map(briefly) }),
    },
    request: { id: randomUUID(), addr: cause.address, host: cause.host, method: cause.method, useragent: cause.userAgent },
    actor: { ...(cause.user !== undefined && { name: cause.user }) },
    source: { addr: cause.host, instanceID: instance },
  }
}

/** Without annotations and embedded data, which may be as large as manifests. */
function briefly({ mediaType, digest, size, platform }: NonNullable<Happening['references']>[number]): object {
  return { mediaType, digest, size, ...(platform !== undefined && isManifestOrIndex(mediaType) && { platform }) }
}
