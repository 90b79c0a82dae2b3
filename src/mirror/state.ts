import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { StaveError } from '#error.ts'
import { fileError, replaceFile, withFileErrors } from '#image/file.ts'
import * as limit from '#limit.ts'
import { isDigest, type Digest } from '#oci/digest.ts'
import { formatPlace, type Pair } from './plan.ts'

/** What earlier runs have put where: what is known need not be asked of the target. */
export interface MirrorState {
  /** What the target got from this source, if nothing came after it. */
  digestOf(pair: Pair): Digest | undefined
  note(pair: Pair, digest: Digest): Promise<void>
  forget(to: string): Promise<void>
  /** Writes it anew, without what was overtaken. */
  close(): Promise<void>
}

const header = { 'stave-sync-state': 1 }

interface Line {
  readonly to: string
  readonly from: string
  /** Null: it is not there any more. */
  readonly digest: Digest | null
}

/**
 * Opens the file that a mirror keeps its state in; it need not be there. Each change is a line at its end, so a run that is
 * killed leaves all that it did, and at most half a line, which counts for nothing.
 *
 * @throws StaveError `unsupported` for a file of another version, `invalid-document` for what is no such file
 */
export async function openState(path: string): Promise<MirrorState> {
  const known = new Map<string, Line>()
  const text = await read(path)
  const [first, ...lines] = text === undefined ? [] : text.split('\n')
  if (text !== undefined) checkHeader(path, first ?? '')
  else await withFileErrors(`write ${path}`, () => writeFile(path, `${JSON.stringify(header)}\n`, { flag: 'wx' }))
  for (const line of lines) {
    const entry = parse(line)
    if (entry !== undefined) known.set(entry.to, entry)
  }
  const add = async (line: Line): Promise<void> => {
    const before = known.get(line.to)
    if (before?.digest === line.digest && before?.from === line.from) return
    known.set(line.to, line)
    await withFileErrors(`write ${path}`, () => appendFile(path, `${JSON.stringify(line)}\n`))
  }
  // The end of a run that was killed may be half a line: the next begins on a new one.
  if (text !== undefined && !text.endsWith('\n')) await withFileErrors(`write ${path}`, () => appendFile(path, '\n'))
  return {
    digestOf({ from, to }) {
      const entry = known.get(formatPlace(to))
      return entry?.from === formatPlace(from.place) ? (entry.digest ?? undefined) : undefined
    },
    note: ({ from, to }, digest) => add({ to: formatPlace(to), from: formatPlace(from.place), digest }),
    forget: (to) => add({ to, from: '', digest: null }),
    async close() {
      const kept = [...known.values()].filter(({ digest }) => digest !== null)
      const whole = [header, ...kept].map((line) => `${JSON.stringify(line)}\n`).join('')
      await withFileErrors(`write ${path}`, () => replaceFile(path, (temporary) => writeFile(temporary, whole)))
    },
  }
}

async function read(path: string): Promise<string | undefined> {
  try {
    const bytes = await readFile(path)
    if (bytes.length > limit.listBytes) throw new StaveError('too-large', `cannot use ${path}: it has ${bytes.length} bytes`)
    return bytes.toString('utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw fileError(error, `read ${path}`)
  }
}

function checkHeader(path: string, line: string): void {
  const version = tryParse(line)?.['stave-sync-state']
  if (version === 1) return
  if (version === undefined) {
    throw new StaveError('invalid-document', `cannot use ${path}: it is no state of a sync`, {
      hint: 'Name another file, which need not be there.',
    })
  }
  throw new StaveError('unsupported', `cannot use ${path}: it was written by another version (${JSON.stringify(version)}, not 1)`, {
    hint: 'Remove it: the next run then asks the target for everything.',
  })
}

function parse(line: string): Line | undefined {
  const { to, from, digest } = tryParse(line) ?? {}
  if (typeof to !== 'string' || typeof from !== 'string') return undefined
  if (digest === null) return { to, from, digest }
  return typeof digest === 'string' && isDigest(digest) ? { to, from, digest } : undefined
}

function tryParse(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
