// ONBUILD, seen from the child.
import { lines, type Case } from '../case.ts'

export const onbuilds: readonly Case[] = [
  {
    name: 'onbuild runs in a stage on it',
    dockerfile: lines('FROM busybox AS one', 'ONBUILD RUN echo x > /t', 'ONBUILD LABEL a=1', 'FROM one', 'LABEL b=2'),
  },
  {
    name: 'onbuild is not inherited twice',
    dockerfile: lines('FROM busybox AS one', 'ONBUILD RUN echo x >> /t', 'FROM one AS two', 'FROM two', 'LABEL b=2'),
  },
  {
    name: 'onbuild copies from the context',
    dockerfile: lines('FROM scratch AS one', 'ONBUILD COPY a /t', 'FROM one', 'LABEL a=1'),
    files: { a: 'a' },
  },
  {
    name: 'onbuild copies from a stage of the child',
    dockerfile: lines(
      'FROM busybox AS data',
      'RUN echo d > /d',
      'FROM scratch AS one',
      'ONBUILD COPY --from=data /d /t',
      'FROM one',
      'LABEL a=1',
    ),
  },
  {
    name: 'onbuild expands in the child',
    dockerfile: lines('FROM scratch AS one', 'ENV e=1', 'ONBUILD ARG v=2', 'ONBUILD LABEL a="$e$v"', 'FROM one', 'LABEL b="$v"'),
  },
  {
    name: 'onbuild in order',
    dockerfile: lines('FROM busybox AS one', 'ONBUILD WORKDIR /w', 'ONBUILD RUN touch f', 'FROM one', 'RUN touch g'),
  },
]
