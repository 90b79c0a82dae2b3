import type { Container } from '#container/container.ts'
import { readHealth } from '#container/health.ts'
import { networkNames } from '#container/network.ts'
import { StaveError } from '#error.ts'
import type { LocalStore } from '#store/open.ts'
import { parseUntil } from '../images/filter.ts'

type Accepts = (container: Container) => boolean

/** Docker's states: of a container here the first five come to be. */
const states = ['created', 'running', 'paused', 'exited', 'restarting', 'removing', 'dead']
const healths = ['starting', 'healthy', 'unhealthy', 'none']

/**
 * Reads `--filter K=V` words. Those of one key are alternatives, but for labels; the keys must all hold (Docker's rule).
 *
 * @param all Among which `before` and `since` find the container that they name.
 * @throws StaveError `usage`
 */
export function containerFilter(words: readonly string[], all: readonly Container[], store: Pick<LocalStore, 'root'>): Accepts {
  const byKey = new Map<string, Accepts[]>()
  for (const word of words) {
    const [key = '', value = ''] = word.split(/=(.*)/s)
    const group = key.startsWith('label') ? word : key
    byKey.set(group, [...(byKey.get(group) ?? []), filterOf(key, value, word, all, store)])
  }
  return (container) => [...byKey.values()].every((alternatives) => alternatives.some((accepts) => accepts(container)))
}

function filterOf(key: string, value: string, word: string, all: readonly Container[], store: Pick<LocalStore, 'root'>): Accepts {
  switch (key) {
    case 'id':
      return ({ id }) => id.startsWith(value)
    case 'name': {
      const pattern = patternOf(value, word)
      return ({ name }) => pattern.test(name) || pattern.test(`/${name}`)
    }
    case 'status':
      if (!states.includes(value)) throw misunderstood(word, `A status is one of ${states.join(', ')}.`)
      return ({ status }) => status.state === value
    case 'health':
      if (!healths.includes(value)) throw misunderstood(word, `Health is one of ${healths.join(', ')}.`)
      return ({ id }) => (readHealth(store, id)?.Status ?? 'none') === value
    case 'restart-policy':
      return ({ restart }) => (restart?.name ?? 'no') === value
    case 'exited':
      return ({ status }) => status.state === 'exited' && status.exitCode === Number(value)
    case 'ancestor':
      return ({ image, imageId }) => image === value || image.replace(/:[^/]*$/, '').endsWith(value) || imageId.includes(value)
    case 'label':
    case 'label!': {
      const [label = '', wanted] = value.split(/=(.*)/s)
      return ({ labels }) => (Object.hasOwn(labels, label) && (wanted === undefined || labels[label] === wanted)) === (key === 'label')
    }
    case 'volume':
      return ({ spec }) =>
        spec.mounts.some(
          (mount) =>
            mount.target === value ||
            (mount.type === 'volume' && mount.name === value) ||
            (mount.type === 'bind' && mount.source === value),
        )
    case 'network':
      return (container) =>
        networkNames(container).includes(value) ||
        (value !== '' && (container.network?.networks ?? []).some(({ id }) => id.startsWith(value)))
    case 'until': {
      const limit = parseUntil(word, value)
      return ({ createdAt }) => Date.parse(createdAt) < limit
    }
    case 'before':
    case 'since': {
      const other = all.find(({ id, name }) => name === value || (value !== '' && id.startsWith(value)))
      if (other === undefined) throw new StaveError('not-found', `cannot find the container ${value} of --filter ${word}`)
      return ({ createdAt }) => (key === 'before' ? createdAt < other.createdAt : createdAt > other.createdAt)
    }
    default:
      throw misunderstood(
        word,
        'There are id=, name=, status=, exited=, ancestor=, health=, label=, volume=, network=, restart-policy=, until=, before= and since=.',
      )
  }
}

function patternOf(value: string, word: string): RegExp {
  try {
    return new RegExp(value)
  } catch {
    throw misunderstood(word, 'The name is a regular expression.')
  }
}

function misunderstood(word: string, hint: string): StaveError {
  return new StaveError('usage', `--filter ${word} is not understood`, { hint })
}
