import { expect, test } from 'vitest'
import { outlineJson, targetsJson } from './call-json.ts'
import { docComment, listTargets, outline } from './outline.ts'
import { parseDockerfile } from './parse.ts'

const text = `ARG unused=1
# BASE the base image
ARG BASE=debian
# VERSION which version
ARG VERSION=12
ARG TAG=\${VERSION}-slim

# build compiles everything
FROM $BASE:$TAG AS build
# TARGET what to compile
ARG TARGET=all
ARG VERSION
RUN --mount=type=secret,id=token,required --mount=type=ssh --mount=type=cache,target=/root/.cache make

FROM scratch AS tools
ARG ONLY_TOOLS=1

# final is shipped
FROM --platform=$BUILDPLATFORM busybox AS final
ARG MODE
RUN --mount=type=secret,id=\${MODE:-other} x
COPY --from=build /a /b
`
const file = parseDockerfile(text, { file: 'Dockerfile' })
const platform = { os: 'linux', architecture: 'amd64' }
const options = { buildArgs: new Map<string, string>(), targetPlatform: platform, buildPlatform: platform }

test('targets', () => {
  expect(listTargets(file)).toEqual([
    { name: 'build', index: 0, description: 'compiles everything', base: '$BASE:$TAG', isDefault: false, line: 9 },
    { name: 'tools', index: 1, base: 'scratch', isDefault: false, line: 15 },
    { name: 'final', index: 2, description: 'is shipped', base: 'busybox', platform: '$BUILDPLATFORM', isDefault: true, line: 19 },
  ])
})

test('the outline of the default target', () => {
  expect(outline(file, options)).toEqual({
    target: 'final',
    description: 'is shipped',
    arguments: [
      { name: 'BASE', value: 'debian', description: 'the base image', line: 3 },
      { name: 'VERSION', value: '12', description: 'which version', line: 5 },
      { name: 'TAG', value: '12-slim', line: 6 },
      { name: 'TARGET', value: 'all', description: 'what to compile', line: 11 },
      { name: 'MODE', line: 20 },
    ],
    secrets: [
      { id: 'token', required: true, line: 13 },
      { id: 'other', required: false, line: 21 },
    ],
    ssh: [{ id: 'default', required: false, line: 13 }],
    cache: [{ id: '/root/.cache', line: 13 }],
  })
})

test('of another target, with build arguments', () => {
  expect(outline(file, { ...options, target: 'tools' })).toEqual({
    target: 'tools',
    arguments: [{ name: 'ONLY_TOOLS', value: '1', line: 16 }],
    secrets: [],
    ssh: [],
    cache: [],
  })
  const { arguments: found } = outline(file, { ...options, target: 'build', buildArgs: new Map([['VERSION', '13']]) })
  expect(found.map(({ name, value }) => [name, value])).toEqual([
    ['BASE', 'debian'],
    ['TAG', '13-slim'],
    ['TARGET', 'all'],
    ['VERSION', '13'],
  ])
})

test('a comment describes what it begins with', () => {
  expect(docComment(['x is it', 'y'], 'x')).toBe('is it')
  expect(docComment(['xx is it'], 'x')).toBeUndefined()
})

const encoded = Buffer.from(text).toString('base64')

test('as JSON, in the shape of BuildKit', () => {
  const at = (line: number) => ({ ranges: [{ start: { line }, end: { line } }] })
  expect(targetsJson(listTargets(file), text)).toEqual({
    targets: [
      { name: 'build', description: 'compiles everything', base: '$BASE:$TAG', location: at(9) },
      { name: 'tools', base: 'scratch', location: at(15) },
      { name: 'final', description: 'is shipped', base: 'busybox', platform: '$BUILDPLATFORM', default: true, location: at(19) },
    ],
    sources: [encoded],
  })
  expect(outlineJson(outline(file, options), text)).toMatchObject({
    name: 'final',
    description: 'is shipped',
    args: [
      { name: 'BASE', value: 'debian', description: 'the base image', location: at(3) },
      { name: 'VERSION' },
      { name: 'TAG' },
      { name: 'TARGET' },
      { name: 'MODE', location: at(20) },
    ],
    secrets: [
      { name: 'token', required: true, location: at(13) },
      { name: 'other', location: at(21) },
    ],
    ssh: [{ name: 'default', location: at(13) }],
    cache: [{ ID: '/root/.cache', location: at(13) }],
    sources: [encoded],
  })
  expect(outlineJson(outline(file, { ...options, target: 'tools' }), text)).not.toHaveProperty('secrets')
})
