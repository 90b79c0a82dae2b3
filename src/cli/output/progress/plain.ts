import { clean } from '../error-text.ts'
import { formatDuration, type Renderer } from './renderer.ts'

/**
 * A line for each thing that happens, for logs: `#3 [build 2/4] RUN make`, its output as `#3 …`, `#3 done 1.2s`.
 * `quiet` shows warnings alone.
 */
export function plainRenderer(options: { out: NodeJS.WritableStream; color: boolean; quiet: boolean }): Renderer {
  const { out } = options
  const numbers = new Map<string, number>()
  const partial = new Map<string, string>()
  const number = (id: string) => {
    if (!numbers.has(id)) numbers.set(id, numbers.size + 1)
    return `#${numbers.get(id)}`
  }
  const line = (text: string) => out.write(`${text}\n`)
  const log = (id: string, text: string) => {
    const lines = ((partial.get(id) ?? '') + text).split('\n')
    partial.set(id, lines.pop() ?? '')
    for (const one of lines) line(`${number(id)} ${clean(one.replace(/\r$/, '').split('\r').at(-1) ?? '')}`)
  }
  return {
    render(event) {
      if (event.type === 'warning') {
        const where = event.file === undefined ? '' : `${event.file}${event.line === undefined ? '' : `:${event.line}`}: `
        line(`warning: ${where}${clean(event.message)}`)
        if (event.hint) line(`  hint: ${clean(event.hint)}`)
        return
      }
      if (options.quiet || event.type === 'status') return
      if (event.type === 'log') return log(event.id, event.text)
      if (event.state === 'started') {
        // Parts of a step (the layers of a pull) are worth a line only when they are over.
        if (event.parent === undefined) line(`${number(event.id)} ${clean(event.title)}`)
        return
      }
      if ((partial.get(event.id) ?? '') !== '') log(event.id, '\n')
      const took = event.durationMs === undefined ? '' : ` ${formatDuration(event.durationMs)}`
      const detail = event.detail === undefined ? '' : ` ${clean(event.detail)}`
      if (event.parent !== undefined) return void line(`${number(event.parent)} ${clean(event.title)}: ${event.state}${detail}`)
      if (!numbers.has(event.id)) line(`${number(event.id)} ${clean(event.title)}`)
      line(`${number(event.id)} ${event.state}${took}${detail}`)
    },
    async end() {},
  }
}
