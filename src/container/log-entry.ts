/** The formats of a container's log, each a line an entry: Docker's json-file, and that of Kubernetes (CRI). */

export interface LogEntry {
  readonly stream: 'stdout' | 'stderr'
  /** RFC 3339, with nanoseconds. */
  readonly time: string
  /** With its newline; a very long line comes in pieces, and only the last has one. */
  readonly text: string
  /** What was written, where that is no text. */
  readonly bytes?: Buffer
}

/** Reads one entry. @returns undefined for what is none: a line that a killed monitor did not finish */
export function parseEntry(line: Buffer): LogEntry | undefined {
  return line[0] === 0x7b ? parseJson(line) : parseKubernetes(line)
}

function parseJson(line: Buffer): LogEntry | undefined {
  let value: unknown
  try {
    value = JSON.parse(line.toString())
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { log, stream, time, bytes } = value as Record<string, unknown>
  if (typeof log !== 'string' || typeof time !== 'string') return undefined
  const raw = typeof bytes === 'string' ? { bytes: Buffer.from(bytes, 'base64') } : {}
  return { text: log, stream: streamOf(stream), time, ...raw }
}

/** `TIME STREAM F|P TEXT`: the last piece of a line, or one before it. */
function parseKubernetes(line: Buffer): LogEntry | undefined {
  const [head, time = '', stream, tag] = /^(\S+) (stdout|stderr) ([FP]) /.exec(line.toString('latin1', 0, 80)) ?? []
  if (head === undefined || Number.isNaN(Date.parse(time))) return undefined
  const bytes = Buffer.concat([line.subarray(head.length), Buffer.from(tag === 'F' ? '\n' : '')])
  const text = bytes.toString()
  return { text, stream: streamOf(stream), time, ...(!Buffer.from(text).equals(bytes) && { bytes }) }
}

function streamOf(word: unknown): LogEntry['stream'] {
  return word === 'stderr' ? 'stderr' : 'stdout'
}
