import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { StaveError } from '#error.ts'
import type { BuildOptions } from '../options.ts'

/** What is no place for an output is told before anything is built. @throws StaveError `conflict` */
export function checkOutputs({ outputs = [], cwd }: Pick<BuildOptions, 'cwd'> & Partial<Pick<BuildOptions, 'outputs'>>): void {
  for (const output of outputs) {
    if (!('dest' in output) || output.dest === '-') continue
    const wanted = output.type === 'local' || (output.type === 'oci' && output.tar === false) ? 'directory' : 'file'
    const found = statSync(resolve(cwd, output.dest), { throwIfNoEntry: false })
    if (found === undefined || found.isDirectory() === (wanted === 'directory')) continue
    throw new StaveError('conflict', `cannot write ${output.dest}: it is ${found.isDirectory() ? 'a directory' : 'not a directory'}`, {
      hint: `--output type=${output.type} makes a ${wanted}: choose another dest.`,
    })
  }
}
