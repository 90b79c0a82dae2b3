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
  const picture = (): string => {
    const width = Math.max((out.columns ?? 80) - 4, 20)
    const now = performance.now()
    const lines: string[] = []
    for (const [id, step] of live) {
      if (step.parent !== undefined && live.has(step.parent)) continue
      lines.push(cut(`${step.title}${amount(step)}`, width - 8) + paint('2', ` ${formatDuration(now - step.since)}`))
      for (const part of live.values()) if (part.parent === id) lines.push(paint('2', cut(`  ${part.title}${amount(part)}`, width)))
      for (const line of step.tail) lines.push(paint('2', cut(`  ${line}`, width)))
    }
    return lines.slice(0, Math.max((out.rows ?? 24) - 2, 1)).join('\n  ')
  }
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
          const lines = (step.partial + event.text).split('\n')
          step.partial = lines.pop() ?? ''
          step.tail = [...step.tail, ...lines.map((line) => clean(line.split('\r').at(-1) ?? ''))].slice(-tailLines)
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
          const mark = { done: paint('32', '✓'), cached: paint('36', '='), failed: paint('31', '✗'), cancelled: paint('33', '-') }[
            event.state
          ]
          const took = event.state === 'cached' ? 'cached' : event.durationMs === undefined ? '' : formatDuration(event.durationMs)
          above(
            `${mark} ${clean(event.title)} ${paint('2', [event.detail === undefined ? '' : clean(event.detail), took].filter(Boolean).join(' '))}`.trimEnd(),
          )
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

function amount(step: Live): string {
  if (step.current === undefined) return ''
  const show = step.unit === 'entries' ? String : formatBytes
  return step.total === undefined ? ` ${show(step.current)}` : ` ${show(step.current)} / ${show(step.total)}`
}

function cut(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, Math.max(width - 1, 1))}…` : text
}
