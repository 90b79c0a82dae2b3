import type { Statement } from './statement.ts'

/** Something that a build was made of. */
export interface Dependency {
  readonly uri: string
  readonly digest?: Readonly<Record<string, string>>
}

/** A git repository that the context came from. */
export interface ContextSource {
  /** Without user and password. */
  readonly uri: string
  readonly commit: string
  readonly digest: Readonly<Record<string, string>>
}

/** What is known of a build once it is done. */
export interface BuildFacts {
  readonly dockerfile: { readonly path: string; readonly text: string; readonly sha256: string }
  /** Where the context came from, if it is not this machine. */
  readonly context: ContextSource | undefined
  readonly target: string | undefined
  readonly platform: string
  readonly builderPlatform: string
  readonly buildArgs: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  readonly secrets: readonly string[]
  readonly ssh: readonly string[]
  /** Names of contexts that are directories of this machine. */
  readonly locals: readonly string[]
  readonly steps: readonly { readonly title: string; readonly key: string | undefined }[]
  readonly dependencies: readonly Dependency[]
  /** A build with a time of its own has the same provenance each time. */
  readonly times: { readonly id?: string; readonly started?: string; readonly finished: string }
}

/**
 * Provenance of a build, with the names for its parameters that BuildKit has. `max` also tells build arguments, labels, the
 * Dockerfile and the steps: what a build argument is told is told to whoever can read the image.
 *
 * @see SLSA v1.0, "Provenance"; BuildKit, "SLSA definitions"
 */
export function provenance(facts: BuildFacts, mode: 'min' | 'max'): Statement {
  const { dockerfile, context, times } = facts
  const isMax = mode === 'max'
  const prefixed = (prefix: string, values: Readonly<Record<string, string>>): Record<string, string> =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}:${name}`, value]))
  const vcs = context === undefined ? {} : { 'vcs:source': context.uri.replace(/[?#].*$/s, ''), 'vcs:revision': context.commit }
  const args = {
    ...(facts.target !== undefined && { target: facts.target }),
    ...(isMax ? { ...prefixed('build-arg', facts.buildArgs), ...prefixed('label', facts.labels) } : {}),
    ...vcs,
  }
  const ids = (names: readonly string[]): { id: string }[] => names.map((id) => ({ id }))
  const predicate = {
    buildDefinition: {
      buildType: 'urn:stave:dockerfile:v1',
      externalParameters: {
        configSource: {
          ...(context === undefined ? { digest: { sha256: dockerfile.sha256 } } : { uri: context.uri, digest: context.digest }),
          path: dockerfile.path,
        },
        request: {
          frontend: 'dockerfile.v0',
          platform: facts.platform,
          ...(Object.keys(args).length === 0 ? {} : { args }),
          ...(facts.secrets.length === 0 ? {} : { secrets: ids(facts.secrets) }),
          ...(facts.ssh.length === 0 ? {} : { ssh: ids(facts.ssh) }),
          ...(facts.locals.length === 0 ? {} : { locals: facts.locals.map((name) => ({ name })) }),
        },
      },
      internalParameters: {
        builderPlatform: facts.builderPlatform,
        ...(isMax ? { dockerfile: dockerfile.text, steps: facts.steps } : {}),
      },
      resolvedDependencies: facts.dependencies,
    },
    runDetails: {
      builder: { id: 'urn:stave:local' },
      metadata: {
        ...(times.id !== undefined && { invocationId: times.id }),
        ...(times.started !== undefined && { startedOn: times.started }),
        finishedOn: times.finished,
        // Files of this machine have no name that others could look up.
        buildkit_completeness: { request: true, resolvedDependencies: facts.locals.length === 0 },
        ...(context !== undefined && { buildkit_metadata: { vcs: { source: vcs['vcs:source'], revision: context.commit } } }),
      },
    },
  }
  return { predicateType: 'https://slsa.dev/provenance/v1', predicate }
}
