import { expect, test } from 'vitest'
import { isLocalPlace, parseLocation, parseRegistryFirst } from './location.ts'

test.each([
  ['docker://debian:12', { transport: 'docker', name: 'debian:12' }],
  ['docker://localhost:5000/a@sha256:00', { transport: 'docker', name: 'localhost:5000/a@sha256:00' }],
  ['oci:dir', { transport: 'oci', path: 'dir', name: undefined }],
  ['oci:/a/b:latest', { transport: 'oci', path: '/a/b', name: 'latest' }],
  ['oci-archive:x.tar:v1', { transport: 'oci-archive', path: 'x.tar', name: 'v1' }],
  ['docker-archive:x.tar:web:1.2', { transport: 'docker-archive', path: 'x.tar', name: 'web:1.2' }],
  ['dir:/tmp/x', { transport: 'dir', path: '/tmp/x' }],
  ['containers-storage:web', { transport: 'store', name: 'web' }],
  ['docker-daemon:web:1', { transport: 'store', name: 'web:1', isDaemon: true }],
  ['web', { transport: 'store', name: 'web' }],
  ['web:1.2', { transport: 'store', name: 'web:1.2' }],
  ['localhost:5000/web', { transport: 'store', name: 'localhost:5000/web' }],
  ['oci:latest', { transport: 'oci', path: 'latest', name: undefined }],
])('%s', (text, expected) => {
  expect(parseLocation(text)).toEqual(expected)
})

test.each([
  ['docker:debian', /two slashes/],
  ['oci:', /nothing stands after/],
  ['oci::tag', /path is missing/],
  ['ftp://x', /no transport ftp/],
])('%s is refused', (text, message) => {
  expect(() => parseLocation(text)).toThrow(message)
})

test.each([
  ['web:1', { transport: 'docker', name: 'web:1' }],
  ['docker://web', { transport: 'docker', name: 'web' }],
  ['containers-storage:web', { transport: 'store', name: 'web' }],
  ['oci:web', { transport: 'oci', path: 'web', name: undefined }],
])('%s, where a bare name is in a registry', (text, expected) => {
  expect(parseRegistryFirst(text)).toEqual(expected)
})

test.each([
  ['oci:dir', true],
  ['oci-archive:x.tar', true],
  ['docker-archive:x.tar', true],
  ['dir:/x', true],
  ['tarball:x', true],
  ['containers-storage:web', true],
  ['docker-daemon:web', true],
  ['docker:dind', false],
  ['store:1.0', false],
  ['localhost:5000/web', false],
  ['web', false],
])('%s is on this machine: %s', (text, expected) => {
  expect(isLocalPlace(text)).toBe(expected)
})
