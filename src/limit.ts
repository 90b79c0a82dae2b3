/** Bounds on what comes from outside. Each is the most that a well-formed peer was seen to need, with room. */

/** The largest manifest or index that is read (distribution-spec, "Pulling manifests", asks for at least 4 MiB). */
export const manifestBytes = 4 * 1024 * 1024
/** The largest image config that is read. */
export const configBytes = 8 * 1024 * 1024
/** The largest other JSON document (token answers, tag lists, credential files) that is read. */
export const jsonBytes = 16 * 1024 * 1024
/** How deep an index may nest indexes. */
export const indexDepth = 4
/** The most descriptors in one manifest or index. */
export const descriptors = 10_000
/** The largest Dockerfile or ignore file that is read. */
export const dockerfileBytes = 64 * 1024 * 1024
/** The largest file that is downloaded for a build: ten times the largest that public Dockerfiles add, and less than a disk. */
export const downloadBytes = 64 * 1024 * 1024 * 1024
/** The highest cost of bcrypt that is computed: each step doubles the time, and 15 takes seconds already. */
export const bcryptCost = 15
/** The most passwords that wait for their check: one takes most of a second at cost 12, and who is behind so many has gone. */
export const passwordsWaiting = 32
/** The most of a list of referrers that is sent at once; a page has at least one. Less than {@link manifestBytes}, which clients take. */
export const referrersPageBytes = 1024 * 1024
/** The most manifests and lists of referrers that a server has in memory at once. */
export const documentsAtOnce = 4
/** The most manifests that a server receives at once: who sends more waits, and its memory stays bounded. */
export const manifestBodiesAtOnce = 16
/** How long a client may take for a manifest: the largest needs a second on a slow line, and each takes one of few places. */
export const manifestBodyMs = 60_000
/** The most pages of a list of tags or repositories: a registry that names one after the other would keep us for ever. */
export const listPages = 10_000
/** The most bytes of all pages of such a list: a million tags of the longest form. */
export const listBytes = 256 * 1024 * 1024
/** How many pages without a new name may follow each other: a registry that hides names from us sends some. */
export const fruitlessPages = 100
/** The most manifests that one name may stand for, and that an archive is searched for. */
export const manifests = 20_000
/** The longest media type. RFC 6838 §4.2 allows 127 characters on each side of the slash. */
export const mediaTypeLength = 255
/** The most signatures of one image that are looked at, and that it can be given: each is verified with each key. */
export const signatures = 256
/** The largest payload of a signature: it names an image and a digest. */
export const signatureBytes = 64 * 1024

/** Logs of builds that are kept: enough to look back at a month of work, and less than an image. */
export const buildLogs = 200
export const buildLogBytes = 512 * 1024 * 1024
export const buildLogDays = 30
