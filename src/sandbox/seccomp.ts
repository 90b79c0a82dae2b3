import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { array, decodeJson, object, size, string, withDefault, type Decoder } from '#oci/decode.ts'
import type { SeccompAction, SeccompCondition, SeccompProfile, SeccompRule } from '#runner/protocol.ts'

/** What the parts of a profile depend on. */
export interface SeccompTarget {
  readonly capabilities: readonly string[]
  /** As Docker's profiles have it: `amd64`, `arm64`. */
  readonly architecture: string
  /** `6.1.0-18-amd64`: the first two numbers count. */
  readonly kernel: string
}

const actions: Readonly<Record<string, SeccompAction>> = {
  SCMP_ACT_ALLOW: 'allow',
  SCMP_ACT_LOG: 'log',
  SCMP_ACT_TRACE: 'trace',
  SCMP_ACT_ERRNO: 'errno',
  SCMP_ACT_TRAP: 'trap',
  SCMP_ACT_KILL: 'kill-thread',
  SCMP_ACT_KILL_THREAD: 'kill-thread',
  SCMP_ACT_KILL_PROCESS: 'kill-process',
}
const operators: Readonly<Record<string, SeccompCondition['operator']>> = {
  SCMP_CMP_NE: 'ne',
  SCMP_CMP_LT: 'lt',
  SCMP_CMP_LE: 'le',
  SCMP_CMP_EQ: 'eq',
  SCMP_CMP_GE: 'ge',
  SCMP_CMP_GT: 'gt',
  SCMP_CMP_MASKED_EQ: 'masked-eq',
}

const strings = withDefault(array(string, limit.seccompEntries), [])
const errno: Decoder<number> = (value, at) => Math.min(size(value, at), 4095)
const condition = object({ index: size, value: size, op: oneOf(operators) }, { valueTwo: size })
const dependence = object({}, { caps: strings, arches: strings, minKernel: string })
const rule = object(
  { action: oneOf(actions) },
  { names: strings, name: string, errnoRet: errno, args: array(condition, 32), includes: dependence, excludes: dependence },
)
const profile = object(
  { defaultAction: oneOf(actions) },
  { defaultErrnoRet: errno, syscalls: array(rule, limit.seccompEntries), listenerPath: string },
)
type Rule = ReturnType<typeof rule>
type Dependence = ReturnType<typeof dependence>

/**
 * Reads a profile in the format of Docker and of the runtime-spec, and leaves in it what holds for a container: pure.
 *
 * @param title What a person calls it, for messages.
 * @throws StaveError `invalid-document`, `too-large`, `unsupported`
 */
export function parseSeccompProfile(text: Uint8Array, title: string, target: SeccompTarget): SeccompProfile {
  const document = decodeJson(text, limit.jsonBytes, title, 'runtime-spec, "Seccomp"', profile)
  if (document.listenerPath !== undefined)
    throw new StaveError('unsupported', `cannot use ${title}: it hands system calls over to another process (listenerPath)`)
  return {
    defaultAction: document.defaultAction,
    ...(document.defaultErrnoRet !== undefined && { defaultErrno: document.defaultErrnoRet }),
    rules: (document.syscalls ?? []).filter((one) => applies(one, target)).map(ruleOf),
  }
}

/** All that it includes must be so, and nothing that it excludes. */
function applies({ includes = {}, excludes = {} }: Rule, target: SeccompTarget): boolean {
  const has = (name: string) => target.capabilities.includes(name)
  const runsOn = ({ arches = [] }: Dependence) => arches.includes(target.architecture)
  const reaches = ({ minKernel = '' }: Dependence) => isAtLeast(target.kernel, minKernel)
  if (includes.caps !== undefined && !includes.caps.every(has)) return false
  if (includes.arches !== undefined && includes.arches.length > 0 && !runsOn(includes)) return false
  if (includes.minKernel !== undefined && !reaches(includes)) return false
  if (excludes.caps?.some(has)) return false
  if (runsOn(excludes)) return false
  return excludes.minKernel === undefined || !reaches(excludes)
}

function isAtLeast(kernel: string, wanted: string): boolean {
  const [[major = 0, minor = 0], [wantedMajor = 0, wantedMinor = 0]] = [kernel, wanted].map((text) =>
    text.split('.').map((part) => Number.parseInt(part, 10)),
  ) as [number[], number[]]
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
}

function ruleOf({ names = [], name, action, errnoRet, args = [] }: Rule): SeccompRule {
  return {
    names: name === undefined ? names : [...names, name],
    action,
    ...(errnoRet !== undefined && { errno: errnoRet }),
    ...(args.length > 0 && { conditions: args.map(conditionOf) }),
  }
}

/** The format has the mask in `value` and what is compared with in `valueTwo`. */
function conditionOf({ index, op, value, valueTwo = 0 }: ReturnType<typeof condition>): SeccompCondition {
  return op === 'masked-eq' ? { index, operator: op, value: valueTwo, mask: value } : { index, operator: op, value }
}

function oneOf<T>(known: Readonly<Record<string, T>>): Decoder<T> {
  return (value, at) => {
    const text = string(value, at)
    if (Object.hasOwn(known, text)) return known[text]!
    throw new StaveError(
      'unsupported',
      `cannot use ${at.document}: ${at.path} is ${text}, which is none of ${Object.keys(known).join(', ')}`,
    )
  }
}
