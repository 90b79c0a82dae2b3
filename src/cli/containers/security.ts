import { existsSync } from 'node:fs'
import { release } from 'node:os'
import { StaveError } from '#error.ts'
import * as limit from '#limit.ts'
import { parseSeccompProfile } from '#sandbox/seccomp.ts'
import type { ContainerOptions } from '#container/spec.ts'
import { readSmallFile } from '../key-values.ts'
import type { Settings } from '../settings.ts'

type SecurityOptions = Pick<ContainerOptions, 'noNewPrivileges' | 'seccomp' | 'apparmor' | 'mask' | 'unmask'>

/**
 * `--security-opt`.
 *
 * @param capabilities Those that the container will have: parts of a profile hold with some only.
 * @throws StaveError `usage`
 */
export function securityOptions(words: readonly string[], capabilities: readonly string[], settings: Settings): SecurityOptions {
  return words.reduce<SecurityOptions>((options, word) => ({ ...options, ...optionOf(word, options, capabilities, settings) }), {})
}

function optionOf(word: string, before: SecurityOptions, capabilities: readonly string[], settings: Settings): SecurityOptions {
  const [key, value = ''] = word.split(/[=:](.*)/s)
  switch (key) {
    case 'no-new-privileges':
      return { noNewPrivileges: value !== 'false' }
    case 'seccomp':
      return { seccomp: seccompOf(value, capabilities, settings) }
    case 'apparmor':
      return value === '' || value === 'unconfined' ? {} : { apparmor: value }
    case 'label':
      checkLabel(word, value)
      return {}
    case 'mask':
      return { mask: [...(before.mask ?? []), ...paths(word, value)] }
    case 'unmask':
      return { unmask: [...(before.unmask ?? []), ...(/^all$/i.test(value) ? ['ALL'] : paths(word, value))] }
    case 'systempaths':
      if (value === 'unconfined') return { unmask: ['ALL'] }
      break
    default:
  }
  throw new StaveError('usage', `--security-opt ${word} is not understood`, {
    hint: 'There are no-new-privileges, seccomp=unconfined, seccomp=FILE, apparmor=PROFILE, mask=PATH, unmask=PATH|ALL, systempaths=unconfined and label=disable.',
  })
}

/** Several are separated by colons. */
function paths(word: string, value: string): string[] {
  const list = value.split(':')
  const wrong = list.find((path) => !path.startsWith('/'))
  if (wrong === undefined) return list
  throw new StaveError('usage', `--security-opt ${word}: ${JSON.stringify(wrong)} is not an absolute path`)
}

/** Labels mean something under SELinux alone, and there stave gives none. */
function checkLabel(word: string, value: string): void {
  if (!/^(disable|nested|(user|role|type|level|filetype):.+|)$/.test(value))
    throw new StaveError('usage', `--security-opt ${word} is no label`, { hint: 'Such as label=disable or label=type:container_t.' })

  if (value === 'disable' || value === '' || !existsSync('/sys/fs/selinux/enforce')) return
  throw new StaveError('unsupported', `--security-opt ${word}: containers are given no labels of SELinux`, {
    hint: 'Label the files and start stave itself with runcon.',
  })
}

function seccompOf(value: string, capabilities: readonly string[], settings: Settings): NonNullable<ContainerOptions['seccomp']> {
  if (value === 'unconfined') return value
  if (['default', 'builtin', ''].includes(value)) return 'default'
  const text = Buffer.from(readSmallFile(value, settings, limit.jsonBytes))
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch
  return parseSeccompProfile(text, value, { capabilities, architecture, kernel: release() })
}
