/** Numbers of a running server, in the words of Prometheus. */
export interface Metrics {
  /** Adds to a counter. */
  count(name: CounterName, labels?: Labels, by?: number): void
  /** One request that was answered. */
  request(request: { readonly method: string; readonly route: string; readonly status: number; readonly seconds: number }): void
  /** Asks for the value of a gauge each time that the numbers are read. */
  gauge(name: string, help: string, read: () => number): void
  /** @see Prometheus, "Exposition formats", the text format 0.0.4 */
  text(): string
}

export type Labels = Readonly<Record<string, string>>
export type CounterName = keyof typeof counters

const counters = {
  stave_registry_received_bytes_total: 'Bytes of blobs and manifests that clients sent.',
  stave_registry_sent_bytes_total: 'Bytes of bodies that were sent to clients.',
  stave_registry_happenings_total: 'What was pushed, pulled, mounted and deleted.',
  stave_registry_collected_total: 'What garbage collection removed.',
  stave_registry_collected_bytes_total: 'Bytes that garbage collection freed.',
  stave_registry_notifications_total: 'Events for webhooks: delivered, failed tries, and dropped because the queue was full.',
  stave_registry_upstream_total:
    'What was asked for of upstream registries: hit (kept here), miss (fetched), stale (kept here, and no upstream answers).',
} as const

/** In seconds: a HEAD takes one of the first, a large layer over a slow line one of the last. */
const buckets = [0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300]
const requestsName = 'stave_registry_requests_total'
const secondsName = 'stave_registry_request_seconds'

interface Histogram {
  readonly counts: number[]
  sum: number
  count: number
}

export function createMetrics(): Metrics {
  const values = new Map<string, Map<string, number>>()
  const histograms = new Map<string, Histogram>()
  const gauges = new Map<string, { readonly help: string; readonly read: () => number }>()

  const add = (name: string, labels: Labels, by: number) => {
    const series = values.get(name) ?? new Map<string, number>()
    values.set(name, series)
    const key = labelText(labels)
    series.set(key, (series.get(key) ?? 0) + by)
  }

  return {
    count: (name, labels = {}, by = 1) => add(name, labels, by),
    request({ method, route, status, seconds }) {
      add(requestsName, { method, route, status: String(status) }, 1)
      const key = labelText({ route })
      const histogram = histograms.get(key) ?? { counts: buckets.map(() => 0), sum: 0, count: 0 }
      histograms.set(key, histogram)
      histogram.sum += seconds
      histogram.count++
      for (const [at, most] of buckets.entries()) if (seconds <= most) histogram.counts[at]!++
    },
    gauge: (name, help, read) => void gauges.set(name, { help, read }),
    text() {
      const lines: string[] = []
      const head = (name: string, help: string, type: string) => lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
      for (const [name, help] of [[requestsName, 'Requests that were answered.'] as const, ...Object.entries(counters)]) {
        const series = values.get(name)
        if (series === undefined) continue
        head(name, help, 'counter')
        for (const [labels, value] of series) lines.push(`${name}${braced(labels)} ${value}`)
      }
      if (histograms.size > 0) head(secondsName, 'Time until a request was answered whole.', 'histogram')
      for (const [labels, { counts, sum, count }] of histograms) {
        for (const [at, most] of buckets.entries()) lines.push(`${secondsName}_bucket{${labels},le="${most}"} ${counts[at]}`)
        lines.push(
          `${secondsName}_bucket{${labels},le="+Inf"} ${count}`,
          `${secondsName}_sum{${labels}} ${sum}`,
          `${secondsName}_count{${labels}} ${count}`,
        )
      }
      for (const [name, { help, read }] of gauges) {
        head(name, help, 'gauge')
        lines.push(`${name} ${read()}`)
      }
      return `${lines.join('\n')}\n`
    },
  }
}

function braced(labels: string): string {
  return labels === '' ? '' : `{${labels}}`
}

function labelText(labels: Labels): string {
  const escaped = (value: string) => value.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`))
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(',')
}
