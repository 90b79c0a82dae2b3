import type { Image } from '#image/image.ts'
import type { Platform } from '#oci/descriptor.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import type { State } from '../solved.ts'

/** A built image, and the tree that it has. */
export interface Result {
  readonly image: Image
  readonly state: State
  readonly platform: Platform
}

/** The full names that tags stand for, each once. @throws StaveError `invalid-reference` */
export function normalizeTags(tags: readonly string[]): readonly string[] {
  return [...new Set(tags.map((tag) => formatReference(parseReference(tag))))]
}
