import { layout, pathOf } from '#store/layout.ts'
import type { Context } from '#context.ts'
import type { Store } from '#store/store.ts'
import type { BuildResult } from '../options.ts'
import type { Step } from '../plan/step.ts'
import { closeSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { StringDecoder } from 'node:string_decoder'
import { createMask } from '../input/secrets.ts'

/** The output of a build's steps, kept whole, a file for each. */
export interface Logs {
  readonly directory: string
  open(cx: Context, step: Step, secrets: readonly Uint8Array[]): StepLog
  /** The name of a step's file, if there was output. */
  fileOf(stepId: string): string | undefined
  /** Writes what `stave explain` and `stave logs` read. */
  finish(cx: Context, result: Pick<BuildResult, 'id' | 'steps' | 'names'> & Record<string, unknown>): void
}

export interface StepLog {
  write(stream: 'stdout' | 'stderr', chunk: Buffer): void
  /** Writes out what was held back. */
  close(): void
  /** The last lines, for an error. */
  tail(): string
}

const tailBytes = 4096
const tailLines = 20

export function createLogs(store: Store, id: string): Logs {
  const directory = pathOf(store, layout.build(id))
  const files = new Map<string, string>()
  let made = false
  const make = (): void => {
    if (!made) {
      mkdirSync(directory, { recursive: true })
      made = true
    }
  }

  return {
    directory,
    fileOf: (stepId) => files.get(stepId),
    open(cx, step, secrets) {
      const name = `${step.id.replace(/[^A-Za-z0-9._-]/g, '-')}.log`
      let file: number | undefined
      let lost = false
      let tail = ''
      const streams = (['stdout', 'stderr'] as const).map((stream) => ({
        stream,
        mask: createMask(secrets),
        decoder: new StringDecoder('utf8'),
      }))

      const keep = (bytes: Buffer): void => {
        try {
          if (file === undefined) {
            make()
            file = openSync(join(directory, name), 'a', 0o600)
            files.set(step.id, name)
          }
          writeSync(file, bytes)
        } catch (error) {
          // A full disk, most often: then the step itself says so too, if it needs room.
          lost = true
          cx.report({ type: 'warning', message: `the log of ${step.title} is not kept`, hint: (error as Error).message })
        }
      }
      const put = (stream: 'stdout' | 'stderr', bytes: Buffer, text: string): void => {
        if (bytes.length > 0 && !lost) keep(bytes)
        if (text !== '') {
          tail = (tail + text).slice(-tailBytes)
          cx.report({ type: 'log', id: step.id, stream, text })
        }
      }

      return {
        write(stream, chunk) {
          const { mask, decoder } = streams[stream === 'stdout' ? 0 : 1] as (typeof streams)[number]
          const bytes = mask === undefined ? chunk : mask.push(chunk)
          put(stream, bytes, decoder.write(bytes))
        },
        close() {
          for (const { stream, mask, decoder } of streams) {
            const bytes = mask?.end() ?? Buffer.alloc(0)
            put(stream, bytes, decoder.write(bytes) + decoder.end())
          }
          if (file !== undefined) {
            closeSync(file)
            file = undefined
          }
        },
        tail: () => tail.trimEnd().split('\n').slice(-tailLines).join('\n'),
      }
    },
    finish(cx, result) {
      const path = join(directory, 'build.json')
      try {
        make()
        writeFileSync(`${path}.new`, `${JSON.stringify(result)}\n`)
        renameSync(`${path}.new`, path)
      } catch (error) {
        rmSync(`${path}.new`, { force: true })
        cx.report({ type: 'warning', message: 'the record of this build is not kept', hint: (error as Error).message })
      }
    },
  }
}
