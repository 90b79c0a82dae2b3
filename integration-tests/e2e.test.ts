/** Real images on real registries, judged by the peers' own programs; and the peers' images, used here. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { dockerRegistry } from '../registry-tests/registries.ts'
import { busyboxTar, debianTar, embeddedRegistry, workshop } from './stave.ts'

const shop = workshop('e2e')
afterAll(() => shop[Symbol.dispose]())

const has = (program: string) => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
const isRoot = process.getuid?.() === 0
const missing = ['skopeo', 'umoci', 'podman', 'buildah', 'docker-registry', 'mmdebstrap'].filter((program) => !has(program))

/** Runs a peer, which must succeed. @returns its stdout */
function peer(program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 28 })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} exited with ${status}:\n${stderr}`)
  return stdout.trim()
}

/** podman asks for more open files than a container on CI may have. */
const modestly = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'] as const

/** podman and buildah on a storage of their own, whatever the machine's is. */
function storage(program: 'podman' | 'buildah'): readonly string[] {
  return [
    '--root',
    shop.path('containers'),
    '--runroot',
    shop.path('containers-run'),
    '--storage-driver',
    'vfs',
    ...(program === 'podman' ? ['--cgroup-manager', 'cgroupfs', ...(has('runc') ? ['--runtime', 'runc'] : [])] : []),
  ]
}

function context(name: string, files: Readonly<Record<string, string>>): string {
  const directory = shop.path(name)
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(join(directory, file, '..'), { recursive: true })
    writeFileSync(join(directory, file), content)
  }
  return directory
}

async function freePort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as net.AddressInfo
  await new Promise((done) => server.close(done))
  return port
}

async function fetched(url: string, tries = 100): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await (await fetch(url)).text()
    } catch (error) {
      if (attempt === tries) throw error
      await new Promise((done) => setTimeout(done, 50))
    }
  }
}

const reachesPackages = isRoot && missing.length === 0 && spawnSync('apt-get', ['-qq', '--print-uris', 'download', 'hello']).status === 0

describe.skipIf(!reachesPackages)(
  `on Debian${reachesPackages ? '' : ' (skipped, because apt has no package lists or a program is missing)'}`,
  () => {
    beforeAll(() => {
      shop.must(['import', '-q', '--change', 'CMD ["bash"]', debianTar(), 'debian:bookworm'])
    })

    test('apt-get installs python3, a detached container serves a page on the host network', async () => {
      const port = await freePort()
      const app = context('app', {
        Dockerfile: `FROM debian:bookworm
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-minimal libpython3-stdlib && rm -rf /var/lib/apt/lists/*
WORKDIR /srv
COPY site site
ENV PORT=8000
EXPOSE 8000
USER www-data
CMD ["sh", "-c", "exec python3 -m http.server --bind 127.0.0.1 --directory site $PORT"]
`,
        'site/index.html': '<h1>It works</h1>\n',
      })
      const id = shop.must(['build', '-q', '-t', 'app:1', app])
      expect(id).toMatch(/^sha256:[0-9a-f]{64}$/)
      expect(shop.must(['build', '-q', '-t', 'app:1', app])).toBe(id)
      const container = shop.must(['run', '-d', '--name', 'web', '--network', 'host', '-e', `PORT=${port}`, 'app:1'])
      expect(container).toMatch(/^[0-9a-f]{64}$/)
      try {
        expect(await fetched(`http://127.0.0.1:${port}/`)).toBe('<h1>It works</h1>\n')
        expect(shop.must(['ps', '--format', '{{.Names}} {{.State}}'])).toBe('web running')
        expect(shop.must(['exec', 'web', 'id', '-un'])).toBe('www-data')
        expect(shop.must(['logs', 'web'])).toBeDefined()
      } finally {
        shop.must(['rm', '-f', 'web'])
      }
      await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow('fetch failed')
      expect(shop.must(['ps', '-aq'])).toBe('')
    })

    test('C compiled in one stage runs from scratch in the other', () => {
      const hello = context('hello', {
        Dockerfile: `FROM debian:bookworm AS build
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev
COPY hello.c .
RUN gcc -O2 -static -o /hello hello.c
FROM scratch
COPY --from=build /hello /
ENTRYPOINT ["/hello"]
`,
        'hello.c': '#include <stdio.h>\nint main(int n, char **a) { printf("hello %s\\n", n > 1 ? a[1] : "world"); return n; }\n',
      })
      shop.must(['build', '-q', '-t', 'hello', hello])
      const { status, stdout } = shop.stave(['run', '--rm', '--network', 'none', 'hello', 'registry'])
      expect([status, stdout]).toEqual([2, 'hello registry\n'])
      const [image] = JSON.parse(shop.must(['inspect', 'hello'])) as [{ RootFS: { Layers: string[] }; Config: { Entrypoint: string[] } }]
      expect(image.RootFS.Layers).toHaveLength(1)
      expect(image.Config.Entrypoint).toEqual(['/hello'])
    })
  },
)

describe.skipIf(!isRoot || missing.length > 0)(
  `with peers${missing.length > 0 ? ` (skipped, because there is no ${missing.join(', ')})` : ''}`,
  () => {
    let debian: Awaited<ReturnType<typeof dockerRegistry>>
    let embedded: Awaited<ReturnType<typeof embeddedRegistry>>

    beforeAll(async () => {
      shop.must(['import', '-q', busyboxTar(), 'base'])
      debian = await dockerRegistry()
      embedded = await embeddedRegistry(shop)
      const files = context('peers', {
        Dockerfile: `FROM base
RUN mkdir -p /data/empty && echo 'root:x:0:0::/root:/bin/sh' > /etc/passwd && echo one > /data/one && ln -s one /data/link && ln /data/one /data/hard && chown 12:34 /data/hard && chmod 4755 /data/hard
RUN rm /data/link && mknod /data/fifo p
COPY --chown=7:8 --chmod=0640 file /data/
ENV GREETING="hello there" EMPTY=
LABEL org.example.label=value
WORKDIR /data
VOLUME /data/volume
EXPOSE 80/tcp
STOPSIGNAL SIGINT
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["echo $GREETING; ls -ln /data"]
`,
        file: 'from the context\n',
      })
      shop.must(['build', '-q', '-t', 'peers', files])
    })

    afterAll(async () => {
      embedded.process.kill()
      await debian[Symbol.asyncDispose]()
      spawnSync('podman', [...storage('podman'), 'system', 'reset', '--force'])
    })

    const registries = ['docker-registry', 'stave serve'] as const

    test.each(registries)('pushed to %s: skopeo, umoci and podman judge it', (which) => {
      const host = which === 'stave serve' ? embedded.host : debian.host
      const reference = `docker://${host}/team/peers:1`
      const digest = shop.must(['push', '-q', '--digestfile', shop.path('digest'), 'peers', reference])
      expect(digest).toBe('')
      const pushed = readFileSync(shop.path('digest'), 'utf8').trim()

      const seen = JSON.parse(peer('skopeo', 'inspect', '--tls-verify=false', reference)) as Record<string, unknown>
      expect(seen).toMatchObject({
        Name: `${host}/team/peers`,
        Digest: pushed,
        RepoTags: ['1'],
        Os: 'linux',
        Labels: { 'org.example.label': 'value' },
      })
      const own = JSON.parse(shop.must(['inspect', reference])) as Record<string, unknown>
      // Go leaves out the zeros at the end of a second's fraction.
      const comparable = ({ Created, ...rest }: Record<string, unknown>) => ({ ...rest, Created: Date.parse(String(Created)) })
      expect(comparable(own)).toMatchObject(comparable(seen))
      expect(shop.must(['inspect', '--raw', reference])).toBe(peer('skopeo', 'inspect', '--tls-verify=false', '--raw', reference))
      expect(JSON.parse(shop.must(['list-tags', reference.replace(/:1$/, '')]))).toEqual(
        JSON.parse(peer('skopeo', 'list-tags', '--tls-verify=false', reference.replace(/:1$/, ''))),
      )

      const dir = shop.path(`dir-${which.replace(' ', '-')}`)
      peer('skopeo', 'copy', '-q', '--src-tls-verify=false', reference, `dir:${dir}`)
      peer('skopeo', 'copy', '-q', '--src-tls-verify=false', reference, `oci:${dir}-oci:1`)
      peer('umoci', 'unpack', '--image', `${dir}-oci:1`, `${dir}-bundle`)
      const listing = spawnSync('find', ['data', '-printf', '%p %y %m %U:%G\\n'], { cwd: `${dir}-bundle/rootfs`, encoding: 'utf8' }).stdout
      expect(listing.trim().split('\n').toSorted()).toEqual([
        'data d 755 0:0',
        'data/empty d 755 0:0',
        'data/fifo p 644 0:0',
        'data/file f 640 7:8',
        'data/hard f 4755 12:34',
        'data/one f 4755 12:34',
      ])

      const podman = (...args: string[]) => peer('podman', ...storage('podman'), ...args)
      podman('pull', '-q', '--tls-verify=false', `${host}/team/peers:1`)
      const ran = podman('run', '--rm', '--network', 'none', ...modestly, `${host}/team/peers:1`)
      expect(ran).toContain('hello there')
      expect(ran).toMatch(/-rwsr-xr-x\s+2\s+12\s+34.*hard/)
      expect(
        shop
          .must(['run', '--rm', '--network', 'none', 'peers'])
          .replaceAll(/ total \d+|volume.*|\d\d:\d\d/g, '')
          .split('\n')[0],
      ).toBe('hello there')
    })

    test('what stave saves, podman and skopeo load; what podman saves, stave loads', () => {
      const podman = (...args: string[]) => peer('podman', ...storage('podman'), ...args)
      const id = shop.must(['inspect', '--format', '{{.Id}}', 'peers'])
      for (const format of ['docker-archive', 'oci-archive']) {
        const file = shop.path(`${format}.tar`)
        shop.must(['save', '-q', '--format', format, '-o', file, 'peers'])
        expect(podman('load', '-q', '-i', file)).toContain('Loaded image')
        expect(JSON.parse(peer('skopeo', 'inspect', `${format}:${file}`))).toMatchObject({ Labels: { 'org.example.label': 'value' } })
        const back = shop.path(`${format}-podman.tar`)
        podman('save', '-q', '--format', format, '-o', back, 'docker.io/library/peers:latest')
        const store = shop.path(`store-${format}`)
        expect(shop.must(['load', '-q', '-i', back], { store })).toBe('Loaded image: docker.io/library/peers:latest')
        expect(shop.must(['inspect', '--format', '{{.Id}}', 'peers'], { store })).toBe(id)
        expect(shop.must(['run', '--rm', '--network', 'none', 'peers', 'cat one'], { store })).toBe('one')
      }
    })

    test('save | load, and every transport, keep the digest', () => {
      const digest = shop.must(['inspect', '--format', '{{.Digest}}', 'peers'])
      const [a, b] = [shop.path('pipe-a'), shop.path('pipe-b')]
      const piped = spawnSync('sh', ['-c', `"$STAVE" --root "${shop.store}" save -q peers | "$STAVE" --root "${a}" load -q`], {
        env: { PATH: process.env['PATH'], HOME: shop.directory, STAVE: join(import.meta.dirname, '../bin/stave') },
        encoding: 'utf8',
      })
      expect(piped.stdout.trim()).toBe('Loaded image: docker.io/library/peers:latest')
      expect(shop.must(['inspect', '--format', '{{.Digest}}', 'peers'], { store: a })).toBe(digest)
      const places = [
        `oci:${shop.path('t-oci')}:1`,
        `oci-archive:${shop.path('t.oci.tar')}:1`,
        `dir:${shop.path('t-dir')}`,
        `docker-archive:${shop.path('t.docker.tar')}:peers:1`,
        `docker://${debian.host}/t:1`,
      ]
      let from = 'peers'
      for (const to of places) {
        expect(shop.must(['copy', from, to])).toBe(digest)
        from = to
      }
      expect(shop.must(['copy', from, 'peers'], { store: b })).toBe(digest)
      expect(shop.damage(b)).toEqual([])
      shop.must(['delete', `docker://${debian.host}/t:1`])
      // As skopeo says that there is no such image.
      expect(shop.stave(['inspect', `docker://${debian.host}/t:1`]).status).toBe(2)
    })

    test('what buildah builds and pushes, in OCI and in Docker form, is pulled and runs', () => {
      const files = context('buildah', {
        Dockerfile:
          'FROM scratch\nADD root.tar /\nENV WHO=buildah\nWORKDIR /tmp\nUSER 1000:1000\nCMD ["sh", "-c", "echo $WHO $(id -u) $(pwd)"]\n',
      })
      spawnSync('cp', [busyboxTar(), join(files, 'root.tar')])
      for (const format of ['oci', 'docker']) {
        const buildah = (...args: string[]) => peer('buildah', ...storage('buildah'), ...args)
        buildah('build', '-q', '--isolation', 'chroot', '--format', format, '-t', `${format}-image`, files)
        buildah('push', '-q', '--tls-verify=false', `${format}-image`, `docker://${debian.host}/buildah:${format}`)
        const store = shop.path(`buildah-${format}`)
        const id = shop.must(['pull', '-q', `${debian.host}/buildah:${format}`], { store })
        expect(id.replace('sha256:', '')).toBe(buildah('images', '-q', '--no-trunc', `${format}-image`).replace('sha256:', ''))
        expect(shop.must(['run', '--rm', `${debian.host}/buildah:${format}`], { store })).toBe('buildah 1000 /tmp')
        expect(shop.damage(store)).toEqual([])
      }
    })
  },
)
