/** Projects with real containers: networks, volumes, order, health, signals. Each is in a network namespace of its own. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { binary, busyboxTar, workshop, type Workshop } from './stave.ts'

const isRoot = process.getuid?.() === 0

describe.skipIf(!isRoot)('compose (skipped: only root makes network namespaces)', () => {
  let shop: Workshop
  let number = 0
  beforeAll(() => {
    shop = workshop('compose')
    shop.must(['import', '-q', busyboxTar(), 'base'])
  })
  beforeEach(() => void number++)
  afterAll(() => shop[Symbol.dispose]())

  /** Runs a script beside these files. `stave` is on the store of the test; what is left of containers is removed. */
  function run(
    files: Readonly<Record<string, string>>,
    script: string,
  ): { status: number | null; lines: readonly string[]; stderr: string } {
    const directory = shop.path(`p${number}`)
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(`${directory}/${name}`), { recursive: true })
      writeFileSync(`${directory}/${name}`, text)
    }
    const whole = `ip link set lo up; trap '${binary} rm -af >/dev/null 2>&1' EXIT; stave() { ${binary} "$@"; }\n${script}`
    const { status, stdout, stderr } = spawnSync('timeout', ['120', 'unshare', '-n', '-m', 'sh', '-c', whole], {
      env: { PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: shop.store },
      cwd: directory,
      encoding: 'utf8',
    })
    return { status, lines: stdout.trimEnd().split('\n'), stderr }
  }

  test('up, ps, exec, logs, port, down: services find each other by name, in the order in which they need each other', () => {
    const { lines, stderr } = run(
      {
        'compose.yaml': `services:
  web:
    image: base
    command: sh -c 'echo started; exec httpd -f -p 80 -h /www'
    ports: ["127.0.0.1:8080:80"]
    volumes: ["data:/www:ro"]
    environment: {NAME: "\${NAME:-nobody}"}
    configs: [{source: greeting, target: /etc/greeting}]
    healthcheck: {test: [CMD, wget, -qO, /dev/null, "http://127.0.0.1/index.html"], interval: 1s}
    depends_on: {make: {condition: service_completed_successfully}}
  make:
    image: base
    command: ["sh", "-c", "echo hello > /data/index.html"]
    volumes: ["data:/data"]
  ask:
    image: base
    command: sh -c 'wget -qO- http://web/index.html; wget -qO- http://site/index.html; exec sleep 100'
    links: [web]
    depends_on: {web: {condition: service_healthy}}
volumes: {data: }
configs: {greeting: {content: "good $\${day}"}}
`,
        'compose.override.yaml': 'services: {web: {networks: {default: {aliases: [site]}}}}',
        '.env': 'NAME=env',
      },
      `stave compose up -d 2>err || cat err
stave compose ps --format '{{.Service}} {{.State}}' -a
stave compose exec -T web sh -c 'echo $NAME; cat /etc/greeting; echo'
stave compose logs ask
stave compose port web 80
busybox wget -qO- http://127.0.0.1:8080/
stave compose up -d 2>&1 | grep -c anew
NAME=other stave compose up -d --no-deps web 2>&1 | grep anew
stave compose exec -T web sh -c 'echo $NAME'
stave compose down -v 2>/dev/null
stave ps -aq | wc -l; stave network ls -q | grep -c p1_ ; stave volume ls -q | wc -l; ls $STAVE_ROOT/projects`,
    )
    expect(lines, stderr).toEqual([
      'ask running',
      'make exited',
      'web running',
      'env',
      'good ${day}',
      'ask-1  | hello',
      'ask-1  | hello',
      '127.0.0.1:8080',
      'hello',
      '0',
      'container p1-web-1 made anew',
      'other',
      '0',
      '0',
      '0',
    ])
  })

  test('a service is checked and started again as its file says, until it is stopped', () => {
    const { lines, stderr } = run(
      {
        'compose.yaml': `
name: lively
services:
  web:
    image: base
    command: sleep 1000
    network_mode: none
    stop_grace_period: 0s
    restart: always
    annotations: {note: kept}
    healthcheck: {test: [CMD, "true"], interval: 100ms}
`,
      },
      `stave compose up -d 2>/dev/null && stave wait --condition healthy lively-web-1
       show() { stave inspect --type container -f '{{.State.Status}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.Annotations.note}} {{.RestartCount}}' lively-web-1; }
       kill -9 $(stave inspect --type container -f '{{.State.Pid}}' lively-web-1)
       for i in $(seq 100); do case $(show) in running*1) break ;; esac; sleep 0.1; done
       show; stave compose stop 2>/dev/null; show`,
    )
    expect(lines, stderr).toEqual(['-1', 'running always kept 1', 'exited always kept 1'])
  })

  test('builds what has a build, also with a Dockerfile in the file itself, and runs one command with what it needs', () => {
    const { lines, stderr } = run(
      {
        'compose.yaml': `services:
  tool:
    build: {context: ., dockerfile_inline: "FROM base\\nARG A\\nRUN echo built $$A > /built\\n", args: {A: arg}}
    command: cat /built
    depends_on: [db]
  db: {image: base, command: sleep 100, container_name: the-db}
`,
      },
      `stave compose run --rm -T tool 2>err || cat err
stave compose run --rm -T -e X=1 tool sh -c 'echo $X; exit 7' 2>/dev/null; echo $?
stave ps --format '{{.Names}}'
stave compose down --rmi local 2>/dev/null; stave images --format '{{.Repository}}' | grep -c tool`,
    )
    expect(lines, stderr).toEqual(['built arg', '1', '7', 'the-db', '0'])
  })

  test('in the foreground: lines of all, the status of one, and all is stopped when it ends', () => {
    const { lines, status, stderr } = run(
      {
        'compose.yaml': `services:
  tests: {image: base, command: "sh -c 'echo testing; sleep 0.5; exit 3'"}
  db: {image: base, command: sleep 1000, init: true}
`,
      },
      `stave compose up --exit-code-from tests 2>/dev/null; echo $?; stave compose ps -q | wc -l`,
    )
    expect({ lines, status }, stderr).toEqual({ lines: ['tests-1  | testing', '3', '0'], status: 0 })
  })

  test('Ctrl-C stops all, and nothing is left running', () => {
    const { lines, stderr } = run(
      {
        'compose.yaml':
          'services: {a: {image: base, command: "sh -c \'trap \\"echo bye; exit\\" TERM; echo up; while :; do sleep 0.05; done\'"}}',
      },
      `${binary} compose up >out 2>err & pid=$!
for i in $(seq 200); do grep -q up out && break; sleep 0.05; done
kill -INT $pid; wait $pid; echo $?; cat out; stave compose ps -q | wc -l`,
    )
    expect(lines, stderr).toEqual(['130', 'a-1  | up', 'a-1  | bye', '0'])
  })

  test('a need that fails stops what needs it, and is told; scale, stop, start, kill and rm', () => {
    const { lines, stderr } = run(
      {
        'compose.yaml': `services:
  bad: {image: base, command: "false"}
  after: {image: base, command: sleep 100, depends_on: {bad: {condition: service_completed_successfully}}}
  many: {image: base, command: sleep 100, init: true, scale: 2}
`,
      },
      `stave compose up -d after 2>&1 | grep -o 'cannot start the service after: it needs bad\\|ended with status 1'
stave compose up -d --scale many=3 many 2>/dev/null; stave compose ps -q | wc -l
stave compose up -d many 2>/dev/null; stave compose ps -q many | wc -l
stave compose stop many 2>/dev/null; stave compose ps -q | wc -l
stave compose start many 2>/dev/null; stave compose ps -q | wc -l
stave compose kill many 2>/dev/null; stave compose rm -f many 2>/dev/null; stave compose ps -aq many | wc -l
stave compose down 2>/dev/null; stave ps -aq | wc -l`,
    )
    expect(lines, stderr).toEqual(['cannot start the service after: it needs bad', 'ended with status 1', '3', '2', '0', '2', '0', '0'])
  })
})
