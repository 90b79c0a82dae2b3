import type { Context } from '#context.ts'
import { StaveError, hasCode } from '#error.ts'
import { copy } from '#image/copy.ts'
import { withStep } from '#image/step.ts'
import { openImage, type Image } from '#image/image.ts'
import type { Descriptor, Platform } from '#oci/descriptor.ts'
import { hostPlatform, parsePlatform } from '#oci/platform.ts'
import { formatReference, parseReference } from '#oci/reference.ts'
import type { Places } from '#places/places.ts'
import { createPlaces, type RegistryChoices } from '../places.ts'
import type { Session } from '../session.ts'
import type { Settings } from '../settings.ts'

export interface PullChoices extends RegistryChoices {
  readonly platform?: string | undefined
  readonly pull?: string | undefined
}

/** The platform that was asked for, or this machine's. */
export function wantedPlatform(text: string | undefined, settings: Settings): Platform {
  const typed = text ?? settings.env['DOCKER_DEFAULT_PLATFORM']
  return typed === undefined || typed === '' ? hostPlatform(process.arch) : parsePlatform(typed)
}

/**
 * The image that a container is made of: from the store, else pulled.
 *
 * @returns also the name that it is known by
 */
export async function ensureImage(
  cx: Context,
  session: Session,
  settings: Settings,
  text: string,
  choices: PullChoices,
): Promise<{ image: Image; name: string }> {
  const { store } = session
  const platform = wantedPlatform(choices.platform, settings)
  const policy = choices.pull ?? 'missing'
  if (policy !== 'always' && policy !== 'newer') {
    try {
      const image = await openImage(cx, store, await store.resolve(cx, text), platform)
      return { image, name: text }
    } catch (error) {
      // Another platform of an index may lie in the registry though this one is not in the store.
      if (policy === 'never' || !hasCode(error, 'not-found', 'blob-unknown')) throw error
      if (/^([0-9a-f]{12}|[0-9a-f]{64})$/.test(text)) throw error
    }
  }
  await using places = createPlaces(settings, choices, async () => session)
  const { descriptor } = await pull(cx, session, places, text, { platforms: [platform] })
  return { image: await openImage(cx, store, descriptor, platform), name: text }
}

/** Fetches what a reference names into the store and names it there. */
export async function pull(
  cx: Context,
  session: Session,
  places: Places,
  text: string,
  options: { readonly platforms: 'all' | readonly Platform[] },
): Promise<{ descriptor: Descriptor; name: string }> {
  const reference = parseReference(text.replace(/^docker:\/\//, ''))
  const name = formatReference(reference)
  const id = `pull ${name}`
  try {
    return await withStep(cx, { id, title: `pulling ${name}` }, async () => {
      const { source } = await places.source(cx, { transport: 'docker', name })
      const root = await source.resolve(cx, reference.digest ?? reference.tag ?? 'latest')
      const { platforms } = options
      return { descriptor: await copy(cx, source, root, session.store, { name, platforms, parent: id, stepPrefix: id }), name }
    })
  } catch (error) {
    if (error instanceof StaveError && error.code !== 'cancelled' && !error.message.includes(text))
      throw error.with({ message: `cannot pull ${name}: ${error.message}` })
    throw error
  }
}
