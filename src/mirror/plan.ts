import { StaveError } from '#error.ts'
import { formatReference, parseReference, type Reference } from '#oci/reference.ts'

/** Where one image is or goes. */
export type ImagePlace =
  | { readonly transport: 'docker'; readonly reference: Reference }
  | { readonly transport: 'dir'; readonly path: string }

/** An image of the source. */
export interface Found {
  readonly place: ImagePlace
  /** Its whole path below the source, with tag or digest: what `--scoped` keeps, and whose last part is kept in any case. */
  readonly scope: string
  /** Whose credentials and TLS settings open it: a registry of a list. Undefined: those of the command. */
  readonly account?: string
}

export interface Pair {
  readonly from: Found
  readonly to: ImagePlace
}

export interface PlanOptions {
  readonly transport: 'docker' | 'dir'
  /** A registry with or without a path below it, or a directory. */
  readonly target: string
  readonly scoped?: boolean
  /** Added to each name in the target. */
  readonly suffix?: string
}

/**
 * Gives each image that was found its place in the target. What was found twice is there once.
 *
 * @throws StaveError `conflict`, if two images would get one name; `invalid-reference`
 * @see skopeo-sync(1), `--scoped`
 */
export function planMirror(found: readonly Found[], options: PlanOptions): readonly Pair[] {
  const pairs = new Map<string, Pair>()
  for (const from of found) {
    const to = placeOf(from, options)
    const name = formatPlace(to)
    const other = pairs.get(name)
    if (other !== undefined && formatPlace(other.from.place) !== formatPlace(from.place)) {
      throw new StaveError(
        'conflict',
        `cannot sync both ${formatPlace(other.from.place)} and ${formatPlace(from.place)} to ${name}`,
        options.scoped === true ? {} : { hint: 'With --scoped, names in the target keep the whole path of the source.' },
      )
    }
    if (other === undefined) pairs.set(name, { from, to })
  }
  return [...pairs.values()]
}

function placeOf({ scope }: Found, { transport, target, scoped = false, suffix = '' }: PlanOptions): ImagePlace {
  const kept = scoped ? scope : scope.slice(scope.lastIndexOf('/') + 1)
  // A directory is made of names from outside: each is a part of the path, and none leads up.
  if (
    transport === 'dir' &&
    `${kept}${suffix}`.split('/').some((part) => part === '' || part === '.' || part === '..' || part.includes('\0'))
  )
    throw new StaveError('escape', `cannot sync ${JSON.stringify(scope)} to dir:${target}: its name leads out of that directory`)
  const name = `${target.replace(/\/+$/, '')}/${kept}${suffix}`
  return transport === 'dir' ? { transport, path: name } : { transport, reference: parseReference(name) }
}

/** The place as `stave copy` takes it: `docker://quay.io/acme/web:1`, `dir:/media/usb/web:1`. */
export function formatPlace(place: ImagePlace): string {
  return place.transport === 'docker' ? `docker://${formatReference(place.reference)}` : `dir:${place.path}`
}
