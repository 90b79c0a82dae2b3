import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { findRuntime } from './oci-runtime.ts'

const directory = mkdtempSync(join(tmpdir(), 'stave-oci-runtime-'))
afterAll(() => rmSync(directory, { recursive: true }))
const settings = { cwd: directory, env: { PATH: `relative:${directory}/bin` } }

test('a runtime is found by its name, by that of containerd, and by its path', () => {
  mkdirSync(join(directory, 'bin'))
  mkdirSync(join(directory, 'bin/folder'))
  for (const name of ['runc', 'plain']) writeFileSync(join(directory, 'bin', name), '')
  chmodSync(join(directory, 'bin/runc'), 0o755)
  const runc = join(directory, 'bin/runc')
  expect(['runc', 'io.containerd.runc.v2', './bin/runc', runc].map((text) => findRuntime(text, settings))).toEqual(
    Array.from({ length: 4 }, () => runc),
  )
  expect([undefined, '', 'stave', 'stave-runtime'].map((text) => findRuntime(text, settings))).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ])
  expect(() => findRuntime('no-such-runtime', settings)).toThrow(
    `--runtime no-such-runtime: there is no such program in ${directory}/bin, /usr/local/sbin,`,
  )
  for (const name of ['./bin/plain', './bin/folder', '/no/such'])
    expect(() => findRuntime(name, settings)).toThrow('not an executable file')
  for (const name of ['kata', 'systemd-nspawn', 'io.containerd.runhcs.v1'])
    expect(() => findRuntime(name, settings)).toThrow('cannot run containers for stave')
})
