import { StaveError } from '#error.ts'
import type { Event, ShownEvent } from '#event.ts'
import { clean, formatError } from './error-text.ts'
import type { Renderer } from './progress/renderer.ts'

export type ProgressMode = 'auto' | 'plain' | 'tty' | 'json' | 'quiet'

/** Where a command speaks: results on stdout, all else on stderr. */
export interface Report {
  /** A line of the result. */
  print(line: string): void
  /** A JSON document as the result. */
  json(value: unknown): void
  /** Bytes of the result, as they are. */
  write(chunk: string | Uint8Array): void
  /** A message that is no result. */
  note(line: string): void
  event(event: Event): void
  /** Chooses how progress is shown, and where (default: stderr); before the first event. */
  mode(mode: ProgressMode, out?: NodeJS.WritableStream): void
  error(error: unknown): void
  /** Ends live output and waits for it: before the process ends, or before a container takes the terminal. */
  settle(): Promise<void>
  readonly isTerminal: boolean
  readonly columns: number
  readonly color: boolean
}

export interface ReportOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly isCi: boolean
  readonly debug: boolean
}

export function createReport(options: ReportOptions): Report {
  const hasColors = process.stderr.isTTY && options.env.TERM !== 'dumb' && !options.isCi
  // One without a size (script(1) in a pipe) has no lines to draw over.
  const isTerminal = hasColors && process.stderr.columns > 0
  const color = (options.env.FORCE_COLOR ?? '') !== '' || (hasColors && !options.env.NO_COLOR)
  let mode: ProgressMode = 'auto'
  let out: NodeJS.WritableStream = process.stderr
  let renderer: Promise<Renderer> | Renderer | undefined
  let queue: ShownEvent[] = []

  // The renderer is loaded with the first event, and late ones wait for it in order.
  const load = async (): Promise<Renderer> => {
    const chosen = mode === 'auto' ? (isTerminal ? 'tty' : 'plain') : mode
    if (chosen === 'json') return (await import('./progress/json.ts')).jsonRenderer(out)
    if (chosen === 'tty') return (await import('./progress/tty.ts')).ttyRenderer({ out: process.stderr, color })
    return (await import('./progress/plain.ts')).plainRenderer({ out, color: color && out === process.stderr, quiet: chosen === 'quiet' })
  }
  const drain = (ready: Renderer) => {
    renderer = ready
    for (const event of queue) ready.render(event)
    queue = []
  }
  return {
    print: (line) => void process.stdout.write(`${forScreen(line, process.stdout)}\n`),
    json: (value) => void process.stdout.write(`${forScreen(JSON.stringify(value, undefined, 2), process.stdout)}\n`),
    write: (chunk) => void process.stdout.write(chunk),
    note: (line) => void process.stderr.write(`${forScreen(line, process.stderr)}\n`),
    event(event) {
      if (event.type === 'debug') {
        if (options.debug) process.stderr.write(`debug: ${forScreen(event.message, process.stderr)}\n`)
        return
      }
      if (renderer !== undefined && 'render' in renderer) return renderer.render(event)
      queue.push(event)
      if (renderer === undefined) {
        const loading = load()
        renderer = loading
        void loading.then(drain)
      }
    },
    mode(chosen, to = process.stderr) {
      mode = chosen
      out = to
    },
    error(error) {
      process.stderr.write(`${formatError(error, { color, debug: options.debug, cwd: process.cwd() })}\n`)
    },
    async settle() {
      if (renderer === undefined) return
      const ready = await renderer
      drain(ready)
      await ready.end()
    },
    isTerminal,
    columns: process.stderr.columns || 80,
    color,
  }
}

/** Names, labels and the like may steer a terminal; a file or another program gets them as they are. */
function forScreen(text: string, to: NodeJS.WriteStream): string {
  return to.isTTY ? clean(text) : text
}

/** The exit status that an error stands for. `ownFailure`: of a command that ends with its container's status otherwise. */
export function exitCodeOf(error: unknown, ownFailure?: number): number {
  if (!(error instanceof StaveError)) return ownFailure ?? 1
  if (error.code === 'cancelled') return 130
  return error.exitCode > 2 ? error.exitCode : (ownFailure ?? error.exitCode)
}
