import { StaveError } from '#error.ts'
import type { NetworkRecord } from '#network/record.ts'
import { parseUntil } from '../images/filter.ts'

type Accepts = (network: NetworkRecord) => boolean

/**
 * Reads `--filter K=V` words. Those of one key are alternatives, but for labels; the keys must all hold.
 *
 * @param used Is a container on it?
 * @throws StaveError `usage`
 */
export function networkFilter(words: readonly string[], used: (network: NetworkRecord) => boolean): Accepts {
  const byKey = new Map<string, Accepts[]>()
  for (const word of words) {
    const [key = '', value = ''] = word.split(/=(.*)/s)
    const group = key.startsWith('label') ? word : key
    byKey.set(group, [...(byKey.get(group) ?? []), filterOf(key, value, word, used)])
  }
  return (network) => [...byKey.values()].every((alternatives) => alternatives.some((accepts) => accepts(network)))
}

function filterOf(key: string, value: string, word: string, used: (network: NetworkRecord) => boolean): Accepts {
  switch (key) {
    case 'id':
      return ({ id }) => id.startsWith(value)
    case 'name':
      return ({ name }) => name.includes(value)
    case 'driver':
      return () => value === 'bridge'
    case 'dangling':
      return (network) => used(network) !== (value === 'true' || value === '1')
    case 'label':
    case 'label!': {
      const [label = '', wanted] = value.split(/=(.*)/s)
      return ({ labels }) => (Object.hasOwn(labels, label) && (wanted === undefined || labels[label] === wanted)) === (key === 'label')
    }
    case 'until': {
      const limit = parseUntil(word, value)
      return ({ createdAt }) => Date.parse(createdAt) < limit
    }
    default:
      throw new StaveError('usage', `--filter ${word} is not understood`, {
        hint: 'There are id=, name=, driver=, dangling=, label= and until=.',
      })
  }
}
