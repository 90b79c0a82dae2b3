/**
 * Networks with real namespaces: each test has a network namespace of its own in the place of this machine's, so that
 * nothing of this machine is touched and everything that is left behind can be seen.
 */
import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { binary, busyboxTar, workshop, type Workshop } from './stave.ts'

const isRoot = process.getuid?.() === 0
const why = isRoot ? '' : ' (skipped: only root makes network namespaces)'

/** Runs a script, with `stave` on a store, where `lo` and one link to an `outside` (198.51.100.2) are all there is. */
function inOwnNetwork(shop: Workshop, script: string, seconds = 60): { status: number | null; stdout: string; stderr: string } {
  const set = `set -eu
stave() { ${binary} "$@"; }
ip link set lo up
unshare -n sleep ${seconds + 5} & outside=$!
while [ "$(readlink /proc/$outside/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
trap 'stave rm -af >/dev/null 2>&1; for of in $$ $outside; do pkill -9 -x --ns $of --nslist net busybox || true; done; kill $outside' EXIT
ip link add up0 type veth peer name up1 netns $outside
ip addr add 198.51.100.1/24 dev up0; ip -6 addr add 2001:db8::1/64 dev up0 nodad; ip link set up0 up
beyond() { nsenter -n -t $outside "$@"; }
beyond ip addr add 198.51.100.2/24 dev up1; beyond ip -6 addr add 2001:db8::2/64 dev up1 nodad; beyond ip link set up1 up; beyond ip link set lo up
ip route add default via 198.51.100.2
`
  const { status, stdout, stderr } = spawnSync('timeout', [String(seconds), 'unshare', '-n', '-m', 'sh', '-c', set + script], {
    env: { PATH: process.env['PATH'], HOME: shop.directory, STAVE_ROOT: shop.store },
    cwd: shop.directory,
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

/** The same, and fails unless it exits with 0. @returns its lines */
function must(shop: Workshop, script: string, seconds?: number): readonly string[] {
  const { status, stdout, stderr } = inOwnNetwork(shop, script, seconds)
  if (status !== 0) throw new Error(`the script exited with ${status}:\n${stderr}\n${stdout}`)
  return stdout.trim().split('\n')
}

const server = `sh -c 'mkdir -p /www; hostname > /www/name; exec httpd -f -p 80 -h /www'`
/** Until the servers of this container answer. */
const wait = (address: string) =>
  `for i in $(seq 100); do busybox wget -q -T 1 -O /dev/null http://${address}/name 2>/dev/null && break; sleep 0.05; done\n`
/** What is left of ours in this machine's place: links but for lo and the one to the outside, tables, members. */
const left = `ip -br link | grep -v '^lo\\|^up0' || true; nft list tables; find $STAVE_ROOT/networks -type f ! -name lock || true\n`

describe.skipIf(!isRoot)(`networks of root${why}`, () => {
  let shop: Workshop
  beforeAll(() => {
    shop = workshop('network')
    shop.must(['import', '-q', busyboxTar(), 'base'])
  })
  afterAll(() => shop[Symbol.dispose]())

  test('two containers of a named network reach each other by name, alias and id, with IPv4 and IPv6; nobody else’s', () => {
    const lines = must(
      shop,
      `stave network create --ipv6 pair >/dev/null; stave network create other >/dev/null
id=$(stave run -d --name web --network pair:alias=www --network-alias site base ${server})
stave run -d --name far --network other base ${server} >/dev/null
for name in web www site $(echo $id | cut -c1-12) WEB; do stave run --rm --network pair base wget -qO- http://$name/name | cut -c1-1; done
stave run --rm --network pair base sh -c 'ping -4 -c1 -W2 web >/dev/null && echo four; ping -6 -c1 -W2 web >/dev/null && echo six'
stave run --rm --network pair base nslookup far >/dev/null 2>&1 || echo unknown
far=$(stave inspect -f '{{.NetworkSettings.Networks.other.IPAddress}}' far)
stave run --rm --network pair base ping -c1 -W1 $far >/dev/null || echo apart
stave run --rm --network pair --network other base sh -c 'wget -qO- http://far/name; wget -qO- http://web/name' | wc -l
stave rm -f web far >/dev/null
${left}`,
    )
    expect(lines).toEqual([...Array<string>(5).fill(expect.any(String) as string), 'four', 'six', 'unknown', 'apart', '2'])
  })

  test('the outside is reached, and does not reach in but by published ports', () => {
    const lines = must(
      shop,
      `mkdir -p www; echo outside > www/name; beyond busybox httpd -p 8000 -h www; busybox httpd -p 8001 -h www
stave run --rm base wget -qO- http://198.51.100.2:8000/name
stave run --rm --add-host here:host-gateway base wget -qO- http://here:8001/name
stave run --rm base wget -qO- http://host.containers.internal:8001/name
stave network create --internal closed >/dev/null
stave run --rm --network closed base wget -T 1 -qO- http://198.51.100.2:8000/name 2>/dev/null || echo closed
stave run -d --name web -p 8080:80 -p 127.0.0.1:8081:80 -p 5353:5353/udp base ${server} >/dev/null
${wait('127.0.0.1:8080')}
address=$(stave inspect -f '{{.NetworkSettings.IPAddress}}' web)
name() { wget -t 1 -qO- -T 1 $1 2>/dev/null | wc -l; }
name http://127.0.0.1:8080/name; name http://[::1]:8080/name; name http://198.51.100.1:8080/name; name http://127.0.0.1:8081/name
beyond wget -t 1 -qO- -T 1 http://198.51.100.1:8080/name | wc -l
beyond wget -t 1 -qO- -T 1 http://198.51.100.1:8081/name 2>/dev/null || echo only here
beyond ip route add $address via 198.51.100.1; beyond wget -t 1 -qO- -T 1 http://$address/name 2>/dev/null || echo not directly
stave run --rm base wget -qO- http://198.51.100.1:8080/name | wc -l
stave exec web wget -qO- http://198.51.100.1:8080/name | wc -l
stave port web; stave ps --format '{{.Ports}}'
stave run --rm -p 8080:80 base true 2>&1 | grep -o 'the container web has it'
stave run --rm -p 8001:80 base true 2>&1 | grep -o 'busybox (process'
stave rm -f web >/dev/null
${left}`,
    )
    expect(lines).toEqual([
      ...['outside', 'outside', 'outside', 'closed', '1', '1', '1', '1', '1', 'only here', 'not directly', '1', '1'],
      ...['80/tcp -> 0.0.0.0:8080', '80/tcp -> 127.0.0.1:8081', '5353/udp -> 0.0.0.0:5353'],
      '0.0.0.0:8080->80/tcp, 127.0.0.1:8081->80/tcp, 0.0.0.0:5353->5353/udp',
      ...['the container web has it', 'busybox (process'],
    ])
  })

  test('five hundred connections through a published port lose nothing, through the relay and through the kernel', () => {
    const client = `let done = 0, bad = 0
const one = () => new Promise((resolve) => {
  const socket = require('net').connect(8090, process.argv[2])
  const sent = Buffer.alloc(20000, 'x'); let got = 0
  socket.on('data', (data) => { got += data.length; if (got === sent.length) socket.end() })
  socket.on('error', () => {}); socket.on('close', () => { got === sent.length ? done++ : bad++; resolve() })
  socket.write(sent)
})
Promise.all(Array.from({ length: 500 }, one)).then(() => console.log(done, bad))`
    // The server is a program of this machine in the container's network: the image has none that is quick enough.
    const lines = must(
      shop,
      `cat > client.cjs <<'END'
${client}
END
stave run -d --name echo -p 8090:7 base sleep 120 >/dev/null
pid=$(stave inspect -f '{{.State.Pid}}' echo)
nsenter -n -t $pid ${process.execPath} -e "require('net').createServer({ allowHalfOpen: true }, (s) => s.pipe(s)).listen({ port: 7, backlog: 1024 })" & server=$!
for i in $(seq 100); do grep -q ':0007 .* 0A ' /proc/$pid/net/tcp6 && break; sleep 0.05; done
ulimit -n 4096; ${process.execPath} client.cjs 127.0.0.1; beyond ${process.execPath} client.cjs 198.51.100.1
kill $server`,
    )
    expect(lines).toEqual(['500 0', '500 0'])
  })

  test('datagrams come through a published port, and back', () => {
    const lines = must(
      shop,
      `stave run -d --name echo -p 5300:53/udp base sleep 60 >/dev/null
pid=$(stave inspect -f '{{.State.Pid}}' echo)
nsenter -n -t $pid ${process.execPath} -e "const s = require('dgram').createSocket('udp4'); s.on('message', (m, from) => s.send('got ' + m, from.port, from.address)).bind(53)" & server=$!
for i in $(seq 100); do grep -q ':0035 ' /proc/$pid/net/udp && break; sleep 0.05; done
cat > ask.cjs <<'END'
const s = require('dgram').createSocket('udp4')
s.on('message', (m) => { console.log(String(m)); s.close() }).send(process.argv[3], 5300, process.argv[2])
setTimeout(() => s.close(), 2000).unref()
END
${process.execPath} ask.cjs 127.0.0.1 inside; beyond ${process.execPath} ask.cjs 198.51.100.1 outside
kill $server`,
    )
    expect(lines).toEqual(['got inside', 'got outside'])
  })

  test('addresses, names and resolvers are those that are asked for', () => {
    const lines = must(
      shop,
      `stave network create --subnet 10.77.5.0/24 --gateway 10.77.5.254 --ip-range 10.77.5.128/25 --subnet fd77::/64 fixed >/dev/null
stave run --rm --network fixed --ip 10.77.5.9 --ip6 fd77::9 --mac-address 02:00:00:00:00:09 --hostname box --domainname example.org base sh -c '
ip -4 -o addr show eth0 | grep -o "10[^ ]*" | head -1; ip -6 -o addr show eth0 | grep -o "fd77[^ ]*"; cat /sys/class/net/eth0/address
ip route | grep -o "default via [^ ]*"; hostname; cat /proc/sys/kernel/domainname; grep -o "box.example.org box" /etc/hosts | head -1'
stave run --rm --network fixed base sh -c 'ip -4 -o addr show eth0 | grep -o "10[^ ]*" | head -1'
stave run --rm --dns 192.0.2.1 --dns-search example.org --dns-option ndots:3 base cat /etc/resolv.conf
stave run --rm --network fixed --dns 192.0.2.1 base cat /etc/resolv.conf
stave run -d --name first --network fixed --ip 10.77.5.9 base sleep 60 >/dev/null
stave run --rm --network fixed --ip 10.77.5.9 base true 2>&1 | grep -o 'has it'
stave run --rm --network fixed --ip 10.78.0.9 base true 2>&1 | grep -o 'is not in the network fixed'
stave network create --subnet 10.77.5.128/25 again 2>&1 | grep -o 'overlaps 10.77.5.0/24 of the network fixed'
stave network create --subnet 198.51.100.0/25 again 2>&1 | grep -o 'has a route to 198.51.100.0/24'
stave network rm fixed 2>&1 | grep -o 'first is on it'
stave run --rm --network container:first base sh -c 'ip -4 -o addr show eth0 | grep -o "10[^ ]*" | head -1'
stave run --rm --network ns:/proc/$outside/ns/net base ls /sys/class/net | tr '\\n' ' '; echo
stave rm -f first >/dev/null; stave network rm fixed`,
    )
    expect(lines).toEqual([
      ...['10.77.5.9/24', 'fd77::9/64', '02:00:00:00:00:09', 'default via 10.77.5.254', 'box', 'example.org', 'box.example.org box'],
      '10.77.5.128/24',
      ...['nameserver 192.0.2.1', 'search example.org', 'options ndots:3', 'nameserver 127.0.0.11'],
      ...['has it', 'is not in the network fixed', 'overlaps 10.77.5.0/24 of the network fixed', 'has a route to 198.51.100.0/24'],
      ...['first is on it', '10.77.5.9/24', 'lo up1 ', 'fixed'],
    ])
  })

  test('a container that runs is connected to a network, and disconnected', () => {
    const lines = must(
      shop,
      `stave network create one >/dev/null; stave network create --label kind=test two >/dev/null
stave run -d --name web --network one base ${server} >/dev/null
stave network connect --alias www two web
stave run --rm --network two base wget -qO- http://www/name | wc -l
stave exec web ls /sys/class/net | tr '\\n' ' '; echo
stave network inspect -f '{{len .Containers}}' two
stave network ls -q --filter label=kind=test; stave ps -q --filter network=two | wc -l
stave network connect two web 2>&1 | grep -o 'it is on it'
stave network disconnect two web; stave exec web ls /sys/class/net | tr '\\n' ' '; echo
stave network disconnect two web 2>&1 | grep -o 'is not on the network two'
stave network prune
stave rm -f web >/dev/null; stave network rm one`,
    )
    const expected = ['1', 'eth0 eth1 lo ', '1', 'two', '1', 'it is on it', 'eth0 lo ', 'is not on the network two', 'two', 'one']
    expect(lines.filter((line) => !['pair', 'other', 'closed'].includes(line))).toEqual(expected)
  })

  test('what a killed monitor leaves is gone with the next command; links and rules of others stay', () => {
    const lines = must(
      shop,
      `nft add table inet somebody; ip link add keep0 type veth peer name keep1
stave run -d --name dies -p 8070:80 base sleep 60 >/dev/null
kill -9 $(sed 's/.*"monitorPid":\\([0-9]*\\).*/\\1/' $STAVE_ROOT/containers/*/state.json)
sleep 0.3; stave ps -q
ip -br link | cut -d' ' -f1 | tr '\\n' ' '; echo; nft list tables
stave rm -f dies >/dev/null`,
    )
    expect(lines).toEqual([expect.stringMatching(/^lo keep1\S* keep0\S* up0\S* $|^lo up0\S* keep1\S* keep0\S* $/), 'table inet somebody'])
  })

  test('many runs at once leave nothing', () => {
    const lines = must(
      shop,
      `for batch in 1 2 3 4 5; do
pids=; for i in 1 2 3 4 5 6; do stave run --rm -p 80 base true & pids="$pids $!"; done
for i in 1 2 3; do stave run --rm --network none base true; done
wait $pids
done
${left}ls $STAVE_ROOT/containers | wc -l`,
      100,
    )
    expect(lines).toEqual(['0'])
  })
})

/** An ordinary user with subordinate ids, and a program that carries packets: else there is nothing to test. */
const canBeUser =
  isRoot && spawnSync('sh', ['-c', 'id -u tester && grep -q ^tester: /etc/subuid && command -v newuidmap pasta slirp4netns']).status === 0

describe.skipIf(!canBeUser)('networks of an ordinary user (skipped without the user tester, pasta and slirp4netns)', () => {
  let shop: Workshop
  beforeAll(() => {
    const id = (flag: string) => Number(spawnSync('id', [flag, 'tester'], { encoding: 'utf8' }).stdout)
    shop = workshop('network-user', { uid: id('-u'), gid: id('-g') })
    shop.must(['import', '-q', busyboxTar(), 'base'])
  })
  afterAll(() => shop[Symbol.dispose]())

  /** As root, a device that everybody may open in the place of one that only root may; then as the user. */
  const asUser = (script: string) => `mount -t tmpfs -o mode=755 tmpfs /dev/net; mknod -m 666 /dev/net/tun c 10 200
cat > script <<'END'
set -eu; export HOME=${shop.directory} STAVE_ROOT=${shop.store}
stave() { timeout 30 ${binary} "$@"; }
${script}
END
su tester -s /bin/sh -c "sh ${shop.directory}/script"`

  /** Prints how many of the user's processes with such a name are left, once they have had 10 s to end. */
  const left = (names: string) => `for i in $(seq 100); do
  left=$(ps -u tester -o stat=,comm= | grep -v ^Z | grep -c '${names}') || break; sleep 0.1
done; echo $left`

  test.each(['pasta', 'slirp4netns'])('%s: the outside, this machine, published ports, a shared network', (program) => {
    const lines = must(
      shop,
      `mkdir -p www; echo outside > www/name; beyond busybox httpd -p 8000 -h www; busybox httpd -p 8001 -h www
${asUser(`stave run --rm --network ${program} base wget -qO- http://198.51.100.2:8000/name
stave run --rm --network ${program} --add-host here:host-gateway base wget -qO- http://here:8001/name
stave run --rm --network ${program} base wget -T 1 -qO- http://10.0.2.2:8001/name 2>/dev/null || echo not its loopback
stave run -d --name web --network ${program} -p 8082:80 base ${server} >/dev/null
for i in $(seq 100); do curl -sf -m 1 http://127.0.0.1:8082/name >/dev/null && break; sleep 0.05; done
curl -s http://127.0.0.1:8082/name | wc -l; stave port web
stave run --rm --network container:web base wget -qO- http://127.0.0.1/name | wc -l
stave run --rm --network ${program} -p 8082:80 base true 2>&1 | grep -o 'cannot publish port 8082/tcp'
stave rm -f web >/dev/null; ${left(program)}`)}`,
    )
    const expected = ['outside', 'outside', 'not its loopback', '1', '80/tcp -> 0.0.0.0:8082', '1', 'cannot publish port 8082/tcp', '0']
    expect(lines).toEqual(expected)
  })

  test('two containers of a named network reach each other by name with IPv4 and IPv6, and this machine; all goes with the last', () => {
    const lines = must(
      shop,
      `mkdir -p www; echo outside > www/name; busybox httpd -p 8001 -h www
${asUser(`stave network create --ipv6 pair >/dev/null
stave run -d --name web --network pair -p 8083:80 base ${server} >/dev/null
stave run --rm --network pair --add-host here:host-gateway base sh -c 'ping -4 -c1 -W2 web >/dev/null && echo four; ping -6 -c1 -W2 web >/dev/null && echo six
wget -qO- http://web/name | wc -l; wget -qO- http://here:8001/name'
curl -s -m 2 http://127.0.0.1:8083/name | wc -l
stave rm -f web >/dev/null; stave network rm pair
for i in $(seq 40); do test -e $STAVE_ROOT/networks/keeper.json || break; sleep 0.5; done
${left('pasta\\|passt\\|stave')}`)}`,
    )
    expect(lines).toEqual(['four', 'six', '1', 'outside', '1', 'pair', '0'])
  })

  test('without access to /dev/net/tun it is said what to do, and the host’s network is not used instead', () => {
    const script = 'set -eu; stave run --rm base true'
    const { status, stderr } = inOwnNetwork(shop, asUser(script).replace('-m 666', '-m 600'))
    expect(status).toBe(125)
    expect(stderr).toMatch(/cannot make a private network: this user may not open \/dev\/net\/tun[^]*--network host/)
  })
})
