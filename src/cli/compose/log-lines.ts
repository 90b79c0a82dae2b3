import { styleText } from 'node:util'
import type { Context } from '#context.ts'
import { readLog, type LogOptions } from '#container/log.ts'
import type { LocalStore } from '#store/open.ts'
import type { Member } from './project.ts'

const colors = ['cyan', 'yellow', 'green', 'magenta', 'blue', 'redBright', 'cyanBright', 'yellowBright', 'greenBright'] as const

export interface LineOptions extends LogOptions {
  readonly prefix: boolean
  readonly color: boolean
  readonly timestamps: boolean
}

/** Shows what containers write, line by line, with their names before it. Ends with the last of them. */
export async function showLines(cx: Context, store: LocalStore, members: readonly Member[], options: LineOptions): Promise<void> {
  const names = members.map(nameOf)
  const width = Math.max(0, ...names.map(({ length }) => length))
  await Promise.all(
    members.map(async ({ container }, at) => {
      const plain = options.prefix ? `${(names[at] as string).padEnd(width)}  | ` : ''
      const prefix =
        options.color && plain !== '' ? styleText(colors[at % colors.length] ?? 'cyan', plain, { validateStream: false }) : plain
      let unfinished = false
      for await (const { time, text } of readLog(cx, store, container, options)) {
        const start = unfinished ? '' : `${prefix}${options.timestamps ? `${time} ` : ''}`
        unfinished = !text.endsWith('\n')
        if (!process.stdout.write(`${start}${text}`)) await new Promise((ready) => process.stdout.once('drain', ready))
      }
      if (unfinished) process.stdout.write('\n')
    }),
  )
}

function nameOf({ container, service, number, isOneOff }: Member): string {
  return isOneOff || container.name === service ? container.name : `${service}-${number}`
}
