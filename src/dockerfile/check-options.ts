import type { Span } from '#error.ts'
import { nameAndValue } from './directives.ts'
import { fault } from './fault.ts'
import { parseBoolean } from './go-values.ts'
import type { Dockerfile } from './instruction.ts'
import { isExperimental, type RuleName } from './rules.ts'
import { didYouMean } from '#text/suggest.ts'

/** What a `check` directive says: `skip=A,B;error=true;experimental=C`. */
export interface CheckOptions {
  readonly skip: ReadonlySet<string> | 'all'
  readonly experimental: ReadonlySet<string> | 'all'
  /** Warnings make the build fail. */
  readonly error: boolean
}

const none: CheckOptions = { skip: new Set(), experimental: new Set(), error: false }

/**
 * Reads the value of a `check` directive.
 *
 * @throws StaveError `dockerfile` for an option that does not exist
 */
export function parseCheck(text: string, span?: Span): CheckOptions {
  const trimmed = text.trim()
  if (trimmed === '') return none
  let { skip, experimental, error } = none
  for (const part of trimmed.split(';')) {
    const pair = nameAndValue(part)
    const key = pair?.name ?? part.replace(/=.*$/s, '').trim()
    const value = pair?.value ?? ''
    if (key === 'skip') skip = ruleSet(value)
    else if (key === 'experimental') experimental = ruleSet(value)
    else if (key === 'error' && parseBoolean(value) !== undefined) error = parseBoolean(value) === true
    else {
      throw fault(
        key === 'error'
          ? `the check option error must be true or false, not ${JSON.stringify(value)}`
          : `invalid check option ${JSON.stringify(part.trim())}`,
        span,
        didYouMean(key, ['skip', 'error', 'experimental']) ?? 'Write skip=RULE,RULE;error=true;experimental=RULE.',
      )
    }
  }
  return { skip, experimental, error }
}

function ruleSet(value: string): ReadonlySet<string> | 'all' {
  return value === 'all' ? 'all' : new Set(value.split(',').map((name) => name.trim()))
}

/**
 * The options for a whole file: those of its `check` directive, unless the build argument
 * `BUILDKIT_DOCKERFILE_CHECK` gives others.
 */
export function checkOptions(dockerfile: Dockerfile, buildArgs: ReadonlyMap<string, string> = new Map()): CheckOptions {
  const override = buildArgs.get('BUILDKIT_DOCKERFILE_CHECK')
  if (override !== undefined) return parseCheck(override)
  const { check } = dockerfile.directives
  return check === undefined ? none : parseCheck(check.split(' ', 1)[0] ?? '', directiveSpan(dockerfile))
}

/** With what a comment above an instruction says: `# check=skip=RULE`. A comment that is not well formed is a comment. */
export function withComments(options: CheckOptions, comments: readonly string[]): CheckOptions {
  for (const comment of comments) {
    const pair = nameAndValue(comment)
    if (pair?.name !== 'check') continue
    try {
      const more = parseCheck(pair.value.split(' ', 1)[0] ?? '')
      return { skip: merge(options.skip, more.skip), experimental: merge(options.experimental, more.experimental), error: options.error }
    } catch {
      return options
    }
  }
  return options
}

function merge(a: ReadonlySet<string> | 'all', b: ReadonlySet<string> | 'all'): ReadonlySet<string> | 'all' {
  return a === 'all' || b === 'all' ? 'all' : new Set([...a, ...b])
}

/** Is the rule to be checked? An experimental one only where it is asked for, and then `skip` does not count. */
export function isEnabled(options: CheckOptions, rule: RuleName): boolean {
  if (isExperimental(rule)) return options.experimental === 'all' || options.experimental.has(rule)
  return options.skip !== 'all' && !options.skip.has(rule)
}

function directiveSpan(dockerfile: Dockerfile): Span {
  const lines = dockerfile.text.split('\n', 8)
  const index = Math.max(
    lines.findIndex((line) => /^#\s*check\s*=/i.test(line)),
    0,
  )
  return { file: dockerfile.file, line: index + 1, column: 1, endLine: index + 1, endColumn: (lines[index] ?? '').length + 1 }
}
