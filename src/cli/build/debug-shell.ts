import type { BuildStop } from '#builder/options.ts'
import type { Context } from '#context.ts'
import { StaveError } from '#error.ts'
import type { Report } from '../output/report.ts'

/** Opens a shell where a build stands still. */
export function debugShell(cx: Context, report: Report): (stop: BuildStop) => Promise<void> {
  return async (stop) => {
    await report.settle()
    if (!process.stdin.isTTY) {
      const why = 'cannot open a shell: stdin is no terminal'
      if (stop.reason === 'until') throw new StaveError('usage', why, { hint: 'Run stave build --debug on a terminal.' })
      // What failed is to be told, and comes next.
      return report.note(`note: ${why}`)
    }
    report.note(`${stop.reason === 'failed' ? 'failed' : 'stopped'} at: ${stop.title}`)
    report.note('This shell has the same files, mounts, environment and user. What it changes is thrown away. exit goes on.')
    await stop.shell(cx, { stdin: 'inherit', stdout: 'inherit', stderr: 'inherit' }, { terminal: true })
  }
}
