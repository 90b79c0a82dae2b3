import { expect, test, vi } from 'vitest'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Event } from '#event.ts'
import * as limit from '#limit.ts'
import { parseReference } from '#oci/reference.ts'
import { nextPage } from './listing.ts'
import { createRegistryClient } from './registry.ts'

// The real bounds would take minutes to reach.
vi.mock('#limit.ts', async (original) => ({ ...(await original<typeof limit>()), listPages: 150, listBytes: 20_000 }))

const url = new URL('https://r.example/v2/a/tags/list')

test.each<[name: string, link: string | undefined, expected: string | undefined]>([
  ['none', undefined, undefined],
  ['a relative one', '</v2/a/tags/list?n=2&last=b>; rel="next"', '/v2/a/tags/list?n=2&last=b'],
  ['an absolute one to a wrong host', '<http://internal:8080/v2/a/tags/list?last=b>; rel="next"', '/v2/a/tags/list?last=b'],
  ['a query alone', '<?last=b>; rel=next', '/v2/a/tags/list?last=b'],
  ['without brackets', '/v2/a/tags/list?last=b; rel="next"', '/v2/a/tags/list?last=b'],
  ['another relation', '</v2/a/tags/list?last=b>; rel="prev"', undefined],
  ['the second of two', '</x>; rel="prev", </v2/a/tags/list?last=c>; rel="next"', '/v2/a/tags/list?last=c'],
  ['several relations', '</y>; rel="last next"', '/y'],
  ['empty', '', undefined],
  ['a title that speaks of it', '</y>; title="a; rel=next"', undefined],
  ['a quote without its end', '</y>; rel="next', '/y'],
  ['without a relation', '</y>', '/y'],
  // A thousand of them took seconds when every one was searched to the end.
  ['as much as a head may have', `</y>${'; rel=>'.repeat(50_000)}`, undefined],
])('the next page by a Link: %s', (_, link, expected) => {
  expect(nextPage({ headers: { link }, url })).toBe(expected)
})

/** Lists the tags of a registry whose pages are made by number. */
async function tagsOf(page: (at: number) => { readonly tags: readonly unknown[]; readonly next?: string }) {
  let asked = 0
  const server = createServer((_request, response) => {
    const { tags, next } = page(asked++)
    if (next !== undefined) response.setHeader('link', `<${next}>; rel="next"`)
    response.end(JSON.stringify({ name: 'a', tags }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const events: Event[] = []
  const cx = { signal: new AbortController().signal, report: (event: Event) => void events.push(event) }
  await using client = createRegistryClient()
  const registry = client.open(parseReference(`127.0.0.1:${(server.address() as AddressInfo).port}/a`))
  try {
    return { tags: await registry.listTags(cx), asked, warnings: events.filter(({ type }) => type === 'warning') }
  } finally {
    server.close()
    server.closeAllConnections()
  }
}
const next = (at: number) => `/v2/a/tags/list?last=${at}`

test('an empty page is not the end, when a next one is announced', async () => {
  const { tags } = await tagsOf((at) => ({ tags: at === 1 || at === 2 ? [] : [`t${at}`], ...(at < 4 && { next: next(at) }) }))
  expect(tags).toEqual(['t0', 't3', 't4'])
})

test('a page without anything new is not the end either', async () => {
  const { tags } = await tagsOf((at) => ({ tags: [['a', 'b'], ['b'], ['c']][at]!, ...(at < 2 && { next: next(at) }) }))
  expect(tags).toEqual(['a', 'b', 'c'])
})

test('the same page again and again ends it', async () => {
  const { tags, asked } = await tagsOf((at) => ({ tags: ['a', 'b'], next: next(at) }))
  expect([tags, asked]).toEqual([['a', 'b'], 2])
})

test('empty pages without end are an error', async () => {
  await expect(tagsOf((at) => ({ tags: [], next: next(at) }))).rejects.toMatchObject({ code: 'registry-problem' })
  const { asked, tags } = await tagsOf((at) => ({
    tags: at < limit.fruitlessPages ? [] : ['a'],
    ...(at < limit.fruitlessPages - 1 && { next: next(at) }),
  }))
  expect([asked, tags]).toEqual([limit.fruitlessPages, []])
})

test('one page more than there may be is an error', async () => {
  const pages = (count: number) => tagsOf((at) => ({ tags: [`t${at}`], ...(at < count - 1 && { next: next(at) }) }))
  expect((await pages(limit.listPages)).tags).toHaveLength(limit.listPages)
  await expect(pages(limit.listPages + 1)).rejects.toMatchObject({ code: 'too-large' })
})

test('more bytes than a list may have are an error', async () => {
  const page = (at: number) => Array.from({ length: 50 }, (_, tag) => `t${at}-${tag}`.padEnd(120, 'x'))
  await expect(tagsOf((at) => ({ tags: page(at), ...(at < 3 && { next: next(at) }) }))).rejects.toMatchObject({ code: 'too-large' })
})

test.each(['../../../tmp/x', '..', 'a/b', 'a b', 'x'.repeat(129), '\u001b[2J', '-x', 'a\u0000'])('%j is no tag', async (name) => {
  const { tags, warnings } = await tagsOf(() => ({ tags: ['ok', name, 7, null] }))
  expect(tags).toEqual(['ok'])
  expect(warnings).toHaveLength(1)
  expect(JSON.stringify(warnings)).not.toContain('\\u001b')
})
