/** The standard streams of a container are its own: pipes, never the caller's terminal or open files. */
import { spawnSync } from 'node:child_process'
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { binary, busyboxTar, workshop } from './stave.ts'

const shop = workshop('streams')
const passwd = 'root:x:0:0:root:/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n'

beforeAll(() => {
  shop.must(['import', '-q', busyboxTar(), 'bare'])
  writeFileSync(shop.path('passwd'), passwd)
  writeFileSync(shop.path('Dockerfile'), 'FROM bare\nCOPY passwd /etc/passwd\n')
  shop.must(['build', '-q', '-t', 'base', '-f', shop.path('Dockerfile'), shop.directory])
  shop.must(['run', '-d', '--name', 'server', '--network', 'none', 'base', 'sleep', '600'])
})
afterAll(() => shop[Symbol.dispose]())

const env = () => ({ PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: shop.store, TERM: 'xterm' })

/** Runs a line of shell in which `stave` is a word. */
function shell(line: string, options: { readonly input?: string; readonly timeout?: number } = {}) {
  const script = `stave() { '${binary}' "$@"; }; cd '${shop.directory}'; ${line}`
  return spawnSync('sh', ['-c', script], { env: env(), encoding: 'utf8', input: '', timeout: 60_000, maxBuffer: 1 << 26, ...options })
}

const ways = [
  ['run', 'stave run --rm --network none'],
  ['run that is kept', 'stave run --network none'],
  ['exec', 'stave exec'],
] as const
const image = (way: string) => (way === 'exec' ? 'server' : 'base')

describe.each(ways)('%s', (way, words) => {
  const of = image(way)

  test('they are pipes, and /dev/null where nothing is passed in', () => {
    const look = `sh -c 'for n in 0 1 2; do readlink /proc/$$/fd/$n; done; for n in 3 4 5 6 7 8 9 10; do test -e /proc/$$/fd/$n && echo $n; done; true'`
    const { stdout } = shell(`${words} ${of} ${look} > out; cat out`)
    expect(
      stdout
        .replace(/\[\d+\]/g, '')
        .trim()
        .split('\n'),
    ).toEqual(['/dev/null', 'pipe:', 'pipe:'])
    expect(shell(`${words.replace(/(run|exec)/, '$1 -i')} ${of} readlink /proc/self/fd/0 < Dockerfile`).stdout).toMatch(/^pipe:/)
  })

  test('a file that the caller redirects to is neither cut nor written over', () => {
    const write = `sh -c 'echo a; echo b > /dev/stdout; echo c > /proc/self/fd/1; echo d >> /dev/stdout; echo e'`
    expect(shell(`${words} ${of} ${write} > file; cat file`).stdout).toBe('a\nb\nc\nd\ne\n')
    expect(shell(`echo before > file; ${words} ${of} ${write} >> file; cat file`).stdout).toBe('before\na\nb\nc\nd\ne\n')
    expect(shell(`${words.replace(/(run|exec)/, '$1 -i')} ${of} sh -c 'echo gone > /dev/stdin'  < passwd; cat passwd`).stdout).toBe(passwd)
  })

  test('any user inside can open them', () => {
    const write = `sh -c 'echo out > /dev/stdout; echo err > /dev/stderr; echo self > /proc/self/fd/1'`
    const flag = (text: string) => words.replace(/(run|exec)/, `$1 ${text}`)
    expect(shell(`${flag('--user 1000')} ${of} ${write}`)).toMatchObject({ status: 0, stdout: 'out\nself\n', stderr: 'err\n' })
    // As gosu does: root first, and somebody else then.
    expect(shell(`${words} ${of} su app -c "${write.replaceAll("'", String.raw`\"`)}"`)).toMatchObject({
      stdout: 'out\nself\n',
      stderr: 'err\n',
    })
    expect(shell(`echo in | ${flag('-i --user 1000')} ${of} cat /dev/stdin`).stdout).toBe('in\n')
  })

  test('the caller’s terminal is out of reach', () => {
    const script = `stty -echo 2>&1; stty -F /dev/stdout 2>&1; stty -F /dev/stdin 2>&1; test -t 0 || test -t 1 || test -t 2 || echo none; cat`
    const line = `before=$(stty -g); '${binary}' ${words.replace('stave ', '')} ${of} sh -c '${script}'; test "$before" = "$(stty -g)" && echo unchanged`
    const { stdout } = spawnSync('script', ['-qec', line, '/dev/null'], { env: env(), input: 'typed\n', encoding: 'utf8', timeout: 30_000 })
    expect(stdout).toContain('none')
    expect(stdout).toContain('unchanged')
    // It is echoed by the terminal, but `cat` did not get it.
    expect(stdout.match(/typed/g) ?? []).toHaveLength(1)
  })

  test('nothing is lost, however much it is and wherever it goes', () => {
    const megabytes = way === 'run' ? 128 : 8
    const make = `yes 0123456789abcde | head -c ${megabytes << 20}`
    const sum = shell(`${make} | md5sum`).stdout
    expect(shell(`${words} ${of} sh -c '${make}' | md5sum`).stdout).toBe(sum)
    expect(shell(`${words} ${of} sh -c '${make}' > big; md5sum < big`).stdout).toBe(sum)
    expect(shell(`: > big; ${words} ${of} sh -c '${make}' >> big; md5sum < big; rm big`).stdout).toBe(sum)
    expect(shell(`${make} | ${words.replace(/(run|exec)/, '$1 -i')} ${of} md5sum`).stdout).toBe(sum)
    expect(shell(`${make} > big; ${words.replace(/(run|exec)/, '$1 -i')} ${of} md5sum < big; rm big`).stdout).toBe(sum)
    // A reader that takes its time, and one that begins when the container has ended.
    expect(shell(`${words} ${of} sh -c 'echo one; echo two >&2' 2>&1 | { sleep 0.5; sort; }`).stdout).toBe('one\ntwo\n')
  })

  test('a reader that goes ends who writes, and is no failure', () => {
    const { stdout, stderr, signal } = shell(`${words} ${of} sh -c 'yes; echo after >&2' | head -n 1`, { timeout: 20_000 })
    expect({ stdout, signal }).toEqual({ stdout: 'y\n', signal: null })
    expect(stderr).not.toContain('warning')
  })

  test('a full disk is said', () => {
    expect(shell(`${words} ${of} sh -c 'echo lost' > /dev/full`).stderr).toMatch(/warning: .*stdout is not complete/)
  })
})

test.skipIf(process.getuid?.() !== 0)('the null device that it reads is not the machine’s', () => {
  const before = statSync('/dev/null').mode
  try {
    for (const words of ['stave run --rm --network none base', 'stave exec server'])
      expect(shell(`${words} sh -c 'chmod 600 /proc/self/fd/0 && stat -Lc %a /proc/self/fd/0'`).stdout).toBe('600\n')
    expect(statSync('/dev/null').mode).toBe(before)
  } finally {
    chmodSync('/dev/null', before & 0o777)
  }
})

test('one stream that is both keeps its order', () => {
  const script = 'i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); echo $i >&2; i=$((i+1)); done'
  const lines = Array.from({ length: 400 }, (_, line) => `${line}\n`).join('')
  expect(shell(`stave run --rm --network none base sh -c '${script}' > both 2>&1; cat both`).stdout).toBe(lines)
})

test('a step of a build has pipes of its own as well', () => {
  writeFileSync(
    shop.path('Dockerfile.step'),
    `FROM base
RUN readlink /proc/$$/fd/1; readlink /proc/$$/fd/0
USER 1000
RUN echo out > /dev/stdout && echo err > /dev/stderr
`,
  )
  const line = `stave build --progress plain --no-cache -t step -f Dockerfile.step . > id 2> log; echo $?; cat log`
  const { stdout } = shell(line)
  expect(stdout).toMatch(/^0\n/)
  expect(stdout).toMatch(/ pipe:\[\d+\]\n.* \/dev\/null\n/)
  expect(stdout).toMatch(/ out\n/)
  expect(stdout).toMatch(/ err\n/)
})

test('the last words of one that is told to end are heard', () => {
  // The first two go to the container; the third is for stave, which stops it.
  const script = 'trap "echo farewell; exit 3" USR1; trap "echo told" TERM; echo ready; while :; do sleep 0.05; done'
  const line = `'${binary}' run --rm --network none --stop-signal USR1 base sh -c '${script}' > words & pid=$!
while ! grep -q ready words; do sleep 0.05; done
for n in 1 2; do kill -TERM $pid; while [ $(grep -c told words) -lt $n ]; do sleep 0.05; done; done
kill -TERM $pid; wait $pid; grep -v told words`
  expect(shell(line).stdout).toBe('ready\nfarewell\n')
  expect(readFileSync(shop.path('words'), 'utf8')).toContain('farewell')
})

test('SIGHUP is passed on, and what it means is for the container to say', () => {
  const script = 'trap "echo hung up; exit 4" HUP; echo ready; while :; do sleep 0.05; done'
  const line = `'${binary}' run --rm --network none base sh -c '${script}' > words & pid=$!
while ! grep -q ready words; do sleep 0.05; done; sleep 1; kill -HUP $pid; wait $pid; echo $?`
  // Its words can be heard before stave is told that it has started, and knows whom signals are for.
  expect(shell(line).stdout).toBe('4\n')
  expect(readFileSync(shop.path('words'), 'utf8')).toBe('ready\nhung up\n')
})
