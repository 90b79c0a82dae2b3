/** The command line as such: streams, pipes, colours, and the words of docker and skopeo. */
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { binary, busyboxTar, workshop } from './stave.ts'

const shop = workshop('cli')
const env = { PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: shop.store, STAVE: binary }

beforeAll(() => {
  shop.must(['import', '-q', busyboxTar(), 'base'])
  writeFileSync(shop.path('Dockerfile'), 'FROM base\nRUN echo output of the step\nENV A=b\nLABEL l=m\nCMD ["echo", "hello"]\n')
})
afterAll(() => shop[Symbol.dispose]())

function sh(script: string): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(
    'bash',
    ['-c', `set -o pipefail; docker() { "$STAVE" "$@"; }; skopeo() { "$STAVE" "$@"; }; podman() { "$STAVE" "$@"; }; ${script}`],
    {
      env,
      cwd: shop.directory,
      encoding: 'utf8',
      timeout: 60_000,
    },
  )
}

describe('streams', () => {
  test('the result is on stdout, all else on stderr, and -q leaves only the result', () => {
    const loud = shop.stave(['build', '--no-cache', '-t', 'x', '.'])
    expect(loud.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/)
    expect(loud.stderr).toContain('output of the step')
    expect(shop.stave(['build', '-q', '-t', 'x', '.'])).toEqual({ status: 0, stdout: loud.stdout, stderr: '' })
  })

  test('--progress json is a JSON object a line', () => {
    const { stderr } = shop.stave(['build', '--no-cache', '--progress', 'json', '.'])
    for (const line of stderr.trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('type')
  })

  test('no colours where it is no terminal, and where NO_COLOR says so', () => {
    const failing = ['inspect', 'nosuch']
    expect(shop.stave(failing).stderr).not.toContain('\u001B')
    expect(shop.stave(failing, { env: { FORCE_COLOR: '1' } }).stderr).toContain('\u001B[1;31m')
    const inTerminal = (more: object) =>
      spawnSync('script', ['-qec', `${binary} inspect nosuch`, '/dev/null'], {
        env: { ...env, TERM: 'xterm', CI: undefined, NO_COLOR: undefined, FORCE_COLOR: undefined, ...more },
        encoding: 'utf8',
      }).stdout
    expect(inTerminal({})).toContain('\u001B[1;31m')
    expect(inTerminal({ NO_COLOR: '1' })).not.toContain('\u001B[1;31m')
  })

  test('a reader that has seen enough is no error', () => {
    for (const args of ['--help', 'images --json', 'inspect base', 'run --help', 'help errors'])
      expect(sh(`docker ${args} | head -c 1 >/dev/null`)).toMatchObject({ status: 0, stderr: '' })
    expect(sh('docker build --no-cache . 2>&1 >/dev/null | head -c 1').stderr).toBe('')
  })
})

describe('alias docker=stave', () => {
  test.each([
    ['docker build -t app:1 . && docker run --rm app:1', /^sha256:.*\nhello\n$/],
    ['docker image build -q -t app:1 . && docker image ls --format "{{.Repository}}:{{.Tag}}" app', /\napp:1\n$/],
    ['docker container run --rm app:1 && docker container ls -aq', /^hello\n$/],
    ['docker buildx build -q --load -t app:2 . && docker images -q app | wc -l', /\n1\n$/],
    ['docker inspect --format \'{{.Config.Env}} {{index .Config.Labels "l"}}\' app:1', /A=b.*\] m\n$/],
    ["docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' app:1", /^A=b$/m],
    ["docker inspect -f '{{json .Config.Cmd}}' app:1", /^\["echo","hello"\]\n$/],
    ['docker history -q app:1 | wc -l', /^[4-9]\n$/],
    ['docker save app:1 | docker load', /^Loaded image: .*app:1\n$/],
    ['docker save app:1 | gzip -1 | docker load -q', /^Loaded image: .*app:1\n$/],
    ['docker tag app:1 app:3 && docker rmi app:3', /^Untagged: .*app:3\n$/],
    ['docker run -d --name c app:1 sleep 100 >/dev/null && docker ps --filter name=c --format "{{.Names}}" && docker rm -f c', /^c\nc\n$/],
    ['docker ps -a --filter status=exited -q', /^$/],
    ['docker system df && docker system prune -f', /Images/],
    ['docker system df --format "{{.Type}}: {{.TotalCount}}" | head -1', /^Images: \d+\n$/],
    [
      'docker builder prune -af && docker buildx prune -f --filter until=1h && docker images -q base | wc -l',
      /reclaimed.*\n.*reclaimed.*\n1\n$/,
    ],
    ['docker rmi -f $(docker images -q app)', /Untagged/],
    ['docker version && docker --version', /stave \d/],
    ["docker tag base new:1 && docker images 'ne*' --filter reference='n??:[12]' --filter until=0s --format '{{.Tag}}'", /^1\n$/],
    ['docker image inspect -f "{{.Id}}" base && docker inspect nosuch || echo $?', /^sha256:.*\n\[\]\n1\n$/],
    ['docker image || docker image nosuch || echo $?', /^2\n$/],
  ])('%s', (script, out) => {
    const { status, stdout, stderr } = sh(script)
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout).toMatch(out)
  })
})

test('--env-file is read for the container, and not into the environment of stave itself', () => {
  writeFileSync(shop.path('variables'), `FROM_FILE=yes\nSTAVE_ROOT=${shop.path('elsewhere')}\n`)
  expect(shop.must(['run', '--rm', '--network', 'none', '--env-file', 'variables', 'base', 'env'])).toContain('FROM_FILE=yes')
  expect(shop.stave(['run', '--rm', '--env-file', 'nosuch', 'base', 'true'])).toMatchObject({
    status: 125,
    stderr: expect.stringMatching(/^error: cannot read nosuch\n/) as string,
  })
})

describe('prune, as docker has it', () => {
  const own = workshop('prune')
  afterAll(() => own[Symbol.dispose]())
  const prune = (script: string) => {
    const { status, stdout, stderr } = spawnSync('bash', ['-c', `docker() { "$STAVE" "$@"; }; ${script}`], {
      env: { ...env, HOME: own.directory, STAVE_ROOT: own.store },
      cwd: shop.directory,
      encoding: 'utf8',
    })
    return { status, stderr, lines: stdout.trim().split('\n') }
  }
  const left = () => prune("docker images --format '{{.Repository}}'; docker ps -a --format '{{.Names}}'").lines

  test('each removes what it is for, and nothing else', () => {
    own.must(['import', '-q', busyboxTar(), 'base'])
    own.must(['build', '-q', '-t', 'used', '.'], { cwd: shop.directory })
    own.must(['build', '-q', '-t', 'unused', '--label', 'a=b', '.'], { cwd: shop.directory })
    own.must(['run', '--name', 'ended', 'used'])
    const cached = () => (JSON.parse(own.must(['df', '--json'])) as { cache: { count: number } }).cache.count
    const all = ['unused', 'used', 'base', 'ended']

    expect(prune('docker image prune -f').status).toBe(0)
    expect(prune('docker image prune -af --filter until=24h').status).toBe(0)
    expect(prune('docker image prune -af --filter label=other').status).toBe(0)
    expect(prune('docker container prune -f --filter label=other').status).toBe(0)
    expect(left().toSorted()).toEqual(all.toSorted())
    expect(cached()).toBeGreaterThan(0)

    expect(prune('docker builder prune -af')).toMatchObject({ status: 0, stderr: '' })
    expect(left().toSorted()).toEqual(all.toSorted())
    expect(cached()).toBe(0)

    expect(prune('docker image prune -af --filter label=a').lines[0]).toMatch(/^removed image .*unused/)
    expect(left()).not.toContain('unused')
    expect(prune('docker container prune -f').lines).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)])
    expect(prune('docker system prune -af').lines.filter((line) => line.startsWith('removed image'))).toHaveLength(2)
    expect(left()).toEqual([''])
    expect(own.damage()).toEqual([])
  })

  test('what a filter cannot choose from is refused, and nothing is removed', () => {
    expect(prune('docker builder prune -f --filter label=a')).toMatchObject({ status: 2 })
    expect(prune('docker image prune -f --filter size=1')).toMatchObject({ status: 2 })
    expect(prune('docker image prune -f --filter until=soon')).toMatchObject({ status: 2 })
  })
})

describe('alias skopeo=stave, alias podman=stave', () => {
  beforeAll(() => {
    shop.must(['build', '-q', '-t', 'two', '--platform', 'linux/amd64,linux/arm64', '-'], { input: 'FROM scratch\nLABEL a=b\n' })
    shop.must(['copy', '-q', 'base', `oci:${shop.path('base')}:1`])
  })

  test.each([
    ['skopeo copy --dest-compress-format=zstd oci:base:1 oci:zstd:1 && grep -l +zstd zstd/blobs/sha256/* | wc -l', /\n1\n$/],
    ['skopeo copy -q --dest-decompress oci:base:1 dir:plain && skopeo copy -q --dest-compress dir:plain dir:packed; ls', /packed/],
    ['skopeo copy -q --remove-signatures --src-no-creds --retry-times 2 --retry-delay 1s oci:base:1 dir:any && ls any', /manifest.json/],
    ['skopeo copy -q --multi-arch index-only two dir:index && ls index | grep -c .', /^2\n$/],
    ['skopeo copy -q --digestfile d two dir:whole && skopeo manifest-digest whole/manifest.json | diff - d', /^$/],
    ['skopeo --override-arch arm64 inspect --format "{{.Architecture}}" dir:whole', /^arm64\n$/],
    [
      'skopeo --override-os linux --override-arch arm64 inspect --config --format "{{.OS}} {{.RootFS.DiffIDs}}" dir:whole',
      /^linux \[\]\n$/,
    ],
    ['skopeo --tls-verify=false list-tags oci:base', /"1"/],
    ['podman push -q --compression-format zstd --compression-level 1 base dir:pushed && grep -c +zstd pushed/manifest.json', /^1\n$/],
    ['podman save -q -m base two | podman load -q --platform linux/amd64 | sort -u | wc -l', /^2\n$/],
    ["podman inspect -f '{{.GraphDriver.Name}} {{.Metadata.LastTagTime}}' base", /^overlayfs \d{4}-/],
  ])('%s', (script, out) => {
    const { status, stdout, stderr } = sh(script)
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout).toMatch(out)
  })

  test.each([
    ['skopeo --policy p.json copy oci:base:1 dir:x', 1, 'cannot read the policy', 'p.json'],
    ['skopeo copy --sign-by me oci:base:1 dir:x', 2, 'cannot sign what is copied', '--sign-identity'],
    ['skopeo copy --authfile nosuch docker://127.0.0.1:9/x dir:x', 1, 'credential file nosuch', 'stave login'],
    ['skopeo copy --dest-compress-format=zstd --format v2s2 oci:base:1 dir:x', 1, "Docker's format", '--format oci'],
    ['skopeo copy --preserve-digests --dest-decompress oci:base:1 dir:x', 2, '--preserve-digests', ''],
    ['skopeo copy --retry-delay soon docker://127.0.0.1:9/x dir:x', 2, '--retry-delay', ''],
    ['skopeo manifest-digest Dockerfile', 1, 'no manifest', ''],
    ['skopeo standalone-sign a b c', 2, '--output is missing', ''],
    ['podman pull oci:base:1', 2, 'not in a registry', 'stave copy oci:base:1 NAME'],
    ['podman load -i base', 1, 'a directory', 'stave copy oci:base NAME'],
    ['docker import http://127.0.0.1:9/x.tar x', 1, 'not fetched', 'curl -fL http://127.0.0.1:9/x.tar | stave import - x'],
    ['podman push --compression-level 3 base dir:x', 2, 'needs a format', ''],
  ])('%s: refused', (script, expected, said, hint) => {
    const { status, stderr } = sh(script)
    expect([status, stderr]).toEqual([expected, expect.stringContaining(said)])
    expect(stderr).toContain(hint)
    expect(stderr).not.toContain('internal error')
  })
})

test('words of docker that have nothing to stand for here say what to do instead', () => {
  for (const words of ['buildx create --use', 'buildx bake']) {
    const { status, stderr } = sh(`docker ${words}`)
    expect([words, status]).toEqual([words, 2])
    expect(stderr).toMatch(/hint: +There are no/)
  }
})

test('help of every command names its flags and an example', () => {
  const names = [...shop.must(['--help']).matchAll(/^ {2}([a-z-]+) {2,}\S/gm)].map((match) => match[1]!)
  expect(names.length).toBeGreaterThan(30)
  for (const name of names) {
    const { status, stdout, stderr } = shop.stave([name, '--help'])
    expect([name, status, stderr]).toEqual([name, 0, ''])
    expect(stdout).toMatch(new RegExp(`^Usage: stave ${name}`))
  }
})

const hasScript = spawnSync('sh', ['-c', 'command -v script']).status === 0

test.skipIf(!hasScript)('what an image says of itself does not steer a terminal, and reaches a pipe as it is', () => {
  const label = 'a\u001b]0;title\u0007\u001b[2J\u009bb'
  mkdirSync(shop.path('steering'))
  writeFileSync(shop.path('steering/Dockerfile'), `FROM base\nLABEL l="${label}"\nRUN : "${label}"\n`)
  shop.must(['build', '-q', '-t', 'steering', shop.path('steering')])
  for (const words of [
    `inspect -f '{{.Config.Labels.l}}' steering`,
    'inspect steering',
    'history --no-trunc steering',
    `images --format '{{json .}}'`,
  ]) {
    const { status, stdout } = sh(`script -qec '"$STAVE" ${words.replaceAll("'", '"')}' /dev/null < /dev/null`)
    expect(status).toBe(0)
    // eslint-disable-next-line no-control-regex
    expect(stdout).not.toMatch(/[\u0007\u001b\u009b]/)
  }
  expect(sh("docker inspect -f '{{.Config.Labels.l}}' steering").stdout).toBe(`${label}\n`)
})

test('serve answers to names of loopback and to those of --allowed-host, and to no others', async () => {
  const server = shop.start(['serve', '--port', '0', '--directory', shop.path('names'), '--quiet', '--allowed-host', 'proxy.example'])
  try {
    const [url] = (await once(server.stdout!, 'data')) as [Buffer]
    const status = async (host: string) => {
      const [answer] = (await once(get(`${String(url).trim()}/v2/`, { headers: { host } }), 'response')) as [IncomingMessage]
      return answer.resume().statusCode
    }
    expect(await status('proxy.example')).toBe(200)
    expect(await status('localhost:1')).toBe(200)
    expect(await status('other.example')).toBe(403)
  } finally {
    server.kill()
  }
})
