import { StaveError, type Span } from '#error.ts'
import { isDigest } from '#oci/digest.ts'
import { isTag } from '#oci/reference.ts'
import { openYaml, type Yaml } from '#text/yaml.ts'
import { parseRepository, type Choice, type Wanted } from './wanted.ts'
import { parseConstraint } from './version.ts'

/** One registry of a list. */
export interface ListedRegistry {
  readonly name: string
  readonly tlsVerify?: boolean
  readonly certDir?: string
  readonly credentials?: { readonly username: string; readonly password: string }
  readonly wanted: readonly Wanted[]
}

export interface List {
  readonly registries: readonly ListedRegistry[]
  /** Keys that mean nothing. */
  readonly unknown: readonly { readonly key: string; readonly line?: number }[]
}

const keys = ['images', 'images-by-tag-regex', 'images-by-semver', 'credentials', 'tls-verify', 'cert-dir']

/**
 * Reads a list of what to mirror, as skopeo has it: registries, and for each of them repositories with tags, with a
 * regular expression, or with a constraint on versions.
 *
 * @throws StaveError `invalid-document`, with the line
 * @see skopeo-sync(1), "YAML file content"
 */
export function parseList(text: string, file: string): List {
  const yaml = openYaml(text, file)
  const unknown: { key: string; line?: number }[] = []
  const registries: ListedRegistry[] = []
  for (const [name, value] of yaml.map([], yaml.value)) {
    const settings = new Map(yaml.map([name], value))
    for (const key of settings.keys()) if (!keys.includes(key)) unknown.push({ key: `${name}: ${key}`, ...lineOf(yaml.span([name, key])) })
    const credentials = new Map(yaml.map([name, 'credentials'], settings.get('credentials')))
    const username = yaml.text([name, 'credentials', 'username'], credentials.get('username'))
    const password = yaml.text([name, 'credentials', 'password'], credentials.get('password'))
    const tlsVerify = yaml.boolean([name, 'tls-verify'], settings.get('tls-verify'))
    const certDir = yaml.text([name, 'cert-dir'], settings.get('cert-dir'))
    registries.push({
      name,
      ...(tlsVerify !== undefined && { tlsVerify }),
      ...(certDir !== '' && { certDir }),
      ...(username !== '' && { credentials: { username, password } }),
      wanted: wantedOf(yaml, name, settings),
    })
  }
  return { registries, unknown }
}

function wantedOf(yaml: Yaml, registry: string, settings: ReadonlyMap<string, unknown>): readonly Wanted[] {
  const each = (key: string, choose: (path: readonly string[], value: unknown) => Choice): Wanted[] =>
    yaml.map([registry, key], settings.get(key)).map(([repository, value]) => {
      const path = [registry, key, repository]
      return {
        repository: yaml.guard(path, () => parseRepository(`${registry}/${repository}`)),
        choice: choose(path, value),
        account: registry,
      }
    })
  return [
    ...each('images', (path, value) => {
      const names = yaml.list(path, value)
      const wrong = names.find((name) => !isTag(name) && !isDigest(name))
      if (wrong !== undefined) throw yaml.fail(path, `${JSON.stringify(wrong)} is neither a tag nor a digest`)
      return names.length === 0 ? { kind: 'all' } : { kind: 'names', names }
    }),
    ...each('images-by-tag-regex', (path, value) => {
      const pattern = yaml.guard(path, () => parsePattern(yaml.text(path, value)))
      return { kind: 'matching', accepts: (tag) => pattern.test(tag) }
    }),
    ...each('images-by-semver', (path, value) => ({
      kind: 'matching',
      accepts: yaml.guard(path, () => parseConstraint(yaml.text(path, value))),
    })),
  ]
}

/** Go's expressions differ from ours in what tags can show only where flags stand at their start. */
function parsePattern(text: string): RegExp {
  const [, flags = '', pattern = ''] = /^(?:\(\?([ims]+)\))?(.*)$/s.exec(text)!
  try {
    return new RegExp(pattern, [...new Set(flags)].join(''))
  } catch (cause) {
    throw new StaveError('invalid-document', `${JSON.stringify(text)} is not a regular expression`, { cause })
  }
}

function lineOf(span: Span | undefined): { line?: number } {
  return span === undefined ? {} : { line: span.line }
}
