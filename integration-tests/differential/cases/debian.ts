// On a real root: merged /usr, real users, real tools.
import { lines, type Case } from '../case.ts'

const shadow = [
  '/etc/shadow',
  '/etc/shadow-',
  '/etc/gshadow',
  '/etc/gshadow-',
  '/etc/passwd',
  '/etc/passwd-',
  '/etc/group',
  '/etc/group-',
  '/etc/subuid',
  '/etc/subgid',
  '/etc/subuid-',
  '/etc/subgid-',
]

export const debians: readonly Case[] = [
  {
    name: 'debian copies through merged /usr',
    dockerfile: lines('FROM debian', 'COPY tool /bin/tool', 'COPY tool /lib/tool/', 'COPY d/sbin /sbin/'),
    files: { tool: { content: '#!/bin/sh\n', mode: 0o755 }, 'd/sbin/other': 'o' },
  },
  {
    name: 'debian refuses a directory in place of a link',
    dockerfile: lines('FROM debian', 'COPY d /'),
    files: { 'd/sbin/other': 'o' },
    fails: '/sbin',
  },
  {
    name: 'debian adds a user',
    dockerfile: lines(
      'FROM debian',
      'RUN useradd --system --uid 400 --create-home --shell /bin/sh svc',
      'COPY --chown=svc:svc f /home/svc/',
      'USER svc',
      'WORKDIR /home/svc/work',
      'RUN id -un > who',
    ),
    files: { f: 'f' },
    ignore: shadow,
  },
  {
    name: 'debian with bash',
    dockerfile: lines(
      'FROM debian',
      'SHELL ["/bin/bash", "-o", "pipefail", "-c"]',
      'RUN diff <(echo a) <(echo a) && echo ${BASH_VERSINFO[0]} > /bash',
    ),
  },
  {
    name: 'debian removes documentation',
    dockerfile: lines('FROM debian', 'RUN rm -rf /usr/share/doc/base-files /usr/share/man && mkdir /usr/share/man'),
  },
  {
    name: 'debian changes owners deep down',
    dockerfile: lines(
      'FROM debian',
      'RUN chown -R www-data:www-data /var/mail /var/local && chmod -R g+w /var/local && touch /var/local/x',
    ),
  },
  {
    name: 'debian links and alternatives',
    dockerfile: lines(
      'FROM debian',
      'RUN update-alternatives --install /usr/local/bin/thing thing /bin/true 10 && ln -sf /bin/false /etc/link',
    ),
    ignore: ['/var/log/alternatives.log', '/var/lib/dpkg/alternatives/thing'],
  },
  {
    name: 'debian takes a program from another stage',
    dockerfile: lines(
      'FROM debian AS build',
      'RUN printf "#!/bin/sh\\necho made\\n" > /out && chmod 755 /out',
      'FROM busybox',
      'COPY --from=build /out /bin/out',
      'RUN /bin/out > /said',
    ),
  },
  {
    name: 'debian unpacks over itself',
    dockerfile: lines('FROM debian', 'ADD archive /'),
    files: { archive: { tar: { bin: { directory: true }, 'bin/added': { content: 'b', mode: 0o755 }, 'etc/added': 'e' } } },
  },
  {
    name: 'debian keeps the time of what is copied from it',
    dockerfile: lines('FROM scratch', 'COPY --from=debian /etc/debian_version /etc/issue /'),
    ignore: ['/debian_version', '/issue'],
  },
  {
    name: 'debian runs a program with tar',
    dockerfile: lines(
      'FROM debian',
      'RUN mkdir -p /p/q && echo x > /p/q/f && ln /p/q/f /p/g && tar -C /p -cf /t.tar . && mkdir /u && tar -C /u -xf /t.tar && rm /t.tar',
    ),
  },
]
