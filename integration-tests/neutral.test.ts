/** What scripts for docker, podman and buildah ask for that is so anyway: taken by run, create and build; other values are refused. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { busyboxTar, workshop } from './stave.ts'

const shop = workshop('neutral')
beforeAll(() => {
  shop.must(['import', '-q', busyboxTar(), 'base'])
  mkdirSync(shop.path('context'))
  writeFileSync(shop.path('context/Dockerfile'), 'FROM base\nRUN true\n')
})
afterAll(() => shop[Symbol.dispose]())

/** A few at once: each costs the start of a container. */
const forContainers = [
  '--restart no --restart= --userns host --userns= --isolation default --isolation=',
  '--network bridge',
  '--network default',
  '--net=bridge --cap-add NET_ADMIN,SYS_TIME --cap-drop MKNOD,AUDIT_WRITE',
  '--cap-drop ALL --cap-add CHOWN,CAP_FOWNER',
  '--pid private --pid= --ipc private --ipc= --ipc shareable --uts private --uts= --cgroupns private --cgroupns=',
  '--cgroups enabled --cgroup-parent= --memory-swappiness -1 --blkio-weight 0 --kernel-memory 0 --oom-kill-disable=false',
  '--memory 0 --cpus 0 --pids-limit 0 --pids-limit -1 --shm-size 0 --cpu-shares 0',
  '--log-driver json-file --log-driver=k8s-file --disable-content-trust --systemd false --http-proxy=false --passwd=false',
  '--volume-driver local --image-volume bind --rmi=false --sig-proxy=true --init=false --privileged=false --read-only=false',
  '--security-opt label=disable --security-opt apparmor=unconfined --no-healthcheck --storage-driver vfs',
].map((line) => line.split(' '))

test.each(forContainers)('run and create: %s %s %s %s', (...flags) => {
  shop.must(['run', '--rm', ...flags, 'base', 'true'])
  shop.must(['rm', shop.must(['create', ...flags, 'base', 'true'])])
})

test('--cap-add with commas means each of them', () => {
  const [netAdmin, sysTime, chown] = [12n, 25n, 0n]
  const words = ['--cap-drop', 'CHOWN,MKNOD', '--cap-add', 'NET_ADMIN,SYS_TIME', 'base', 'grep', 'CapEff', '/proc/self/status']
  const effective = BigInt(`0x${shop.must(['run', '--rm', '--network', 'none', ...words]).split(/\s+/)[1]}`)
  expect([netAdmin, sysTime, chown].map((bit) => (effective >> bit) & 1n)).toEqual([1n, 1n, 0n])
})

const forBuilds = [
  '--isolation default --isolation oci --isolation=',
  '--network default',
  '--network bridge --pid private --ipc= --uts private --userns host --cgroupns private --cgroup-parent=',
  '--cap-add NET_ADMIN,SYS_TIME --cap-drop MKNOD,CHOWN --security-opt label=disable',
  '--pull=false --rm=true --force-rm --layers --compress --provenance=false --sbom=false --load --no-cache=false --squash=false',
  '--memory 0 --cpu-shares 0 --shm-size 0 --cpuset-cpus= --jobs 1 --progress auto --builder default',
  '--disable-content-trust --inherit-labels --volume-driver local --storage-driver vfs --format docker',
].map((line) => line.split(' '))

test.each(forBuilds)('build: %s %s %s %s', (...flags) => {
  shop.must(['build', '-q', ...flags, shop.path('context')])
})

test.each([
  ['run', '--oom-kill-disable', '--oom-score-adj'],
  ['run', '--disable-content-trust=false', 'policy.json'],
  ['run', '--isolation hyperv', 'Windows'],
  ['build', '--userns keep-id', 'RUN has namespaces of its own'],
  ['build', '--pid host', 'RUN has namespaces of its own'],
  ['build', '--cgroup-parent x', '--memory'],
])('stave %s %s is refused', (command, flags, hint) => {
  const { status, stderr } = shop.stave([command, ...flags.split(' '), command === 'build' ? shop.path('context') : 'base'])
  expect(stderr).toContain('is not offered')
  expect(stderr).toContain(hint)
  expect(status).toBe(command === 'build' ? 2 : 125)
})
