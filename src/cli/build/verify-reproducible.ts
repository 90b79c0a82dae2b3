import { build } from '#builder/build.ts'
import { compareImages } from '#builder/result/compare.ts'
import type { BuildOptions } from '#builder/options.ts'
import type { Context } from '#context.ts'
import { openImage } from '#image/image.ts'
import type { Report } from '../output/report.ts'
import type { Session } from '../session.ts'

/** Builds twice without cache. @returns 1, and says what differs first, if the results do */
export async function verifyReproducible(cx: Context, options: BuildOptions, session: Session, report: Report): Promise<number> {
  const once = async () => (await build(cx, { ...options, noCache: true })).images
  const first = await once()
  const second = await once()
  await report.settle()
  for (const [index, image] of first.entries()) {
    const other = second[index]!
    if (image.descriptor.digest === other.descriptor.digest) continue
    const [a, b] = await Promise.all([image, other].map((one) => openImage(cx, session.store, one.descriptor)))
    report.print(`not reproducible: ${image.descriptor.digest} and ${other.descriptor.digest}`)
    for (const line of await compareImages(cx, session.store, a!, b!)) report.print(`  ${line}`)
    if (options.epoch === undefined) report.note('hint: without --source-date-epoch, times of creation differ by nature.')
    return 1
  }
  report.print(`reproducible: ${first.map(({ descriptor }) => descriptor.digest).join(' ')}`)
  return 0
}
