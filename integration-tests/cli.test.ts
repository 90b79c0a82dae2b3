/** The command line as such: streams, pipes, colours, and the words of docker and skopeo. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
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
  return spawnSync('bash', ['-c', `set -o pipefail; docker() { "$STAVE" "$@"; }; skopeo() { "$STAVE" "$@"; }; ${script}`], {
    env,
    cwd: shop.directory,
    encoding: 'utf8',
    timeout: 60_000,
  })
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
    [
      'docker builder prune -af && docker buildx prune -f --filter until=1h && docker images -q base | wc -l',
      /reclaimed.*\n.*reclaimed.*\n1\n$/,
    ],
    ['docker rmi -f $(docker images -q app)', /Untagged/],
    ['docker version && docker --version', /stave \d/],
  ])('%s', (script, out) => {
    const { status, stdout, stderr } = sh(script)
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout).toMatch(out)
  })
})

test('words of docker that have nothing to stand for here say what to do instead', () => {
  for (const words of ['buildx create --use', 'buildx bake', 'buildx imagetools inspect x']) {
    const { status, stderr } = sh(`docker ${words}`)
    expect([words, status]).toEqual([words, 2])
    expect(stderr).toMatch(/hint: +(There are no|stave inspect)/)
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
