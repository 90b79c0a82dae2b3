import type { Outcome } from './apply.ts'

/** What a run came to. */
export interface RunSummary {
  readonly outcomes: readonly Outcome[]
  /** Repositories whose tags could not be had. */
  readonly failures: number
  readonly deletions: number
  readonly seconds: number
  /** When it ended, in seconds since 1970. */
  readonly endedAt: number
}

/**
 * The run as metrics, for the textfile collector of Prometheus' node exporter.
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */
export function formatMetrics({ outcomes, failures, deletions, seconds, endedAt }: RunSummary): string {
  const states = ['copied', 'present', 'failed', 'skipped'] as const
  const images = states.map((state) => `{state="${state}"} ${outcomes.filter((outcome) => outcome.state === state).length}`)
  const isWhole = failures === 0 && outcomes.every(({ state }) => state === 'copied' || state === 'present')
  const metric = (name: string, help: string, values: readonly string[]): string =>
    [
      `# HELP stave_sync_${name} ${help}`,
      `# TYPE stave_sync_${name} gauge`,
      ...values.map((value) => `stave_sync_${name}${value}`),
      '',
    ].join('\n')
  return [
    metric('images', 'Images of the last run, by what became of them.', images),
    metric('failed_repositories', 'Repositories of the last run whose tags could not be listed.', [` ${failures}`]),
    metric('deleted_tags', 'Tags that the last run deleted.', [` ${deletions}`]),
    metric('success', 'Whether all of the last run succeeded.', [` ${isWhole ? 1 : 0}`]),
    metric('duration_seconds', 'How long the last run took.', [` ${seconds.toFixed(3)}`]),
    metric('end_timestamp_seconds', 'When the last run ended.', [` ${Math.round(endedAt)}`]),
  ].join('')
}
