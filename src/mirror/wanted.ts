import { StaveError } from '#error.ts'
import { parseReference, type Reference } from '#oci/reference.ts'

/** Which images of a repository are meant. */
export type Choice =
  | { readonly kind: 'all' }
  /** Tags and digests. */
  | { readonly kind: 'names'; readonly names: readonly string[] }
  | { readonly kind: 'matching'; readonly accepts: (tag: string) => boolean }

export interface Wanted {
  /** Without tag and digest. */
  readonly repository: Reference
  readonly choice: Choice
  /** The registry of the list that it stands in. */
  readonly account?: string
}

/** A repository, with neither tag nor digest. @throws StaveError `invalid-reference` */
export function parseRepository(text: string): Reference {
  if (!isNameOnly(text)) throw new StaveError('invalid-reference', `cannot use ${JSON.stringify(text)} as a repository: it names one image`)
  const { registry, repository } = parseReference(text)
  return { registry, repository }
}

/** Does it name a repository and not an image of it? A colon before the last slash belongs to the port. */
export function isNameOnly(text: string): boolean {
  return !/[:@]/.test(text.slice(text.lastIndexOf('/') + 1))
}
