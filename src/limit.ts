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
