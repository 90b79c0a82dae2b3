import type { StepEvent } from '#event.ts'
import type { Ora } from 'ora'
import { clean } from '../error-text.ts'
import { formatBytes, formatDuration, type Renderer } from './renderer.ts'

interface Live {
  readonly title: string
  readonly since: number
  readonly parent: string | undefined
  current?: number
  total?: number | undefined
  unit?: 'bytes' | 'entries' | undefined
  /** The last lines that it wrote. */
  tail: string[]
  partial: string
}

const tailLines = 4
const refreshMs = 80

/** Live progress: what is over scrolls up as one line each, what runs stands below with its last lines of output. */
export function ttyRenderer(options: { out: NodeJS.WriteStream; color: boolean }): Renderer {
  const { out } = options
  const paint = (code: string, text: string) => (options.color ? `\u001B[${code}m${text}\u001B[0m` : text)
  const live = new Map<string, Live>()
  let spinner: Ora | undefined
  let ended = false
  let timer: NodeJS.Timeout | undefined

  // ora costs 60 ms to import: what is over before that needs no spinner.
  const loading = import('ora').then(({ default: ora }) => {
    if (!ended && live.size > 0) start(ora({ stream: out, discardStdin: false, text: picture() }))
    return ora
  })
  const start = (made: Ora) => {
    spinner = made.start()
    timer = setInterval(refresh, refreshMs)
    timer.unref()
  }
  const refresh = () => {
    if (spinner) spinner.text = picture()
  }
  const stop = () => {
    clearInterval(timer)
    spinner?.stop()
    spinner = undefined
  }
  const above = (line: string) => {
    spinner?.clear()
    out.write(`${line}\n`)
    if (spinner) spinner.render()
  }
  const picture = (): string => pictureOf(live, { width: Math.max((out.columns ?? 80) - 4, 20), rows: out.rows ?? 24 }, paint)
  return {
    render(event) {
      switch (event.type) {
        case 'warning': {
          const where = event.file === undefined ? '' : `${event.file}${event.line === undefined ? '' : `:${event.line}`}: `
          above(`${paint('33', 'warning:')} ${where}${clean(event.message)}`)
          if (event.hint) above(`  ${paint('36', 'hint:')} ${clean(event.hint)}`)
          return
        }
        case 'status': {
          const step = live.get(event.id)
          if (step) Object.assign(step, { current: event.current, total: event.total, unit: event.unit })
          return
        }
        case 'log': {
          const step = live.get(event.id)
          if (!step) return
          takeOutput(step, event.text)
          return
        }
        case 'step': {
          if (event.state === 'started') {
            live.set(event.id, { title: clean(event.title), since: performance.now(), parent: event.parent, tail: [], partial: '' })
            if (!spinner) {
              void loading.then(
                (ora) => !ended && !spinner && live.size > 0 && start(ora({ stream: out, discardStdin: false, text: picture() })),
              )
            }
            return
          }
          live.delete(event.id)
          if (event.parent !== undefined) return
          above(lastLine({ ...event, state: event.state }, paint))
          if (live.size === 0) stop()
        }
      }
    },
    async end() {
      ended = true
      stop()
    },
  }
}

type Paint = (code: string, text: string) => string

/** What runs, a line each with its parts and its last lines of output below it, as many as fit. */
function pictureOf(
  live: ReadonlyMap<string, Live>,
  { width, rows }: { readonly width: number; readonly rows: number },
  paint: Paint,
): string {
  const now = performance.now()
  const lines: string[] = []
  for (const [id, step] of live) {
    if (step.parent !== undefined && live.has(step.parent)) continue
    lines.push(cut(`${step.title}${amount(step)}`, width - 8) + paint('2', ` ${formatDuration(now - step.since)}`))
    for (const part of live.values()) if (part.parent === id) lines.push(paint('2', cut(`  ${part.title}${amount(part)}`, width)))
    for (const line of step.tail) lines.push(paint('2', cut(`  ${line}`, width)))
  }
  return lines.slice(0, Math.max(rows - 2, 1)).join('\n  ')
}

/** Keeps the last lines of what a step writes. */
function takeOutput(step: Live, text: string): void {
  const lines = (step.partial + text).split('\n')
  step.partial = lines.pop() ?? ''
  step.tail = [...step.tail, ...lines.map((line) => clean(line.split('\r').at(-1) ?? ''))].slice(-tailLines)
}

/** The line that a step leaves when it is over. */
function lastLine(
  { state, title, detail, durationMs }: StepEvent & { readonly state: Exclude<StepEvent['state'], 'started'> },
  paint: Paint,
): string {
  const mark = { done: paint('32', '✓'), cached: paint('36', '='), failed: paint('31', '✗'), cancelled: paint('33', '-') }[state]
  const took = state === 'cached' ? 'cached' : durationMs === undefined ? '' : formatDuration(durationMs)
  return `${mark} ${clean(title)} ${paint('2', [detail === undefined ? '' : clean(detail), took].filter(Boolean).join(' '))}`.trimEnd()
}

function amount(step: Live): string {
  if (step.current === undefined) return ''
  const show = step.unit === 'entries' ? String : formatBytes
  return step.total === undefined ? ` ${show(step.current)}` : ` ${show(step.current)} / ${show(step.total)}`
}

function cut(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, Math.max(width - 1, 1))}…` : text
}
