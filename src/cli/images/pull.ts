import { StaveError } from '#error.ts'
import { openImage } from '#image/image.ts'
import { parseReference } from '#oci/reference.ts'
import type { Invocation } from '../command.ts'
import { ensureImage, pull, wantedPlatform } from './fetch.ts'
import { parseLocation } from '#places/location.ts'
import { createPlaces } from '../places.ts'
import { openSession } from '../session.ts'
import type { pullFlags } from './commands.ts'

/** Fetches images and prints their IDs. */
export async function run({ cx, flags, args, settings, report }: Invocation<typeof pullFlags>): Promise<void> {
  if (flags.quiet) report.mode('quiet')
  for (const text of args) checkIsRegistry(text)
  await using session = await openSession(settings)
  await using places = createPlaces(settings, flags, async () => session)
  const platform = wantedPlatform(flags.platform, settings)
  const platforms = flags['all-platforms'] ? ('all' as const) : [platform]
  for (const text of args) {
    if (flags.policy !== undefined && flags.policy !== 'always') {
      const { image } = await ensureImage(cx, session, settings, text, { ...flags, pull: flags.policy })
      report.print(image.manifest.config.digest)
      continue
    }
    for (const name of flags['all-tags'] ? await everyTag(text) : [text]) {
      const { descriptor } = await pull(cx, session, places, name, { platforms })
      const image = await openImage(cx, session.store, descriptor, platform)
      await report.settle()
      report.print(image.manifest.config.digest)
    }
  }

  async function everyTag(text: string): Promise<string[]> {
    const reference = parseReference(text.replace(/^docker:\/\//, ''))
    const tags = await (await places.registry(reference)).listTags(cx)
    return tags.map((tag) => `${reference.registry}/${reference.repository}:${tag}`)
  }
}

/** podman pulls from files too; here that is a copy, which says what the image is to be called. */
function checkIsRegistry(text: string): void {
  const { transport } = parseLocation(text)
  if (transport === 'docker' || transport === 'store') return
  throw new StaveError('usage', `cannot pull ${text}: it is not in a registry`, { hint: `Write stave copy ${text} NAME.` })
}
