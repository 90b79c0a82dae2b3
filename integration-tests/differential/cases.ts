import type { Case } from './case.ts'
import { adds } from './cases/add.ts'
import { copies } from './cases/copy.ts'
import { debians } from './cases/debian.ts'
import { expansion } from './cases/expansion.ts'
import { ignores } from './cases/ignore.ts'
import { later } from './cases/later.ts'
import { metadata } from './cases/metadata.ts'
import { onbuilds } from './cases/onbuild.ts'
import { runs } from './cases/run.ts'
import { stages } from './cases/stages.ts'
import { syntax } from './cases/syntax.ts'

/** All cases, by family. A family is one file of golden results of each peer. */
export const families: Readonly<Record<string, readonly Case[]>> = {
  expansion,
  metadata,
  syntax,
  copy: copies,
  add: adds,
  ignore: ignores,
  stages,
  run: runs,
  onbuild: onbuilds,
  later,
  debian: debians,
}
