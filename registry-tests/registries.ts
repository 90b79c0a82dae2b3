import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { createRegistryClient, type RegistryClient } from '#registry/client/registry.ts'
import { anonymous, givenCredentials } from '#registry/login/credentials.ts'
import { serve, type ServeOptions } from '#registry/server/server.ts'
import { workshop, type Workshop } from '../integration-tests/stave.ts'

/** A registry to run the suite against. */
export interface Candidate {
  readonly name: string
  /** Why it cannot run here. */
  readonly skip?: string
  start(): Promise<Running>
}

export interface Running extends AsyncDisposable {
  /** `127.0.0.1:5000` */
  readonly host: string
  /** It lets nobody in without. */
  readonly user?: { readonly name: string; readonly password: string }
}

/** Every registry at hand: the embedded one, Debian's, and those of $STAVE_TEST_REGISTRIES (`name=[user:password@]host:port`, …). */
export function candidates(given: string | undefined): Candidate[] {
  const user = { name: 'stave', password: 'stave' }
  const users = { stave: 'stave' }
  const debian = has('docker-registry') ? {} : { skip: 'docker-registry is not installed' }
  return [
    { name: 'stave serve', start: () => embedded({}) },
    { name: 'stave serve with passwords', start: async () => ({ ...(await embedded({ auth: { kind: 'basic', users } })), user }) },
    { name: 'stave serve with tokens', start: async () => ({ ...(await embedded({ auth: { kind: 'token', users } })), user }) },
    { name: 'docker-registry', ...debian, start: () => dockerRegistry() },
    // The password `stave`, as bcrypt.
    {
      name: 'docker-registry with passwords',
      ...debian,
      start: async () => ({ ...(await dockerRegistry('stave:$2y$05$2s99Lk6HRRhOFlUyBxtUm.pFOvQ/IHAyXd2ntuG/sOD6EbEjo0zFq\n')), user }),
    },
    ...(given === undefined || given === '' ? composed() : given.split(',').map(external)),
  ]
}

function composed(): Candidate[] {
  return ['distribution', 'distribution-auth', 'zot'].map((name) => ({
    name,
    skip: 'STAVE_TEST_REGISTRIES does not give its address (see docker-compose.test.yml)',
    start: () => Promise.reject(new Error('no address')),
  }))
}

function external(text: string): Candidate {
  const match = /^([^=]+)=(?:([^:@]+):([^@]*)@)?(.+)$/.exec(text.trim())
  if (match === null) throw new Error(`STAVE_TEST_REGISTRIES: ${JSON.stringify(text)} is not name=[user:password@]host:port`)
  const [, name = '', user, password = '', host = ''] = match
  return {
    name,
    start: async () => ({ host, ...(user === undefined ? {} : { user: { name: user, password } }), async [Symbol.asyncDispose]() {} }),
  }
}

/** What the tests of one registry share: it runs from the first of them to the last. */
export interface During {
  readonly host: string
  readonly client: RegistryClient
  /** Flags that let somebody in, where it asks. */
  readonly creds: readonly string[]
  readonly shop: Workshop
}

/** Called within `describe`. What it answers can be used in tests alone. */
export function duringTests(candidate: Candidate): During {
  let running: Running
  let client: RegistryClient
  let shop: Workshop
  beforeAll(async () => {
    running = await candidate.start()
    shop = workshop('registry-tests')
    const { user } = running
    client = createRegistryClient({ credentials: user === undefined ? anonymous : givenCredentials(user.name, user.password) })
  })
  afterAll(async () => {
    await client[Symbol.asyncDispose]()
    await running[Symbol.asyncDispose]()
    shop[Symbol.dispose]()
  })
  return {
    get host() {
      return running.host
    },
    get client() {
      return client
    },
    get shop() {
      return shop
    },
    get creds() {
      return running.user === undefined ? [] : ['--creds', `${running.user.name}:${running.user.password}`]
    },
  }
}

async function embedded(options: Partial<ServeOptions>): Promise<Running> {
  const directory = await temporary()
  const server = await serve({ directory, ...options })
  return {
    host: server.host,
    async [Symbol.asyncDispose]() {
      await server.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** Debian's registry on a free port. @returns also where it keeps its files */
export async function dockerRegistry(htpasswd?: string): Promise<Running & { readonly directory: string }> {
  const directory = await temporary()
  const port = await freePort()
  const auth = htpasswd === undefined ? '' : `auth: {htpasswd: {realm: stave, path: ${directory}/htpasswd}}\n`
  if (htpasswd !== undefined) await writeFile(path.join(directory, 'htpasswd'), htpasswd)
  const config = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: ${directory}/data}, delete: {enabled: true}}
http: {addr: '127.0.0.1:${port}', secret: tests}
${auth}`
  await writeFile(path.join(directory, 'config.yml'), config)
  const child = spawn('docker-registry', ['serve', path.join(directory, 'config.yml')], { stdio: 'ignore' })
  const host = `127.0.0.1:${port}`
  await until(child, `http://${host}/v2/`)
  return {
    host,
    directory,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function until(child: ChildProcess, url: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (child.exitCode !== null) throw new Error(`docker-registry ended with ${child.exitCode}`)
    const answered = await fetch(url).then(
      ({ status }) => status === 200 || status === 401,
      () => false,
    )
    if (answered) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`nothing answers at ${url}`)
}

export function temporary(): Promise<string> {
  return mkdtemp(path.join(os.tmpdir(), 'stave-registry-tests-'))
}

async function freePort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Is there a program of this name? */
export function has(program: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
