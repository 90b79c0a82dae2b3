import type { StaveError } from '#error.ts'
import type { LintWarning } from './lint.ts'
import type { Outline, Target } from './outline.ts'

/** What `--call=…,format=json` prints: the documents of BuildKit's subrequests, so that what reads those reads these. */

interface Place {
  readonly line: number
  readonly column?: number
  readonly endLine?: number
  readonly endColumn?: number
}

/** Lines count from 1, characters from 0, and what is 0 is left out: as BuildKit writes it. */
function location({ line, column = 1, endLine = line, endColumn = 1 }: Place): object {
  const position = (at: number, character: number): object => ({ line: at, ...(character > 0 && { character }) })
  return { ranges: [{ start: position(line, column - 1), end: position(endLine, endColumn - 1) }] }
}

/** `https://docs.docker.com/go/dockerfile/rule/json-args-recommended/` */
function urlOf(rule: string): string {
  const words = rule.replace(/([a-z])([A-Z])/g, '$1-$2').replace(/([A-Z])([A-Z][a-z])/g, '$1-$2')
  return `https://docs.docker.com/go/dockerfile/rule/${words.toLowerCase()}/`
}

/**
 * @param source the Dockerfile, by its name and text
 * @param error why no build could be, where that is found before any rule
 */
export function checkJson(
  warnings: readonly LintWarning[],
  source: { readonly file: string; readonly text: string },
  error?: StaveError,
): object {
  return {
    warnings: warnings.map(({ rule, description, message, span }) => ({
      ruleName: rule,
      description,
      url: urlOf(rule),
      detail: message,
      location: location(span),
    })),
    sources: [{ filename: source.file, data: Buffer.from(source.text).toString('base64'), language: 'Dockerfile' }],
    ...(error !== undefined && {
      buildError: { message: error.message, location: error.span === undefined ? {} : location(error.span) },
    }),
  }
}

export function outlineJson(outline: Outline, text: string): object {
  const { target, description, arguments: args, secrets, ssh, cache } = outline
  const list = (name: string, items: readonly object[]): object => (items.length === 0 ? {} : { [name]: items })
  const needs = (items: Outline['secrets']): readonly object[] =>
    items.map(({ id, required, line }) => ({ name: id, ...(required && { required }), location: location({ line }) }))
  return {
    ...(target !== undefined && { name: target }),
    ...(description !== undefined && { description }),
    ...list(
      'args',
      args.map(({ line, ...arg }) => ({ ...arg, location: location({ line }) })),
    ),
    ...list('secrets', needs(secrets)),
    ...list('ssh', needs(ssh)),
    ...list(
      'cache',
      cache.map(({ id, line }) => ({ ID: id, location: location({ line }) })),
    ),
    sources: [Buffer.from(text).toString('base64')],
  }
}

export function targetsJson(targets: readonly Target[], text: string): object {
  return {
    targets: targets.map(({ index: _index, isDefault, line, ...target }) => ({
      ...target,
      ...(isDefault && { default: true }),
      location: location({ line }),
    })),
    sources: [Buffer.from(text).toString('base64')],
  }
}
