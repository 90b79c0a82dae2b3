import type { Descriptor } from '#oci/descriptor.ts'
import type { Digest } from '#oci/digest.ts'

/** Something that was done in the registry, for those who want to be told. */
export interface Happening {
  readonly action: 'push' | 'pull' | 'mount' | 'delete'
  readonly kind: 'manifests' | 'blobs'
  readonly repository: string
  /** Absent where a tag alone was deleted. */
  readonly digest?: Digest
  readonly mediaType?: string
  readonly size?: number
  readonly tag?: string | undefined
  /** Of a manifest that was pushed: what it mentions. */
  readonly references?: readonly Descriptor[]
  /** The repository that a blob was mounted from. */
  readonly from?: string
}

/** Who asked for it. */
export interface Cause {
  /** `192.0.2.1:40000` */
  readonly address: string
  readonly method: string
  /** The name that the registry was asked for under. */
  readonly host: string
  readonly userAgent: string
  readonly user: string | undefined
  /** `http://127.0.0.1:5000` */
  readonly origin: string
}
