import { expect, test } from 'vitest'
import { redactUrl, splitUserinfo } from './url.ts'

test.each([
  ['https://user:pw@host/x', 'https://host/x', 'user:pw'],
  ['https://token@host/x', 'https://host/x', 'token'],
  ['https://u:p@ss@host/x', 'https://host/x', 'u:p@ss'],
  ['ssh://git@host/x', 'ssh://host/x', 'git'],
  ['https://host/a@b', 'https://host/a@b', undefined],
  ['https://host/?q=a@b', 'https://host/?q=a@b', undefined],
  ['git@host:a/b.git', 'git@host:a/b.git', undefined],
  ['a/b', 'a/b', undefined],
])('splitUserinfo(%s)', (text, url, userinfo) => {
  expect(splitUserinfo(text)).toEqual({ url, userinfo })
})

test.each([
  ['https://user:pw@host/x.git#main', 'https://host/x.git#main'],
  ['https://ghp_token@host/x.git', 'https://host/x.git'],
  ['HTTPS://u:p@HOST/', 'HTTPS://HOST/'],
  ['https://u:p@ss@host/', 'https://host/'],
  ['ssh://git@host/x.git', 'ssh://git@host/x.git'],
  ['ssh://git:pw@host/x.git', 'ssh://git@host/x.git'],
  ['git@host:x.git', 'git@host:x.git'],
  ['https://s3/x?X-Amz-Signature=abc&X-Amz-Credential=id%2Fx&v=1', 'https://s3/x?X-Amz-Signature=xxxxx&X-Amz-Credential=xxxxx&v=1'],
  ['https://h/x?sig=abc#f', 'https://h/x?sig=xxxxx#f'],
  ['https://h/x?access_token=abc', 'https://h/x?access_token=xxxxx'],
  ['https://h/x?design=abc', 'https://h/x?design=abc'],
  ['fatal: unable to access https://u:p@h/x.git/: no', 'fatal: unable to access https://h/x.git/: no'],
  ['mail a@b.c', 'mail a@b.c'],
  ['https://u:p w\n@h/x', 'https://h/x'],
])('redactUrl(%s)', (text, shown) => {
  expect(redactUrl(text)).toBe(shown)
})
