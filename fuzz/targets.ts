import type { Target } from './target.ts'
import { answers } from './targets/answers.ts'
import { archives } from './targets/archives.ts'
import { composes } from './targets/compose.ts'
import { configuration } from './targets/configuration.ts'
import { dockerfiles, expansions, ignores } from './targets/dockerfile.ts'
import { configs, manifests } from './targets/documents.ts'
import { lists } from './targets/lists.ts'
import { programs } from './targets/programs.ts'
import { references } from './targets/references.ts'
import { urls } from './targets/urls.ts'

/** All that is fuzzed in TypeScript. */
export const targets: readonly Target[] = [
  dockerfiles, expansions, ignores, configs, manifests, references, urls, answers, archives, configuration, lists, composes, programs,
] // prettier-ignore
