// Several stages, what they name and what they share.
import { lines, type Case } from '../case.ts'

export const stages: readonly Case[] = [
  {
    name: 'stage by name',
    dockerfile: lines('FROM scratch AS one', 'COPY a /x', 'FROM scratch', 'COPY --from=one /x /y'),
    files: { a: 'a' },
  },
  { name: 'stage by number', dockerfile: lines('FROM scratch', 'COPY a /x', 'FROM scratch', 'COPY --from=0 x /y'), files: { a: 'a' } },
  {
    name: 'stage by name in another case',
    dockerfile: lines('FROM scratch AS One', 'COPY a /x', 'FROM scratch', 'COPY --from=oNE /x /y'),
    files: { a: 'a' },
  },
  {
    name: 'stage on a stage',
    dockerfile: lines('FROM scratch AS one', 'COPY a /x', 'ENV e=1', 'FROM one AS two', 'COPY a /y', 'FROM two', 'COPY a /z'),
    files: { a: 'a' },
  },
  {
    name: 'stage that nobody needs',
    dockerfile: lines('FROM busybox AS broken', 'RUN exit 3', 'FROM scratch', 'COPY a /'),
    files: { a: 'a' },
  },
  {
    name: 'stage as target',
    dockerfile: lines('FROM scratch AS one', 'COPY a /1', 'FROM scratch AS two', 'COPY a /2'),
    files: { a: 'a' },
    target: 'one',
  },
  {
    name: 'stage as target by number',
    dockerfile: lines('FROM scratch', 'COPY a /1', 'FROM scratch', 'COPY a /2'),
    files: { a: 'a' },
    target: '0',
  },
  {
    name: 'stage as target that is not there',
    dockerfile: lines('FROM scratch AS one', 'COPY a /1'),
    files: { a: 'a' },
    target: 'none',
    fails: 'none',
  },
  {
    name: 'stage named twice',
    dockerfile: lines('FROM scratch AS one', 'LABEL l=1', 'FROM scratch AS one', 'LABEL l=2', 'FROM one', 'LABEL m=3'),
  },
  {
    name: 'stage called like an image',
    dockerfile: lines('FROM scratch AS busybox', 'COPY a /a', 'FROM busybox', 'LABEL l=1'),
    files: { a: 'a' },
  },
  {
    name: 'stage that copies from a later one',
    dockerfile: lines('FROM scratch AS one', 'COPY --from=two /a /a', 'FROM scratch AS two', 'COPY a /a'),
    files: { a: 'a' },
    target: 'one',
    fails: 'two',
  },
  { name: 'stage with an invalid name', dockerfile: lines('FROM scratch AS 1st'), fails: '1st' },
  { name: 'stage number out of range', dockerfile: lines('FROM scratch', 'COPY --from=5 /a /a'), fails: '5' },
  { name: 'stage copies from itself', dockerfile: lines('FROM scratch AS me', 'COPY --from=me /a /a'), fails: 'me' },
  {
    name: 'stage keeps owners and modes',
    dockerfile: lines(
      'FROM busybox AS one',
      'RUN mkdir -p /d/s && echo x > /d/s/f && chown -R app:helpers /d && chmod 4710 /d/s/f && chmod 1770 /d/s',
      'FROM scratch',
      'COPY --from=one /d /d',
    ),
  },
  {
    name: 'stage with chown from another',
    dockerfile: lines(
      'FROM busybox AS one',
      'RUN mkdir /d && echo x > /d/f && chown app /d/f',
      'FROM busybox',
      'COPY --from=one --chown=other /d /d',
    ),
  },
  {
    name: 'stage copies a link',
    dockerfile: lines(
      'FROM busybox AS one',
      'RUN mkdir /d && echo x > /d/f && ln -s f /d/l && ln -s /d/f /abs',
      'FROM scratch',
      'COPY --from=one /d /d',
      'COPY --from=one /abs /abs',
      'COPY --from=one /d/l /l',
    ),
  },
  {
    name: 'stage copies hard links',
    dockerfile: lines('FROM busybox AS one', 'RUN mkdir /d && echo x > /d/f && ln /d/f /d/g', 'FROM scratch', 'COPY --from=one /d /d'),
  },
  {
    name: 'stage copies what a later layer changed',
    dockerfile: lines(
      'FROM busybox AS one',
      'RUN mkdir /d && echo 1 > /d/a && echo 2 > /d/b',
      'RUN rm /d/a && echo 3 > /d/b && echo 4 > /d/c',
      'FROM scratch',
      'COPY --from=one /d /d',
    ),
  },
  {
    name: 'stage copies a device',
    dockerfile: lines('FROM busybox AS one', 'RUN mkdir /d && mknod /d/null c 1 3 && mkfifo /d/p', 'FROM scratch', 'COPY --from=one /d /d'),
  },
  {
    name: 'stage args do not cross',
    dockerfile: lines('ARG v=1', 'FROM scratch AS one', 'ARG v', 'LABEL l=$v', 'FROM one', 'LABEL m="<$v>"'),
  },
  {
    name: 'stage from a stage below with USER and WORKDIR',
    dockerfile: lines('FROM busybox AS one', 'USER app', 'WORKDIR /srv/app', 'FROM one', 'RUN touch made', 'COPY a .'),
    files: { a: 'a' },
  },
]
