import type { SecretSource } from '../options.ts'
import type { ExecOp } from '../plan/step.ts'
import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import { StaveError, type Span } from '#error.ts'
import * as limit from '#limit.ts'

/** The build's secrets, read when a step asks for them. */
export interface Secrets {
  /** @throws StaveError `secret-missing` */
  get(id: string, required: boolean, span: Span | undefined): Uint8Array | undefined
  /** The values that a step gets to see. */
  of(op: ExecOp): readonly Uint8Array[]
}

export function createSecrets(sources: readonly SecretSource[] = []): Secrets {
  // Said before anything is built, whether a step asks for it or is cached.
  for (const source of sources) if ('file' in source) checkFile(source.id, source.file)
  const values = new Map<string, Uint8Array>()
  const byId = new Map(sources.map((source) => [source.id, source] as const))

  function get(id: string, required: boolean, span: Span | undefined): Uint8Array | undefined {
    const known = values.get(id)
    if (known !== undefined) return known
    const source = byId.get(id)
    if (source === undefined) {
      if (required) {
        throw new StaveError('secret-missing', `cannot mount the secret ${JSON.stringify(id)}: it was not given`, {
          hint: `Give it with --secret id=${id},src=FILE or --secret id=${id},env=NAME.`,
          ...(span !== undefined && { span }),
        })
      }
      return undefined
    }
    const value = 'value' in source ? source.value : read(source.id, source.file, span)
    if (value.length > limit.secretBytes) {
      throw new StaveError(
        'too-large',
        `cannot mount the secret ${JSON.stringify(id)}: it has ${value.length} bytes, and at most ${limit.secretBytes} are allowed`,
      )
    }
    values.set(id, value)
    return value
  }

  return {
    get,
    of: (op) =>
      op.mounts.flatMap((mount) => (mount.type === 'secret' ? [values.get(mount.id)] : [])).filter((value) => value !== undefined),
  }
}

function checkFile(id: string, file: string): void {
  try {
    accessSync(file, constants.R_OK)
  } catch (cause) {
    throw new StaveError('secret-missing', `cannot read the secret ${JSON.stringify(id)} from ${file}`, { cause })
  }
}

function read(id: string, file: string, span: Span | undefined): Uint8Array {
  try {
    const { size } = statSync(file)
    // Checked before it is read: what is named by mistake may be a disk.
    if (size > limit.secretBytes) {
      throw new StaveError(
        'too-large',
        `cannot read the secret ${JSON.stringify(id)} from ${file}: it has ${size} bytes, and at most ${limit.secretBytes} are allowed`,
      )
    }
    return readFileSync(file)
  } catch (error) {
    if (error instanceof StaveError) throw error
    throw new StaveError('secret-missing', `cannot read the secret ${JSON.stringify(id)} from ${file}`, {
      cause: error,
      ...(span !== undefined && { span }),
    })
  }
}

/**
 * Replaces secrets in a stream of text. What could be the beginning of one is held back until the next chunk, or the
 * end, decides. Lines of a secret count as well as the whole: tools print them one by one.
 */
export interface Mask {
  push(chunk: Buffer): Buffer
  end(): Buffer
}

/** Shorter ones would be found everywhere by chance. */
const shortest = 4

export function createMask(secrets: readonly Uint8Array[]): Mask | undefined {
  const needles = new Set<string>()
  for (const secret of secrets) {
    const text = Buffer.from(secret).toString('latin1')
    for (const part of [text, text.trim(), ...text.split(/\r?\n/)]) if (part.length >= shortest) needles.add(part)
  }
  if (needles.size === 0) return undefined
  const sorted = [...needles].sort((a, b) => b.length - a.length)
  let held = ''

  const masked = (text: string): string => sorted.reduce((rest, needle) => rest.replaceAll(needle, '****'), text)
  return {
    push(chunk) {
      // Latin-1 keeps bytes as they are, whatever their encoding.
      const text = masked(held + chunk.toString('latin1'))
      const keep = longestPrefixAtEnd(text, sorted)
      held = text.slice(text.length - keep)
      return Buffer.from(text.slice(0, text.length - keep), 'latin1')
    },
    end() {
      const rest = Buffer.from(held, 'latin1')
      held = ''
      return rest
    },
  }
}

/** How many characters at the end of the text begin one of the needles. */
function longestPrefixAtEnd(text: string, needles: readonly string[]): number {
  let longest = 0
  for (const needle of needles) {
    for (let length = Math.min(needle.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(needle.slice(0, length))) {
        longest = length
        break
      }
    }
  }
  return longest
}
