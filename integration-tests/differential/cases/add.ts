// ADD: archives by their content, and what is not one.
import { lines, type Case, type Files } from '../case.ts'

const packed: Files = {
  d: { directory: true, mode: 0o750, owner: [3, 4] },
  'd/f': { content: 'f', mode: 0o640, owner: [1, 2], mtime: 1_000_000_001 },
  'd/l': { symlink: 'f' },
  'd/h': { hardLink: 'd/f' },
  top: 'top',
}

export const adds: readonly Case[] = [
  { name: 'add a file', dockerfile: lines('FROM scratch', 'ADD a /d/'), files: { a: 'a' } },
  { name: 'add a directory', dockerfile: lines('FROM scratch', 'ADD d /x'), files: { 'd/a': 'a', 'd/t': { tar: { x: 'x' } } } },
  ...(['none', 'gzip', 'bzip2', 'xz', 'zstd'] as const).map((how) => ({
    name: `add an archive, ${how}`,
    dockerfile: lines('FROM scratch', 'ADD archive /x/'),
    files: { archive: { tar: packed, ...(how === 'none' ? {} : { compress: how }) } },
  })),
  { name: 'add an archive without a slash', dockerfile: lines('FROM scratch', 'ADD archive /x'), files: { archive: { tar: packed } } },
  { name: 'add an archive to the root', dockerfile: lines('FROM scratch', 'ADD archive /'), files: { archive: { tar: packed } } },
  {
    name: 'add an archive with an owner',
    dockerfile: lines('FROM scratch', 'ADD --chown=9:10 archive /x/'),
    files: { archive: { tar: packed } },
  },
  {
    name: 'add an archive with a mode',
    dockerfile: lines('FROM scratch', 'ADD --chmod=600 archive /x/'),
    files: { archive: { tar: packed } },
  },
  {
    name: 'add two archives and a file',
    dockerfile: lines('FROM scratch', 'ADD one two plain /x/'),
    files: { one: { tar: { a: 'a' } }, two: { tar: { b: 'b' }, compress: 'gzip' }, plain: 'p' },
  },
  {
    name: 'add a wildcard of archives',
    dockerfile: lines('FROM scratch', 'ADD *.t /x/'),
    files: { '1.t': { tar: { a: 'a' } }, '2.t': { tar: { b: 'b' } } },
  },
  {
    name: 'add a compressed file that is no archive',
    dockerfile: lines('FROM scratch', 'ADD a.gz /x'),
    files: { 'a.gz': { content: 'not a tar', compress: 'gzip' } },
  },
  {
    name: 'add an archive whose name lies',
    dockerfile: lines('FROM scratch', 'ADD a.txt /x/', 'ADD b.tar /y/'),
    files: { 'a.txt': { tar: { a: 'a' } }, 'b.tar': 'no tar' },
  },
  { name: 'copy does not unpack', dockerfile: lines('FROM scratch', 'COPY archive /x/'), files: { archive: { tar: packed } } },
  {
    name: 'add an archive over a base',
    dockerfile: lines('FROM busybox', 'ADD archive /'),
    files: {
      archive: {
        tar: { 'etc/new': 'n', 'srv/f': { content: 's', mode: 0o600 }, 'home/app': { directory: true, mode: 0o700, owner: [1000, 1001] } },
      },
    },
  },
  {
    name: 'add an archive through a link of the base',
    dockerfile: lines('FROM busybox', 'ADD archive /'),
    files: { archive: { tar: { 'home/absolute/f': 's' } } },
  },
  {
    name: 'add an archive that leads out',
    dockerfile: lines('FROM busybox', 'ADD archive /x/'),
    files: { archive: { tar: { l: { symlink: '/etc' }, 'l/out': 'o' } } },
  },
  {
    name: 'add an archive with setuid',
    dockerfile: lines('FROM scratch', 'ADD archive /x/'),
    files: { archive: { tar: { s: { content: 's', mode: 0o4755 }, t: { directory: true, mode: 0o1777 } } } },
  },
  {
    name: 'add an archive with xattrs',
    dockerfile: lines('FROM scratch', 'ADD archive /x/'),
    files: { archive: { tar: { s: { content: 's', xattrs: { 'user.note': 'kept' } } } } },
  },
  {
    name: 'add an archive with a fifo',
    dockerfile: lines('FROM scratch', 'ADD archive /x/'),
    files: { archive: { tar: { p: { fifo: true, mode: 0o600 } } } },
  },
  {
    name: 'add an archive with names of whiteouts',
    dockerfile: lines('FROM scratch', 'ADD archive /x/', 'LABEL a=1'),
    files: { archive: { tar: { f: 'f', g: 'g' } } },
  },
  { name: 'add an empty archive', dockerfile: lines('FROM scratch', 'ADD archive /x/'), files: { archive: { tar: {} } } },
]
