/**
 * Times the everyday workloads with Stave and with every peer that is installed, in turn and in one run, and prints a
 * table of medians with the ratio to the fastest peer. Needs root (the peers do), docker-registry, skopeo, busybox-static.
 *
 *     npm run bench [-- -r RUNS] [WORKLOAD...]
 *
 * | workload | what |
 * |---|---|
 * | build, cached | thirteen small steps, cold and again |
 * | copy, push, pull | a context of 20,000 files: built, pushed, pulled until a container has run |
 * | changed | the same with one file changed |
 * | steps | twenty RUN steps that do nothing |
 * | one-stage, stages | a stage that keeps a core busy, and eight of them side by side |
 * | apt | apt-get update and install: only when it is named, it needs the network |
 * | run-host, run-none | a container from start to end |
 * | bundle-run, bundle-start | the same by an OCI runtime on a prepared bundle: run; create, start and delete |
 * | transfer, nothing, layout | 512 MB from one registry to another, the same again, and to an OCI layout |
 * | fifty | fifty small images from one registry to another |
 *
 * With --docker, Docker's daemon takes part. All its images and its build cache are removed.
 */
import { spawnSync } from 'node:child_process'
import { cpus } from 'node:os'
import { makeInputs, stageCount } from './bench/inputs.ts'
import { has, openMachine, type Machine } from './bench/machine.ts'
import { measure, type Sample } from './bench/measure.ts'
import { makeTransferInputs, transfers } from './bench/transfers.ts'
import { workloads, type Case } from './bench/workloads.ts'

const words = process.argv.slice(2)
const runsAt = words.indexOf('-r')
const runs = runsAt < 0 ? 5 : Number(words.splice(runsAt, 2)[1])
const dockerAt = words.indexOf('--docker')
const withDocker = dockerAt >= 0 && words.splice(dockerAt, 1).length > 0

for (const program of ['docker-registry', 'skopeo', 'busybox', 'mmdebstrap'])
  if (!has(program)) throw new Error(`${program} is missing; run: sh scripts/setup.sh --peers`)
using machine = openMachine()
const [source, target] = [await machine.registry('source'), await machine.registry('target')]
const moving = transfers(machine, source, target)
const known = new Map([...workloads(machine, source, target, withDocker), ...moving])
for (const word of words) if (!known.has(word)) throw new Error(`${word} is no workload: ${[...known.keys()].join(', ')}`)
// The inputs of the one kind take minutes, and those of the other half a gigabyte.
if (words.length === 0 || words.some((word) => !moving.has(word))) makeInputs(machine, source)
if (words.length === 0 || words.some((word) => moving.has(word))) makeTransferInputs(machine, source)
console.log(`workload\ttool\tmedian_s\tmin\tmax\tcpu_s\tpeak_mb\tto_best_peer   (${runs} runs each, in turn)`)
const medians = new Map<string, number>()
for (const [workload, cases] of known)
  if (words.length === 0 ? workload !== 'apt' : words.includes(workload)) await bench(machine, workload, cases)
const [one, eight] = [medians.get('one-stage stave'), medians.get('stages stave')]
if (one !== undefined && eight !== undefined) {
  const ideal = (one * stageCount) / Math.min(cpus().length, stageCount)
  console.log(`stages\tideal\t${ideal.toFixed(3)}\t\t\t\t\t\tstave takes ${(eight / ideal).toFixed(2)} of it`)
}

/** Runs the tools in turn, so that a machine that drifts is as slow for one as for the other. */
async function bench(machine: Machine, workload: string, cases: readonly Case[]): Promise<void> {
  const samples = new Map<string, Sample[]>(cases.map(({ tool }) => [tool, []]))
  for (let run = 0; run < runs; run++) {
    for (const one of cases) {
      if (run === 0) one.first?.()
      if (run === 0 && one.possible?.() === false) samples.delete(one.tool)
      if (!samples.has(one.tool)) continue
      one.prepare?.()
      spawnSync('sync')
      samples.get(one.tool)!.push(await measure(one.command, machine.env))
    }
  }
  const own = new Map([...samples].map(([tool, list]) => [tool, median(list.map(({ wallS }) => wallS))]))
  const best = Math.min(...[...own].filter(([tool]) => tool !== 'stave').map(([, value]) => value))
  for (const [tool, list] of samples) {
    const walls = list.map(({ wallS }) => wallS)
    const middle = own.get(tool)!
    medians.set(`${workload} ${tool}`, middle)
    const row = [middle, Math.min(...walls), Math.max(...walls), median(list.map(({ cpuS }) => cpuS))].map((value) => value.toFixed(3))
    const peak = Math.max(...list.map(({ peakMb }) => peakMb)).toFixed(0)
    console.log([workload, tool, ...row, peak, Number.isFinite(best) ? (middle / best).toFixed(2) : '-'].join('\t'))
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
