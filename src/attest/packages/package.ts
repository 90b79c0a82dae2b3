/** A package as some package manager has written it down. */
export interface Package {
  readonly name: string
  readonly version: string
  readonly url: string
  readonly license?: string
  readonly supplier?: string
  /** The file that says so. */
  readonly from: string
}

/** Of the distribution. */
export interface Release {
  readonly id: string
  readonly version: string
}
