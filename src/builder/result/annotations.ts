import type { Annotation, BuildOptions } from '../options.ts'
import { StaveError } from '#error.ts'

/** Those of one level that count for a platform. Without a platform: those for all. */
export function annotationsOf(annotations: readonly Annotation[], level: Annotation['level'], platform?: string): Record<string, string> {
  const chosen = annotations.filter(
    (annotation) => annotation.level === level && (annotation.platform === undefined || annotation.platform === platform),
  )
  return Object.fromEntries(chosen.map(({ key, value }) => [key, value]))
}

/** Said before anything is built. @throws StaveError `usage` */
export function checkAnnotations({ annotations = [], buildArgs }: BuildOptions, platforms: number): void {
  if (platforms > 1 || buildArgs?.['BUILDKIT_MULTI_PLATFORM'] === '1') return
  const misplaced = annotations.find(({ level }) => level === 'index' || level === 'index-descriptor')
  if (misplaced === undefined) return
  throw new StaveError('usage', `cannot annotate the ${misplaced.level} with ${misplaced.key}: an image for one platform has no index`, {
    hint: 'Annotate its manifest, or make an index with --build-arg BUILDKIT_MULTI_PLATFORM=1.',
  })
}
