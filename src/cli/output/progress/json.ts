import type { Renderer } from './renderer.ts'

/** Each event as one line of JSON, with the time it was reported. */
export function jsonRenderer(out: NodeJS.WritableStream): Renderer {
  return {
    render: (event) => void out.write(`${JSON.stringify({ ...event, time: new Date().toISOString() })}\n`),
    async end() {},
  }
}
