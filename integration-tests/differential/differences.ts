/**
 * Where a peer makes something else of a case than Stave, and why Stave is right. A difference that is not here fails
 * the test, and so does an explanation that no longer occurs.
 */
export interface Difference {
  readonly peer: 'buildah' | 'buildkit'
  /** Names of cases; each has the difference. Or `any`: at least one has. */
  readonly cases: readonly string[] | 'any'
  /** Found in the line of the difference, see `compare`. */
  readonly line: RegExp
  readonly why: string
}

export const differences: readonly Difference[] = []
