import { StaveError } from '#error.ts'

/**
 * Tags as semantic versions, and constraints on them in the language that skopeo's lists use: that of Masterminds/semver,
 * which reads more as a version than semver does (`v1`, `1.2`).
 */

interface Version {
  readonly parts: readonly [number, number, number]
  readonly prerelease: string
}

interface Constraint {
  readonly operator: string
  readonly version: Version
  /** How many of the three numbers were written, and not left out or `x`. */
  readonly written: number
}

type Compare = (have: Version, constraint: Constraint) => boolean

const versionPattern = /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([\dA-Za-z-]+(?:\.[\dA-Za-z-]+)*))?(?:\+[\dA-Za-z.-]+)?$/
const number = String.raw`(?:\d+|[xX*])`
const rest = String.raw`(?:-[\dA-Za-z.-]+)?(?:\+[\dA-Za-z.-]+)?`
const constraintPattern = new RegExp(String.raw`(=|==|!=|>|<|>=|=>|<=|=<|~|~>|\^)?\s*(v?${number}(?:\.${number}){0,2}${rest})`, 'y')
const rangePattern = new RegExp(
  String.raw`(?<=^|[\s,])(v?${number}(?:\.${number}){0,2}${rest})\s+-\s+(v?${number}(?:\.${number}){0,2}${rest})`,
  'g',
)

/**
 * Reads a constraint: `>= 1.2, < 2 || ~3.1`. What it answers says whether a tag satisfies it; one that is no version does not.
 * A pre-release does only if the constraint mentions one.
 *
 * @throws StaveError `invalid-document`
 */
export function parseConstraint(text: string): (tag: string) => boolean {
  const alternatives = text.split('||').map((alternative) => parseAll(alternative.trim(), text))
  return (tag) => {
    const version = parseVersion(tag)
    return version !== undefined && alternatives.some((constraints) => satisfies(version, constraints))
  }
}

function parseAll(alternative: string, whole: string): readonly Constraint[] {
  const text = alternative.replace(rangePattern, '>=$1, <=$2')
  const constraints: Constraint[] = []
  let at = 0
  while (at < text.length) {
    constraintPattern.lastIndex = at
    const match = constraintPattern.exec(text)
    if (match === null) break
    const [, operator = '', written = ''] = match
    constraints.push(readConstraint(operator, written))
    at = constraintPattern.lastIndex
    const between = /[\s,]*/y
    between.lastIndex = at
    between.exec(text)
    // Something has to stand between two constraints, and an operator is enough.
    if (between.lastIndex === at && at < text.length && !/[=!<>~^]/.test(text[at]!)) break
    at = between.lastIndex
  }
  if (at < text.length || constraints.length === 0) {
    throw new StaveError('invalid-document', `cannot use ${JSON.stringify(whole)} as a constraint on versions`, {
      hint: 'Examples: ">= 1.2, < 2", "~1.4", "^2", "1.x || 3.*", "1.2 - 1.9".',
    })
  }
  return constraints
}

function readConstraint(operator: string, text: string): Constraint {
  const [, numbers = '', prerelease = ''] = /^v?([\d.xX*]+)(?:-([\dA-Za-z.-]+))?/.exec(text) ?? []
  const parts = numbers.split('.')
  const wild = parts.findIndex((part) => !/^\d+$/.test(part))
  const written = wild < 0 ? parts.length : wild
  const at = (index: number) => (index < written ? Number(parts[index]) : 0)
  return { operator, version: { parts: [at(0), at(1), at(2)], prerelease }, written }
}

function parseVersion(tag: string): Version | undefined {
  const match = versionPattern.exec(tag)
  if (match === null) return undefined
  const [, major, minor = '0', patch = '0', prerelease = ''] = match
  return { parts: [Number(major), Number(minor), Number(patch)], prerelease }
}

function satisfies(version: Version, constraints: readonly Constraint[]): boolean {
  if (version.prerelease !== '' && constraints.every((constraint) => constraint.version.prerelease === '')) return false
  return constraints.every((constraint) => comparisons[constraint.operator]!(version, constraint))
}

/** Are the numbers that were written the same? */
const within: Compare = (have, { version, written }) => version.parts.every((part, index) => index >= written || have.parts[index] === part)
const equal: Compare = (have, constraint) =>
  constraint.written < 3 ? within(have, constraint) && atLeast(have, constraint) : compare(have, constraint.version) === 0
const atLeast: Compare = (have, constraint) => compare(have, constraint.version) >= 0
const below: Compare = (have, constraint) => compare(have, constraint.version) < 0
// `> 11` means from 12 on, and `<= 11` all of 11.
const above: Compare = (have, constraint) =>
  compare(have, constraint.version) > 0 && (constraint.written === 3 || !within(have, constraint))
const atMost: Compare = (have, constraint) => compare(have, constraint.version) <= 0 || (constraint.written < 3 && within(have, constraint))
/** `~1.2.3` stays in 1.2, `~1` in 1. */
const tilde: Compare = (have, constraint) =>
  atLeast(have, constraint) && within(have, { ...constraint, written: Math.min(constraint.written, 2) })
/** `^1.2.3` stays in 1, `^0.2.3` in 0.2, `^0.0.3` is that alone: in what stands up to the first number that is not zero. */
const caret: Compare = (have, constraint) => {
  const first = constraint.version.parts.findIndex((part) => part !== 0)
  const fixed = first < 0 ? constraint.written : Math.min(first + 1, constraint.written)
  return atLeast(have, constraint) && within(have, { ...constraint, written: fixed })
}

const comparisons: Readonly<Record<string, Compare>> = {
  '': equal,
  '=': equal,
  '==': equal,
  '!=': (have, constraint) => !equal(have, constraint),
  '>': above,
  '<': below,
  '>=': atLeast,
  '=>': atLeast,
  '<=': atMost,
  '=<': atMost,
  '~': tilde,
  '~>': tilde,
  '^': caret,
}

/** @see semver.org, §11 */
function compare(a: Version, b: Version): number {
  for (let index = 0; index < 3; index++) {
    const difference = a.parts[index]! - b.parts[index]!
    if (difference !== 0) return difference
  }
  if (a.prerelease === b.prerelease) return 0
  if (a.prerelease === '' || b.prerelease === '') return a.prerelease === '' ? 1 : -1
  const [left, right] = [a.prerelease.split('.'), b.prerelease.split('.')]
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const difference = compareIdentifiers(left[index], right[index])
    if (difference !== 0) return difference
  }
  return 0
}

function compareIdentifiers(a: string | undefined, b: string | undefined): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? -1 : 1
  const [isNumberA, isNumberB] = [/^\d+$/.test(a), /^\d+$/.test(b)]
  if (isNumberA && isNumberB) return Number(a) - Number(b)
  if (isNumberA !== isNumberB) return isNumberA ? -1 : 1
  return a === b ? 0 : a < b ? -1 : 1
}
