import type { PeerName } from './peers/peer.ts'

/**
 * Where a peer makes something else of a case than Stave, and why Stave is right. A difference that is not here fails
 * the test, and so does an explanation that no longer occurs.
 */
export interface Difference {
  readonly peers: readonly PeerName[]
  /** Names of cases; each has the difference, with each of the peers. Or `any`: at least one has. */
  readonly cases: readonly string[] | 'any'
  /** Found in the line of the difference, see `compare`. */
  readonly line: RegExp
  readonly why: string
}

const both: readonly PeerName[] = ['buildah', 'buildkit']
const heredocs = [
  'heredoc for COPY',
  'heredoc for COPY that is quoted',
  'heredoc for COPY, two and a file',
  'heredoc for RUN',
  'heredoc for RUN with a shebang',
  'heredoc for RUN with words beside it',
  'heredoc in ONBUILD',
]
const laterFlags = [
  'copy with parents',
  'copy with parents from a pivot',
  'copy with parents and two stars',
  'copy with an exclusion',
  'copy with an exclusion at any depth and back',
  'copy with a link layer',
  'add with unpack switched off',
  'run with a secret in its environment',
  'start interval of a healthcheck',
  'run without a network',
]

/** What came into the language after buildah 1.28 and the BuildKit of Docker 20.10: the cases' own expectations judge these. */
const tooNew: readonly Difference[] = [
  { peers: both, cases: heredocs, line: /^builds, peer fails: /, why: 'neither knows heredocs yet' },
  { peers: both, cases: laterFlags, line: /^builds, peer fails: /, why: 'flags and options that came later' },
  {
    peers: both,
    cases: [
      'expand default without colon for empty',
      'expand default without colon for unset',
      'expand alternative without colon for empty',
      'expand shortest prefix',
      'expand longest prefix',
      'expand shortest suffix',
      'expand longest suffix',
      'expand first replaced',
      'expand all replaced',
      'expand a question mark in a pattern',
    ],
    line: /^builds, peer fails: .*[Mm]issing ':' in substitution/,
    why: 'forms of expansion that came later',
  },
  { peers: ['buildah'], cases: ['expand required and set'], line: /Unsupported modifier/, why: '${x:?m} is not known to buildah 1.28' },
  {
    peers: both,
    cases: ['arg uses one of its own line'],
    line: /^config Labels: /,
    why: 'each ARG of a line sees those before it; the peers gave all of them the values from before the line',
  },
  {
    peers: both,
    cases: ['cmd JSON and more is shell'],
    line: /^config Cmd: /,
    why: 'text after the array makes it shell form ("must be a valid JSON array"); old parsers stopped at the bracket',
  },
  {
    peers: ['buildah'],
    cases: ['copy with a symbolic mode'],
    line: /^builds, peer fails: .*chmod/,
    why: 'symbolic modes came later',
  },
  {
    peers: ['buildkit'],
    cases: ['copy with a symbolic mode'],
    line: /^\/.* mode: /,
    why: 'this BuildKit takes a mode it cannot read for none',
  },
  {
    peers: ['buildkit'],
    cases: ['copy with a bad mode'],
    line: /^fails: invalid chmod/,
    why: 'this BuildKit takes a mode it cannot read for none; later ones refuse it',
  },
  {
    peers: ['buildkit'],
    cases: ['context by another name', 'context in place of a stage'],
    line: /unknown flag: --build-context/,
    why: 'the docker command of Debian 12 has no --build-context',
  },
  {
    peers: ['buildkit'],
    cases: ['add an archive, zstd'],
    line: /^\/x\//,
    why: 'this BuildKit does not know zstd and copies the archive as a file',
  },
  {
    peers: both,
    cases: ['add an archive with an owner'],
    line: / owner: 9:10, peer/,
    why: '--chown counts for what an archive holds, too; it did not in these versions',
  },
  {
    peers: both,
    cases: ['onbuild copies from a stage of the child'],
    line: /^builds, peer fails: /,
    why: 'the --from of a trigger names a stage of the child; these versions did not look for it there',
  },
]

/** The peer's traces of what a RUN was given. */
const traces: readonly Difference[] = [
  {
    peers: both,
    cases: 'any',
    line: /^\/(?:dev|proc|sys): untouched, peer directory/,
    why: 'the peer leaves mount points in the layer of a RUN; Stave takes away what the image does not have',
  },
  {
    peers: both,
    cases: 'any',
    line: /^\/etc: untouched, peer directory/,
    why: 'the time of /etc, into which the peer puts resolv.conf and hosts for a RUN, or into which a COPY puts a file (see below)',
  },
  {
    peers: ['buildah'],
    cases: 'any',
    line: /^\/(?:run|etc\/hosts|etc\/hostname|etc\/resolv\.conf): untouched, peer/,
    why: 'files that chroot isolation mounts over stay behind in the layer',
  },
  {
    peers: ['buildkit'],
    cases: [
      'run mount of the context',
      'run mount writable and thrown away',
      'run mount of a stage',
      'run mount of a cache',
      'run mount of memory',
      'run mount of a secret',
    ],
    line: /^\/(?:ctx|mnt|mnt\/etc|var|var\/cache|var\/cache\/x|mem|run|run\/secrets): untouched, peer directory/,
    why: 'mount points of RUN --mount stay in the layer of the peer',
  },
  {
    peers: ['buildah'],
    cases: ['run mount of a stage', 'run mount of a cache', 'run mount of a secret'],
    line: /^\/(?:mnt|var|var\/cache|run\/secrets): untouched, peer directory/,
    why: 'the peer leaves mount points, or the time of the directory that they were made in',
  },
  {
    peers: ['buildah'],
    cases: ['run makes devices and fifos', 'stage copies a device'],
    line: /^builds, peer fails: .*mknod/,
    why: 'chroot isolation does not let a RUN make devices; Docker does',
  },
]

/** Times and modes of directories. */
const directories: readonly Difference[] = [
  {
    peers: both,
    cases: 'any',
    line: /^\/(?:srv|home|bin|var\/lib|usr\/bin|usr\/lib|usr\/sbin): untouched, peer directory/,
    why: 'a directory of the base into which COPY, ADD or WORKDIR put something keeps its time: "now" would make every layer different',
  },
  {
    peers: both,
    cases: 'any',
    line: /^\/.* directory mtime: \d+, peer now$/,
    why: 'directories keep the time that they have in the context, as files do; the peer loses it where it filters, and where it is old, always',
  },
  {
    peers: both,
    cases: [
      'copy with a mode, a directory',
      'copy with a mode and new parents',
      'copy with owner and mode',
      'copy a directory over a directory of another mode',
    ],
    line: /^\/(?:d|p|p\/q) mode: \d+, peer 0755$/,
    why: '--chmod counts for directories, too, and a mode of digits for those that are made on the way; these versions give it to files only',
  },
]

const ofBuildKit: readonly Difference[] = [
  {
    peers: ['buildkit'],
    cases: ['copy with a mode of four digits'],
    line: /^\/x mode: 4755, peer 0755$/,
    why: 'the reference takes four digits; this BuildKit loses the first',
  },
  {
    peers: ['buildkit'],
    cases: ['copy with an unknown owner'],
    line: /^fails: the user "nobody-here"/,
    why: 'BuildKit silently gives such files to root: a mistake that is told here',
  },
  {
    peers: ['buildkit'],
    cases: ['copy a fifo', 'stage copies a device'],
    line: /^\/d\/p: fifo 0644 0:0, peer untouched$/,
    why: 'this BuildKit leaves out pipes; later ones make them',
  },
  {
    peers: ['buildkit'],
    cases: ['stage copies a device'],
    line: /^\/d\/null (?:type|device|size|digest): /,
    why: 'this BuildKit makes an empty file of a device; later ones copy it',
  },
  {
    peers: ['buildkit'],
    cases: ['add an archive with xattrs'],
    line: /^\/x\/s xattrs: /,
    why: 'BuildKit keeps no attribute of an archive but security.capability; tar(1) and buildah keep them',
  },
  {
    peers: ['buildkit'],
    cases: ['stage as target by number'],
    line: /^builds, peer fails: .*target stage 0 could not be found/,
    why: 'a stage without a name can be chosen by its number, as COPY --from does',
  },
]

const ofBuildah: readonly Difference[] = [
  {
    peers: ['buildah'],
    cases: 'any',
    line: /^config WorkingDir: \/, peer none$/,
    why: 'BuildKit writes the working directory that it used; without the field it is the same one',
  },
  {
    peers: ['buildah'],
    cases: ['expansion in WORKDIR USER STOPSIGNAL', 'volume relative', 'workdir in the config'],
    line: /^\/(?:x|x\/5|w|a|a\/.*): directory 0755 0:0, peer untouched$/,
    why: 'WORKDIR makes the directory at its line; buildah makes it when a RUN or COPY needs it',
  },
  {
    peers: ['buildah'],
    cases: ['arg is inherited from the stage below', 'stage args do not cross'],
    line: /^config Labels: /,
    why: 'a stage that is built on another one has its ARGs (reference, "ARG", "Scope")',
  },
  {
    peers: ['buildah'],
    cases: ['arg after env in RUN'],
    line: /^\/seen digest: /,
    why: 'an ARG after an ENV of its name counts for what follows, as in BuildKit; in buildah the ENV always wins',
  },
  {
    peers: ['buildah'],
    cases: ['shell changes later forms', 'shell is inherited'],
    line: /^config (?:Cmd|Entrypoint): /,
    why: 'SHELL counts for CMD and ENTRYPOINT (reference, "SHELL"); buildah 1.28 uses it for RUN only',
  },
  {
    peers: ['buildah'],
    cases: ['expose a range', 'expose an upper-case protocol'],
    line: /^config ExposedPorts: /,
    why: 'the config lists single ports, with the protocol in lower case (image-spec, "ExposedPorts")',
  },
  {
    peers: ['buildah'],
    cases: ['expose no port', 'expose too high'],
    line: /^fails: invalid port/,
    why: 'what is no port is refused, as BuildKit does',
  },
  {
    peers: ['buildah'],
    cases: ['two escapes at the end are no continuation'],
    line: /^config (?:Cmd|Labels): /,
    why: 'an escape after an escape does not continue the line; buildah swallows the next instruction',
  },
  {
    peers: ['buildah'],
    cases: ['the escape directive'],
    line: /^config Labels: /,
    why: 'the directive counts inside of words, too; buildah 1.28 uses it for line ends only',
  },
  {
    peers: ['buildah'],
    cases: ['a flag twice'],
    line: /^fails: flag --chown is given twice/,
    why: 'BuildKit refuses it; buildah takes the last',
  },
  {
    peers: both,
    cases: ['copy two files without a slash'],
    line: /^fails: cannot copy several sources/,
    why: 'buildah makes a directory, BuildKit lets the second file replace the first: a silent mistake, so it is an error here',
  },
  {
    peers: ['buildah'],
    cases: ['copy only a wildcard that meets nothing'],
    line: /^builds, peer fails: .*no such file/,
    why: 'optional files are copied that way: a warning, as BuildKit has it',
  },
  {
    peers: ['buildah'],
    cases: ['copy a file over a directory'],
    line: /^fails: cannot replace the directory/,
    why: 'BuildKit refuses it; buildah removes the directory',
  },
  {
    peers: ['buildah'],
    cases: ['copy setuid and setgid and sticky'],
    line: /^\/[gu] mode: /,
    why: 'buildah takes set-id bits away from what comes from the context; BuildKit keeps them',
  },
  {
    peers: ['buildah'],
    cases: ['copy a literal bracket'],
    line: /^\/d\/(?:x|\[x\]): /,
    why: '[[]x] names the file [x] (filepath.Match); buildah 1.28 expands it twice',
  },
  {
    peers: ['buildah'],
    cases: ['copy over a link', 'copy over a link that leads nowhere'],
    line: /^\/(?:l|srv\/target|srv\/nothing|srv\/nothing\/a|srv)(?: |:)/,
    why: 'a link in the destination is followed, as in BuildKit; buildah replaces it, or makes a directory of what it names',
  },
  {
    peers: ['buildah'],
    cases: ['stage by name in another case'],
    line: /^builds, peer fails: .*oNE/,
    why: 'names of stages are the same in any case',
  },
  {
    peers: ['buildah'],
    cases: ['stage named twice'],
    line: /^config Labels: /,
    why: 'the last stage of that name counts, as in BuildKit; in buildah the first',
  },
  {
    peers: ['buildah'],
    cases: ['stage with an invalid name'],
    line: /^fails: invalid name for build stage/,
    why: 'the name of a stage begins with a letter; buildah takes any',
  },
  {
    peers: ['buildah'],
    cases: ['run writes into a volume that was there before'],
    line: /^\/srv(?:\/kept)?: /,
    why: 'what a RUN writes into a volume stays, as in BuildKit; buildah 1.28 throws it away',
  },
  {
    peers: ['buildah'],
    cases: ['debian refuses a directory in place of a link'],
    line: /^fails: cannot copy a directory to \/sbin/,
    why: 'a directory replaces no link, as in BuildKit: it would hide all that the link leads to',
  },
]

const ofPatternsAndLinks: readonly Difference[] = [
  {
    peers: both,
    cases: ['ignore a name that looks like an expression'],
    line: /^\/(?:a|src.*): .*, peer untouched$/,
    why: 'only * ? [ ] and the escape are special in a pattern; old matchers let the rest into a regular expression',
  },
  {
    peers: both,
    cases: ['ignore only what is allowed'],
    line: /^\/docs.*: .*, peer untouched$/,
    why: '!**/*.md brings back files below what ** leaves out; these versions do not look for them there',
  },
  {
    peers: both,
    cases: ['add an archive that leads out'],
    line: /^builds, peer fails: /,
    why: 'a link of the archive is followed inside the image, where it can lead nowhere else; the peers give up',
  },
]

export const differences: readonly Difference[] = [...tooNew, ...traces, ...directories, ...ofPatternsAndLinks, ...ofBuildKit, ...ofBuildah]
