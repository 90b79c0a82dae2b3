import { expect, test } from 'vitest'
import { nextPage } from './listing.ts'

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
])('the next page by a Link: %s', (_, link, expected) => {
  expect(nextPage({ headers: { link }, url })).toBe(expected)
})
