import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { background as cx } from '#context.ts'
import { type CredentialPaths, defaultCredentialPaths, openCredentials } from './credentials.ts'
import { eraseCredential, storeCredential } from './login.ts'

let directory: string
const encode = (text: string) => Buffer.from(text).toString('base64')

beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'stave-credentials-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

async function write(name: string, content: unknown): Promise<string> {
  const file = path.join(directory, name)
  await mkdir(path.dirname(file), { recursive: true })
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content))
  return file
}

function paths(containers: string, docker?: string): CredentialPaths {
  return {
    search: [{ path: containers, format: 'containers' }, ...(docker === undefined ? [] : [{ path: docker, format: 'docker' as const }])],
    store: { path: containers, format: 'containers' },
    environment: { PATH: `${directory}/bin:/usr/bin:/bin`, HOME: directory },
    home: directory,
  }
}

async function find(auths: object, registry: string, repository = 'x', format: 'containers' | 'docker' | 'legacy' = 'containers') {
  const file = await write('auth.json', format === 'legacy' ? auths : { auths })
  const found = await openCredentials({ ...paths(file), search: [{ path: file, format }] }).find(cx, registry, repository)
  return found === undefined
    ? undefined
    : found.kind === 'password'
      ? `${found.username}:${found.password}`
      : `${found.kind}:${found.token}`
}

describe('looks up', () => {
  const auth = (text: string) => ({ auth: encode(text) })
  test.each<[name: string, auths: object, registry: string, repository: string, expected: string | undefined]>([
    ['a host', { 'r.example': auth('u:p') }, 'r.example', 'a', 'u:p'],
    ['a host with a port', { 'r.example:5000': auth('u:p') }, 'r.example:5000', 'a', 'u:p'],
    ['no other port', { 'r.example:5000': auth('u:p') }, 'r.example', 'a', undefined],
    ['a password with colons', { 'r.example': auth('u:p:q') }, 'r.example', 'a', 'u:p:q'],
    ['the NUL bytes of Docker', { 'r.example': auth('u:p\0\0') }, 'r.example', 'a', 'u:p'],
    ['a namespace before the host', { 'r.example': auth('u:p'), 'r.example/team': auth('v:q') }, 'r.example', 'team/web', 'v:q'],
    [
      'a repository before its namespace',
      { 'r.example/team': auth('u:p'), 'r.example/team/web': auth('v:q') },
      'r.example',
      'team/web',
      'v:q',
    ],
    ['no namespace that only begins alike', { 'r.example/tea': auth('u:p') }, 'r.example', 'team/web', undefined],
    ['an old key with https://', { 'https://r.example/v1/': auth('u:p') }, 'r.example', 'a', 'u:p'],
    ['Docker Hub under its oldest name', { 'https://index.docker.io/v1/': auth('u:p') }, 'docker.io', 'library/debian', 'u:p'],
    ['Docker Hub under its usual name', { 'docker.io': auth('u:p') }, 'docker.io', 'library/debian', 'u:p'],
    ['Docker Hub by namespace', { 'docker.io/acme': auth('u:p') }, 'docker.io', 'acme/web', 'u:p'],
    ['plain fields', { 'r.example': { username: 'u', password: 'p' } }, 'r.example', 'a', 'u:p'],
    ['an identity token', { 'r.example': { auth: encode('u:'), identitytoken: 't' } }, 'r.example', 'a', 'identity-token:t'],
    ['a registry token', { 'r.example': { registrytoken: 't' } }, 'r.example', 'a', 'registry-token:t'],
    ['nothing for an empty entry', { 'r.example': {} }, 'r.example', 'a', undefined],
    ['nothing for names of every object', {}, 'constructor', 'a', undefined],
  ])('%s', async (_, auths, registry, repository, expected) => {
    expect(await find(auths, registry, repository)).toBe(expected)
  })

  test('hosts only in a file of Docker', async () => {
    expect(await find({ 'r.example/team': { auth: encode('u:p') } }, 'r.example', 'team/web', 'docker')).toBeUndefined()
  })

  test('~/.dockercfg', async () => {
    expect(await find({ 'https://r.example': { auth: encode('u:p') } }, 'r.example', 'a', 'legacy')).toBe('u:p')
  })

  test('the second file when the first does not know the registry, and says which', async () => {
    const first = await write('one.json', { auths: { 'other.example': { auth: encode('a:b') } } })
    const second = await write('.docker/config.json', { auths: { 'r.example': { auth: encode('u:p') } } })
    expect(await openCredentials(paths(first, second)).find(cx, 'r.example', 'x')).toEqual({
      kind: 'password',
      username: 'u',
      password: 'p',
      from: '~/.docker/config.json',
    })
  })

  test('a missing or empty file is no error, a broken one is, and its text is not shown', async () => {
    const empty = await write('empty.json', '')
    expect(await openCredentials(paths(path.join(directory, 'none.json'), empty)).find(cx, 'r.example', 'x')).toBeUndefined()
    const broken = await write('broken.json', '{"auths": {"r": {"auth": "c2VjcmV0"')
    const error = await openCredentials(paths(broken))
      .find(cx, 'r.example', 'x')
      .catch((failure: unknown) => failure)
    expect(error).toMatchObject({ code: 'credentials' })
    expect(String(error) + String((error as Error).cause)).not.toContain('c2VjcmV0')
  })
})

describe('helper programs', () => {
  // Keeps what it is told below its own directory.
  const keeper = `#!/bin/sh
dir="$HOME/kept"; mkdir -p "$dir"; input=$(cat)
key() { printf %s "$1" | tr -c 'a-z0-9' _; }
case $1 in
  store) server=$(printf %s "$input" | sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/'); printf %s "$input" > "$dir/$(key "$server")" ;;
  get) cat "$dir/$(key "$input")" 2>/dev/null || { echo 'credentials not found in native keychain'; exit 1; } ;;
  erase) rm "$dir/$(key "$input")" 2>/dev/null || { echo 'credentials not found in native keychain'; exit 1; } ;;
esac
`
  async function helper(name: string, script: string): Promise<void> {
    const file = await write(`bin/docker-credential-${name}`, script)
    await chmod(file, 0o755)
  }

  test('credsStore: stores, finds and erases', async () => {
    await helper('keeper', keeper)
    const file = await write('auth.json', { credsStore: 'keeper' })
    expect(await storeCredential(cx, paths(file), 'r.example', { username: 'u', password: 'geheim' })).toBe('docker-credential-keeper')
    expect(await readFile(file, 'utf8')).not.toContain('geheim')
    expect(await openCredentials(paths(file)).find(cx, 'r.example', 'x')).toMatchObject({
      username: 'u',
      password: 'geheim',
      from: expect.stringContaining('docker-credential-keeper'),
    })
    expect(await openCredentials(paths(file)).find(cx, 'other.example', 'x')).toBeUndefined()
    expect(await eraseCredential(cx, paths(file), 'r.example')).toEqual(['docker-credential-keeper'])
    expect(await openCredentials(paths(file)).find(cx, 'r.example', 'x')).toBeUndefined()
    expect(await eraseCredential(cx, paths(file), 'r.example')).toEqual([])
  })

  test('credHelpers names one for a single registry; <token> is an identity token', async () => {
    await helper('tok', `#!/bin/sh\ncat >/dev/null\necho '{"ServerURL":"r","Username":"<token>","Secret":"t"}'\n`)
    const file = await write('auth.json', { credHelpers: { 'r.example': 'tok' }, auths: { 'other.example': { auth: encode('a:b') } } })
    expect(await openCredentials(paths(file)).find(cx, 'r.example', 'x')).toMatchObject({ kind: 'identity-token', token: 't' })
    expect(await openCredentials(paths(file)).find(cx, 'other.example', 'x')).toMatchObject({ username: 'a' })
  })

  test.each([
    ['is missing', undefined, 'there is no such program'],
    ['fails', '#!/bin/sh\ncat >/dev/null\necho locked >&2\nexit 3\n', 'exited with status 3: locked'],
    ['talks nonsense', '#!/bin/sh\ncat >/dev/null\necho hello\n', 'not the JSON'],
  ])('an error when it %s', async (_, script, message) => {
    if (script !== undefined) await helper('bad', script)
    const file = await write('auth.json', { credsStore: 'bad' })
    await expect(openCredentials(paths(file)).find(cx, 'r.example', 'x')).rejects.toThrow(message)
  })

  test('a name that leads elsewhere is not run', async () => {
    const file = await write('auth.json', { credsStore: '../../tmp/x' })
    await expect(openCredentials(paths(file)).find(cx, 'r.example', 'x')).rejects.toThrow('characters')
  })

  test('one that hangs ends with the operation', async () => {
    await helper('slow', '#!/bin/sh\nexec sleep 60\n')
    const file = await write('auth.json', { credsStore: 'slow' })
    await expect(openCredentials(paths(file)).find({ ...cx, signal: AbortSignal.timeout(100) }, 'r.example', 'x')).rejects.toMatchObject({
      code: 'cancelled',
    })
  })
})

describe('login', () => {
  test('keeps what else is in the file, for the user alone', async () => {
    const file = await write('deep/auth.json', { auths: { 'a.example': { auth: 'eDp5' } }, other: { kept: true } })
    await storeCredential(cx, paths(file), 'r.example/team', { username: 'u', password: 'p' })
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({
      auths: { 'a.example': { auth: 'eDp5' }, 'r.example/team': { auth: encode('u:p') } },
      other: { kept: true },
    })
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(await readdir(path.dirname(file))).toEqual(['auth.json'])
  })

  test('makes the file and its directories', async () => {
    const file = path.join(directory, 'new/dir/auth.json')
    await storeCredential(cx, paths(file), 'docker.io', { identityToken: 't' })
    expect(await openCredentials(paths(file)).find(cx, 'docker.io', 'library/x')).toMatchObject({ kind: 'identity-token', token: 't' })
    expect(await eraseCredential(cx, paths(file), 'docker.io')).toEqual([file])
  })

  test('many at once lose nothing', async () => {
    const file = path.join(directory, 'auth.json')
    const names = Array.from({ length: 20 }, (_, index) => `r${index}.example`)
    await Promise.all(names.map((name) => storeCredential(cx, paths(file), name, { username: name, password: 'p' })))
    expect(Object.keys((JSON.parse(await readFile(file, 'utf8')) as { auths: object }).auths).sort()).toEqual([...names].sort())
  })

  test('logout forgets in every file', async () => {
    const first = await write('one.json', { auths: { 'r.example': { auth: encode('u:p') } } })
    const second = await write('two.json', { auths: { 'r.example': { auth: encode('u:p') }, 'k.example': { auth: encode('u:p') } } })
    expect(await eraseCredential(cx, paths(first, second), 'r.example')).toEqual([first, second])
    expect(JSON.parse(await readFile(second, 'utf8'))).toEqual({ auths: { 'k.example': { auth: encode('u:p') } } })
  })
})

describe('default places', () => {
  const user = { uid: 1000, home: '/home/u' }
  test.each<[name: string, environment: Record<string, string>, search: string[], store: string]>([
    [
      'of a session',
      { XDG_RUNTIME_DIR: '/run/user/1000' },
      ['/run/user/1000/containers/auth.json', '/home/u/.config/containers/auth.json', '/home/u/.docker/config.json', '/home/u/.dockercfg'],
      '/run/user/1000/containers/auth.json',
    ],
    [
      'without a session',
      {},
      ['/run/containers/1000/auth.json', '/home/u/.config/containers/auth.json', '/home/u/.docker/config.json', '/home/u/.dockercfg'],
      '/home/u/.config/containers/auth.json',
    ],
    [
      'by variables',
      { REGISTRY_AUTH_FILE: '/a.json', DOCKER_CONFIG: '/d', XDG_CONFIG_HOME: '/c', XDG_RUNTIME_DIR: '/r' },
      ['/a.json', '/r/containers/auth.json', '/c/containers/auth.json', '/d/config.json', '/home/u/.dockercfg'],
      '/a.json',
    ],
  ])('%s', (_, environment, search, store) => {
    const found = defaultCredentialPaths(environment, user)
    expect(found.search.map((file) => file.path)).toEqual(search)
    expect(found.store.path).toBe(store)
  })
})

test('an entry that cannot be read is said, and not passed over; what stands there is not shown', async () => {
  for (const auth of ['no base64 at all!', encode('without-a-colon'), encode(':only-a-password')]) {
    const failure = find({ 'r.example': { auth } }, 'r.example')
    await expect(failure, auth).rejects.toMatchObject({ code: 'credentials', message: expect.stringContaining('r.example') as string })
    await expect(failure, auth).rejects.not.toThrow(auth)
    // Nobody asks for another registry's.
    expect(await find({ 'other.example': { auth } }, 'r.example')).toBeUndefined()
  }
})

test('a file that was named and knows nothing of the registry is said, where another one does', async () => {
  const named = await write('named.json', { auths: { 'other.example': { auth: encode('a:b') } } })
  const docker = await write('config.json', { auths: { 'r.example': { auth: encode('u:p') } } })
  const said: string[] = []
  const told = { ...cx, report: (event: Parameters<typeof cx.report>[0]) => void (event.type === 'warning' && said.push(event.message)) }
  const credentials = openCredentials({ ...paths(named, docker), named })
  expect(await credentials.find(told, 'r.example', 'x')).toMatchObject({ username: 'u' })
  expect(said).toEqual([expect.stringMatching(/named\.json has no credentials for r\.example: those in .*config\.json are used/)])
  await credentials.find(told, 'other.example', 'x')
  await credentials.find(told, 'nowhere.example', 'x')
  expect(said).toHaveLength(1)
})
