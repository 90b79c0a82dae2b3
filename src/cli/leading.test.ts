import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { digestHex, digestOf } from '#oci/digest.ts'
import { commands, findCommand } from './commands.ts'
import { readLeading, splitLeading } from './leading.ts'

const directory = mkdtempSync(join(tmpdir(), 'stave-leading-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
for (const [name, host] of [
  ['here', 'unix:///var/run/docker.sock'],
  ['there', 'ssh://me@there'],
] as const) {
  const place = join(directory, 'contexts/meta', digestHex(digestOf(name)))
  mkdirSync(place, { recursive: true })
  writeFileSync(join(place, 'meta.json'), JSON.stringify({ Name: name, Endpoints: { docker: { Host: host } } }))
}

const read = (line: string) => {
  const { count, own, others } = splitLeading(line.split(' '), commands)
  const command = line.split(' ')[count]!
  return { command, others, ...readLeading(own, directory, findCommand(commands, command) ?? { flags: {} }) }
}

test.each([
  ['--storage-driver vfs bud', ['--storage-driver=vfs']],
  ['--storage-driver=vfs --storage-opt a=b --storage-opt c=d bud', ['--storage-driver=vfs', '--storage-opt=a=b', '--storage-opt=c=d']],
  ['--root /r --runroot /s --cgroup-manager cgroupfs ps', ['--root=/r', '--runroot=/s', '--cgroup-manager=cgroupfs']],
  ['--log-level error --tmpdir /t run', ['--tmpdir=/t', '--log-level=error']],
  ['-l info --tls --tlscacert f run', ['--log-level=info', '--tls=true', '--tlscacert=f']],
  ['--context here -H unix:///run/docker.sock run', []],
  ['-c unknown run', []],
  ['--policy p --insecure-policy pull', ['--signature-policy=p', '--insecure-policy=true']],
  ['--policy p --insecure-policy copy', ['--policy=p', '--insecure-policy=true']],
])('%s', (line, words) => {
  expect(read(line)).toEqual({ command: line.split(' ').at(-1), others: [], words, isDebug: false, dockerConfig: undefined })
})

test.each(['-D run', '--debug run', '-l debug run', '-ldebug run', '-l=debug run', '--log-level=trace run', '-Dc here run', '-Dchere run'])(
  'shows stacks: %s',
  (line) => {
    expect(read(line)).toMatchObject({ command: 'run', isDebug: true })
  },
)

test("skopeo's flags of a command stand before it", () => {
  expect(read('--override-arch arm64 --override-os=linux copy')).toMatchObject({
    command: 'copy',
    others: ['--override-arch', 'arm64', '--override-os=linux'],
  })
})

test('the directory of config.json', () => {
  expect(read('--config /d --context x ps').dockerConfig).toBe('/d')
})

test.each([
  ['-H tcp://10.0.0.1:2375 ps', 'cannot use -H tcp://10.0.0.1:2375: there is no daemon'],
  ['-Htcp://10.0.0.1 ps', 'there is no daemon'],
  ['-H there:2375 ps', 'there is no daemon'],
  ['--host unix:///a -H ssh://b ps', 'ssh://b'],
  ['--url ssh://b ps', 'there is no daemon'],
  ['--context there ps', 'cannot use the context there: there is no daemon'],
  ['--connection there ps', 'the context there'],
  ['--remote ps', '--remote'],
  ['--log-level loud ps', 'takes trace, debug, info'],
  ['--storage-drivr x ps', 'unknown flag --storage-drivr'],
  ['--volumepath x ps', '--volumepath is not offered'],
  ['--require-signed ps', '--require-signed is not offered'],
])('%s is refused', (line, message) => {
  expect(() => read(line)).toThrow(message)
})

test('a mistyped flag has a hint', () => {
  try {
    read('--storage-drivr x ps')
  } catch (error) {
    expect(error).toMatchObject({ hint: 'Did you mean --storage-driver? See stave --help.' })
  }
})
