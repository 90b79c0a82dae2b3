import { describe, expect, test } from 'vitest'
import { StaveError } from '#error.ts'
import { checkMount, cleanPath, parseDevice, parseMount } from './mount.ts'

const mount = (text: string) => parseMount(text, (word) => word.replace('$v', 'value'))

describe('mounts', () => {
  test.each<[string, object]>([
    ['target=/a', { type: 'bind', target: '/a', source: '', readonly: true }],
    ['type=bind,source=b,target=/a', { type: 'bind', target: '/a', source: 'b', readonly: true }],
    ['type=bind,src=b,dst=a,from=c', { type: 'bind', target: 'a', source: 'b', from: 'c', readonly: true }],
    ['type=bind,destination=/a,rw', { type: 'bind', target: '/a', source: '', readonly: false }],
    ['target=/a,rw=true', { type: 'bind', target: '/a', source: '', readonly: false }],
    ['target=/a,readwrite=false', { type: 'bind', target: '/a', source: '', readonly: true }],
    ['target=/a,ro=false', { type: 'bind', target: '/a', source: '', readonly: false }],
    ['target=/a,readonly', { type: 'bind', target: '/a', source: '', readonly: true }],
    ['TYPE=Bind,Target=/a', { type: 'bind', target: '/a', source: '', readonly: true }],
    ['target=/a,target=/b', { type: 'bind', target: '/b', source: '', readonly: true }],
    ['from=x', { type: 'bind', target: '.', source: '', from: 'x', readonly: true }],
    ['target=/$v,source=$v', { type: 'bind', target: '/value', source: 'value', readonly: true }],
    ['type=cache,target=/a/../b/', { type: 'cache', id: '/b', target: '/a/../b/', source: '', sharing: 'shared', readonly: false }],
    [
      'type=cache,target=/a,id=x,sharing=LOCKED,mode=0700,uid=1,gid=2,ro',
      { type: 'cache', id: 'x', target: '/a', source: '', sharing: 'locked', readonly: true, mode: 0o700, uid: 1, gid: 2 },
    ],
    [
      'type=cache,target=a,sharing=private,from=b,source=c',
      { type: 'cache', id: 'a', target: 'a', from: 'b', source: 'c', sharing: 'private', readonly: false },
    ],
    ['type=tmpfs,target=/a', { type: 'tmpfs', target: '/a' }],
    ['type=tmpfs,target=/a,size=64m', { type: 'tmpfs', target: '/a', sizeBytes: 64 * 1024 * 1024 }],
    ['type=secret,id=a/b', { type: 'secret', id: 'a/b', target: '/run/secrets/b', required: false, mode: 0o400, uid: 0, gid: 0 }],
    ['type=secret,source=a', { type: 'secret', id: 'a', target: '/run/secrets/a', required: false, mode: 0o400, uid: 0, gid: 0 }],
    ['type=secret,target=/x/y', { type: 'secret', id: 'y', target: '/x/y', required: false, mode: 0o400, uid: 0, gid: 0 }],
    ['type=secret,id=a,env=B', { type: 'secret', id: 'a', env: 'B', required: false, mode: 0o400, uid: 0, gid: 0 }],
    ['type=secret,id=a,env=B,target=/c', { type: 'secret', id: 'a', env: 'B', target: '/c', required: false, mode: 0o400, uid: 0, gid: 0 }],
    [
      'type=secret,id=a,required,mode=444,uid=5,gid=6',
      { type: 'secret', id: 'a', target: '/run/secrets/a', required: true, mode: 0o444, uid: 5, gid: 6 },
    ],
    [
      'type=secret,id=a,required=false',
      { type: 'secret', id: 'a', target: '/run/secrets/a', required: false, mode: 0o400, uid: 0, gid: 0 },
    ],
    ['type=ssh', { type: 'ssh', id: 'default', required: false, mode: 0o600, uid: 0, gid: 0 }],
    ['type=ssh,id=a,target=/s,required=1,mode=0660', { type: 'ssh', id: 'a', target: '/s', required: true, mode: 0o660, uid: 0, gid: 0 }],
    ['type=bind,"target=/a,b"', { type: 'bind', target: '/a,b', source: '', readonly: true }],
  ])('%s', (text, expected) => {
    expect(mount(text)).toEqual(expected)
    expect(() => checkMount(text)).not.toThrow()
  })

  test.each<[string, string, string?]>([
    ['', 'the value is empty'],
    ['type=volume,target=/a', 'unsupported mount type "volume"', 'It is one of bind, cache, tmpfs, secret, ssh.'],
    ['type=cahce,target=/a', 'unsupported mount type "cahce"', 'Did you mean cache?'],
    ['type=bind,target=/', 'invalid mount target "/"'],
    ['type=cache,target=/a/..', 'invalid mount target "/a/.."'],
    ['target=/a,sorce=b', 'unexpected key "sorce" in mount option "sorce=b"', 'Did you mean source?'],
    ['target=/a,tmpcopyup', 'mount option "tmpcopyup" must be a key=value pair'],
    ['target', 'mount option "target" must be a key=value pair'],
    ['target=/a,ro=x', 'invalid value "x" for mount option ro'],
    ['target=/a,mode=755', 'mode is not allowed for a mount of type bind'],
    ['type=tmpfs,target=/a,uid=1', 'uid is not allowed for a mount of type tmpfs'],
    ['type=tmpfs,target=/a,gid=1', 'gid is not allowed for a mount of type tmpfs'],
    ['type=cache,target=/a,mode=9', 'invalid value "9" for mount option mode'],
    ['type=cache,target=/a,uid=-1', 'invalid value "-1" for mount option uid'],
    ['type=cache,target=/a,gid=4294967296', 'invalid value "4294967296" for mount option gid'],
    ['type=cache,target=/a,sharing=all', 'unsupported sharing value "all"'],
    ['target=/a,sharing=shared', 'sharing is not allowed for a mount of type bind'],
    ['type=secret,id=a,sharing=shared', 'sharing is not allowed for a mount of type secret'],
    ['type=secret', 'a secret mount needs an id or a target'],
    ['type=secret,id=a,source=b', 'a secret mount cannot have both id and source'],
    ['type=secret,id=a,from=b', 'a secret mount cannot have a from'],
    ['target=/a,required', 'unexpected key "required" for a mount of type bind', 'The type must stand before it, and is bind by default.'],
    ['required,type=secret,id=a', 'unexpected key "required" for a mount of type bind'],
    ['type=cache,target=/a,size=1', 'unexpected key "size" for a mount of type cache'],
    ['type=tmpfs,target=/a,size=x', 'invalid value "x" for mount option size'],
    ['type=bind,target="/a', 'there is a quote inside the field target="/a'],
    ['"target=/a', 'a quote is not closed'],
    ['"target=/a"b', 'there is text after a closing quote'],
  ])('%s: an error', (text, message, hint) => {
    let error: unknown
    try {
      mount(text)
    } catch (caught) {
      error = caught
    }
    expect(error).toBeInstanceOf(StaveError)
    expect((error as StaveError).message).toContain(message)
    if (hint !== undefined) expect((error as StaveError).hint).toBe(hint)
    // Without variables, what is wrong is found before the build begins.
    expect(() => checkMount(text)).toThrow(message)
  })

  test('with variables, only what they cannot change is checked at first', () => {
    expect(() => checkMount('type=$t,target=/a')).not.toThrow()
    expect(() => checkMount('type=cache,target=/a,mode=${m}')).not.toThrow()
    expect(() => checkMount('target=/a,from=$x')).toThrow("'from' of a mount does not support variables")
    expect(() => checkMount('target=/a,from=a$')).not.toThrow()
  })
})

describe('devices', () => {
  test.each<[string, object]>([
    ['vendor.com/class=name', { name: 'vendor.com/class=name', required: false }],
    ['name=a/b=c,required', { name: 'a/b=c', required: true }],
    ['a/b,required=false', { name: 'a/b', required: false }],
    ['required', { name: '', required: true }],
  ])('%s', (text, expected) => {
    expect(parseDevice(text)).toEqual(expected)
  })

  test.each(['a/b,c/d', 'a/b,name=c', 'a/b,required=x', 'a/b,nmae=c'])('%s: an error', (text) => {
    expect(() => parseDevice(text)).toThrow(StaveError)
  })
})

test.each([
  ['/a/b/../c', '/a/c'],
  ['a//b/./c/', 'a/b/c'],
  ['/..', '/'],
  ['..', '..'],
  ['a/../..', '..'],
  ['', '.'],
  ['.', '.'],
  ['/', '/'],
])('cleanPath %j', (path, clean) => {
  expect(cleanPath(path)).toBe(clean)
})
