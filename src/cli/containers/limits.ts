import { statSync } from 'node:fs'
import { StaveError } from '#error.ts'
import type { BlockIo, DeviceNumber, DeviceRule, Resources } from '#runner/protocol.ts'
import { readResources } from '#sandbox/resources.ts'
import { parseBytes } from '#text/size.ts'
import type { Values } from '../command.ts'
import { keyValues } from '../key-values.ts'
import type { limitFlags } from './limit-flags.ts'

/** What the limits mean. @throws StaveError `usage`, `not-found` for a device that is not there */
export function limitsOf(flags: Values<typeof limitFlags>, conf: readonly string[] = []): Resources {
  const swappiness = flags['memory-swappiness'] ?? -1
  if (!Number.isInteger(swappiness) || swappiness < -1 || swappiness > 100)
    throw new StaveError('usage', `--memory-swappiness takes 0 to 100, or -1, not ${swappiness}`)
  const blockIo = disksOf(flags)
  return {
    ...readResources(flags),
    ...(swappiness >= 0 && { memorySwappiness: swappiness }),
    ...(Object.keys(blockIo).length > 0 && { blockIo }),
    ...(conf.length > 0 && { unified: keyValues(conf, '--cgroup-conf') }),
  }
}

const weights = { least: 10, most: 1000 }

function disksOf(flags: Values<typeof limitFlags>): BlockIo {
  const weight = flags['blkio-weight'] ?? 0
  if (weight !== 0) checkWeight(weight, '--blkio-weight')
  const plain = (text: string, flag: string) => {
    if (/^\d+$/.test(text)) return Number(text)
    throw new StaveError('usage', `${flag} takes DEVICE:N, where N is a whole number, not ${JSON.stringify(text)}`)
  }
  const lists = {
    weightDevices: numbers(flags, 'blkio-weight-device', (text, flag) => checkWeight(plain(text, flag), flag)),
    readBps: numbers(flags, 'device-read-bps', parseBytes),
    writeBps: numbers(flags, 'device-write-bps', parseBytes),
    readIops: numbers(flags, 'device-read-iops', plain),
    writeIops: numbers(flags, 'device-write-iops', plain),
  }
  return { ...(weight !== 0 && { weight }), ...Object.fromEntries(Object.entries(lists).filter(([, list]) => list.length > 0)) }
}

function checkWeight(weight: number, flag: string): number {
  if (Number.isInteger(weight) && weight >= weights.least && weight <= weights.most) return weight
  throw new StaveError('usage', `${flag} takes a weight of ${weights.least} to ${weights.most}, not ${weight}`)
}

type DiskFlag = 'blkio-weight-device' | 'device-read-bps' | 'device-write-bps' | 'device-read-iops' | 'device-write-iops'

function numbers(flags: Values<typeof limitFlags>, name: DiskFlag, read: (text: string, flag: string) => number): DeviceNumber[] {
  return flags[name].map((word) => {
    const [, path = '', text = ''] = /^(\/dev\/[^:]+):(.+)$/.exec(word) ?? []
    if (path === '') throw new StaveError('usage', `--${name} takes /dev/DISK:VALUE, not ${JSON.stringify(word)}`)
    return { ...numberOf(path, name), value: read(text, `--${name}`) }
  })
}

/** Of a disk (the kernel's `dev_t` as the C library has it). */
function numberOf(path: string, flag: string): { major: number; minor: number } {
  let stat
  try {
    stat = statSync(path)
  } catch (cause) {
    throw new StaveError('not-found', `--${flag} ${path}: there is no such device`, { cause, exitCode: 125 })
  }
  if (!stat.isBlockDevice()) throw new StaveError('usage', `--${flag} ${path}: it is no disk`)
  const { rdev } = stat
  return { major: (rdev >> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >> 12) & 0xfff00) }
}

/** Reads `--device-cgroup-rule 'c 42:* rmw'`. @throws StaveError `usage` */
export function parseDeviceRule(text: string): DeviceRule {
  const [, kind, major = '', minor = '', access = ''] = /^([abc]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(text) ?? []
  if (kind === undefined)
    throw new StaveError('usage', `--device-cgroup-rule takes TYPE MAJOR:MINOR ACCESS, such as "c 42:* rwm", not ${JSON.stringify(text)}`)

  return {
    kind: kind as DeviceRule['kind'],
    ...(major !== '*' && { major: Number(major) }),
    ...(minor !== '*' && { minor: Number(minor) }),
    access,
  }
}
