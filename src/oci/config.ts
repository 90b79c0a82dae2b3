import * as limit from '#limit.ts'
import { array, boolean, decodeJson, digest, integer, literal, object, record, string, withDefault, type Decoder } from './decode.ts'
import type { Digest } from './digest.ts'

/** How a container of an image is started. @see image-spec, "Image Configuration"; Docker's own fields are kept. */
export interface ExecutionConfig {
  readonly User?: string
  readonly ExposedPorts?: Readonly<Record<string, object>>
  readonly Env?: readonly string[]
  readonly Entrypoint?: readonly string[] | null
  readonly Cmd?: readonly string[] | null
  readonly Volumes?: Readonly<Record<string, object>>
  readonly WorkingDir?: string
  readonly Labels?: Readonly<Record<string, string>>
  readonly StopSignal?: string
  readonly ArgsEscaped?: boolean
  // Docker only
  readonly Healthcheck?: Healthcheck
  readonly Shell?: readonly string[]
  readonly OnBuild?: readonly string[]
  readonly StopTimeout?: number
}

/** Durations in nanoseconds. */
export interface Healthcheck {
  readonly Test: readonly string[]
  readonly Interval?: number
  readonly Timeout?: number
  readonly StartPeriod?: number
  readonly StartInterval?: number
  readonly Retries?: number
}

export interface History {
  /** RFC 3339. */
  readonly created?: string
  readonly created_by?: string
  readonly author?: string
  readonly comment?: string
  readonly empty_layer?: boolean
}

export interface ImageConfig {
  readonly created?: string
  readonly author?: string
  readonly os: string
  readonly architecture: string
  readonly variant?: string
  readonly 'os.version'?: string
  readonly 'os.features'?: readonly string[]
  readonly config?: ExecutionConfig
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly Digest[] }
  readonly history?: readonly History[]
}

const section = 'image-spec, "Image Configuration"'

const strings = array(string, limit.configEntries)
/** `{"80/tcp": {}}`. The values mean nothing, and old images have null there. */
const set = record<object>((value) => (typeof value === 'object' && value !== null ? value : {}))

const healthcheck: Decoder<Healthcheck> = object(
  { Test: withDefault(strings, []) },
  { Interval: integer, Timeout: integer, StartPeriod: integer, StartInterval: integer, Retries: integer },
)

const execution: Decoder<ExecutionConfig> = object(
  {},
  {
    User: string,
    ExposedPorts: set,
    Env: strings,
    Entrypoint: strings,
    Cmd: strings,
    Volumes: set,
    WorkingDir: string,
    Labels: record(string),
    StopSignal: string,
    ArgsEscaped: boolean,
    Healthcheck: healthcheck,
    Shell: strings,
    OnBuild: strings,
    StopTimeout: integer,
  },
)

const history: Decoder<History> = object({}, { created: string, created_by: string, author: string, comment: string, empty_layer: boolean })

const rootfs: Decoder<ImageConfig['rootfs']> = object(
  { type: literal('layers'), diff_ids: withDefault(array(digest, limit.descriptors), []) },
  {},
)

// Configs without `os` or `architecture` exist although the specification requires both: they were made when there was
// only one of each.
const imageConfig: Decoder<ImageConfig> = object(
  { os: nonEmpty('linux'), architecture: nonEmpty('amd64'), rootfs },
  {
    created: string,
    author: string,
    variant: string,
    'os.version': string,
    'os.features': strings,
    config: execution,
    history: array(history, limit.descriptors),
  },
)

/**
 * Decodes the configuration of an image.
 *
 * @throws StaveError `invalid-document`, `too-large`
 */
export function decodeConfig(bytes: Uint8Array, title?: string): ImageConfig {
  const document = title === undefined ? 'image config' : `image config ${title}`
  return decodeJson(bytes, limit.configBytes, document, section, imageConfig)
}

function nonEmpty(value: string): Decoder<string> {
  return (field, at) => withDefault(string, value)(field, at) || value
}
