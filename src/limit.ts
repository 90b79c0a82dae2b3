/**
 * Bounds on what comes from outside: each is the most that a well-formed peer was seen to need, with room. `limit.test.ts`
 * goes one past each of them. Those of what the native program reads are in `runner-native/src/limit.rs`.
 */

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
/** The longest repository. @see distribution/reference, NameTotalLengthMax */
export const repositoryLength = 255
/** The most elements of a list, or keys of a map, in an image config. */
export const configEntries = 100_000
/** The same in a descriptor (urls, annotations): it is a small part of a manifest. */
export const descriptorEntries = 1000

/** How deep referrers of referrers are followed when an image is copied with them: a signature of an SBOM of an image is two. */
export const referrerDepth = 8
/** The most referrers of one image that are copied with it. */
export const referrers = 10_000
/** The most pages of a list of referrers. */
export const referrerPages = 100
/** The longest WWW-Authenticate field: one token server's is some hundred characters. */
export const challengeLength = 16 * 1024
/** The most that is read of an answer that tells why something was refused, and the most of its text that is shown. */
export const errorBodyBytes = 64 * 1024
export const messageLength = 500
/** The most that is read of what a server says in plain http to a client that speaks TLS. */
export const plainAnswerBytes = 64 * 1024
/** The largest piece that a registry may ask for in an upload in pieces: it is held in memory. */
export const uploadChunkBytes = 256 * 1024 * 1024
/** The most manifests, in bytes, that are kept in memory while their blobs are copied. */
export const keptManifestBytes = 32 * 1024 * 1024
/** How many redirects a download follows: as curl and Go's client. */
export const redirects = 10
/** The most events that wait for one webhook: one takes about a kilobyte. */
export const webhookEvents = 1000
/** The most events in one delivery. */
export const webhookBatch = 50
/** The most things that a manifest mentions that an event repeats. */
export const webhookReferences = 100
/** The largest inventory of what another side has, and the most repositories in it, and blobs in each of these. */
export const inventoryBytes = 64 * 1024 * 1024
export const inventoryRepositories = 100_000
export const inventoryBlobs = 1_000_000
/** The largest form that \`stave serve\` reads: a request for a token. */
export const formBytes = 64 * 1024
/** The most that a credential helper may say: a password and a name. */
export const helperBytes = 1024 * 1024
/** How deep arrays and tables of TOML may nest: registries.conf needs three levels. */
export const tomlDepth = 64
/** The memory that reading a key may take by its own scrypt parameters (128 × N × r bytes): cosign's need 32 MiB. */
export const scryptBytes = 512 * 1024 * 1024

/** The longest physical line of a Dockerfile, in bytes, without its newline: what BuildKit's line scanner takes. */
export const lineBytes = 65_535
/** How deep \`${a:-${b:-…}}\` may nest. */
export const expansionDepth = 500
/** The longest word that is expanded, in UTF-16 units: a kernel takes no variable or path that is nearly so long. */
export const wordLength = 1024 * 1024
/** The same of a heredoc, which may be a large file. */
export const heredocLength = 16 * 1024 * 1024
/** The longest value that a pattern of \`${value#pattern}\` is applied to, and the most work (both lengths multiplied). */
export const patternLength = 1024 * 1024
export const patternWork = 5_000_000
/** The most that all variables of a stage may hold together, in UTF-16 units: a kernel starts no process with so much. */
export const environmentLength = 8 * 1024 * 1024
/** How deep a JSON array in a Dockerfile may nest: for Go's decoder, deeper JSON is none. */
export const jsonDepth = 10_000
/** The largest secret, as for BuildKit: it is mounted from memory. */
export const secretBytes = 500 * 1024
/** The most bytes of files in a cache mount that is put into a remote cache, and of a layer that is taken from one. */
export const cacheMountBytes = 2 * 1024 ** 3
/** The largest file that an SBOM is made from: the databases of Debian and Alpine have some megabytes. */
export const packageFileBytes = 64 * 1024 * 1024
/** The largest list of crates in a program, unpacked: one of a thousand has some hundred kilobytes. */
export const auditableBytes = 16 * 1024 * 1024

/** The largest header of a tar (long names, pax records) that is read before it is known whether its file is wanted. */
export const archiveHeaderBytes = 1024 * 1024
/** The most members of an archive of images, and the most images and names in one. */
export const archiveEntries = 1_000_000
export const archiveImages = 10_000
/** How many links lead to a blob in an archive: Docker's own lead once. */
export const archiveLinks = 8
/** The most that is written to temporary files while an archive that cannot be read twice is unpacked. */
export const archiveTemporaryBytes = 256 * 1024 ** 3

/** The most entries of a list in a seccomp profile: there are some 400 system calls. */
export const seccompEntries = 10_000
/** The most ports that one container can publish: each is a socket, and one rule or two. */
export const publishedPorts = 4096
/** The largest file of this machine that names its servers and addresses (resolv.conf, hosts, tables of routes). */
export const hostFileBytes = 1024 * 1024
/** How many symbolic links are followed in one name: as many as the kernel follows. */
export const links = 40
/** The longest line that the native program sends: the answer to \`read\` with a few large files. */
export const runnerLineBytes = 256 * 1024 * 1024

/** The longest file of a Compose project, in bytes and characters. */
export const composeLength = 16 * 1024 * 1024
/** The most values in one, with what its aliases stand for: ten thousand services have some hundred thousand. */
export const composeNodes = 1_000_000
/** How deep its values may nest, and files that include each other. */
export const composeDepth = 100

/** Logs of builds that are kept: enough to look back at a month of work, and less than an image. */
export const buildLogs = 200
export const buildLogBytes = 512 * 1024 * 1024
export const buildLogDays = 30
