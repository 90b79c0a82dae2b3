//! Bounds on what comes from outside: layers, archives, trees of images, messages. Each is the most that well-formed
//! content was seen to need, with room. Those of what TypeScript reads are in `src/limit.ts`; `src/limit.test.ts` names,
//! for each of both, the test that goes one past it.

/// The most members of a layer, or of an archive that ADD unpacks, without a bound from the host.
pub const LAYER_ENTRIES: u64 = 10_000_000;
/// The most bytes of its files.
pub const LAYER_BYTES: u64 = 1 << 40;
/// The most layers of an image: overlay stacks no more.
pub const LAYERS: usize = 500;
/// The longest name of a member (`PATH_MAX`): no program can use a longer one.
pub const PATH: usize = 4096;
/// Symbolic links that are followed in one name before they count as a loop: the kernel's own bound.
pub const LINKS: usize = 40;
/// The largest extended header or long name of a tar: the bound of Go's reader.
pub const EXTENDED_HEADER: u64 = 1 << 20;
/// The most extents of a sparse file: each takes at least 24 bytes of archive.
pub const EXTENTS: usize = 1 << 20;
/// The most extended attributes of one member: Linux lists at most 64 KiB of names for one file.
pub const XATTRS: usize = 4096;

/// More output than this for each byte of input is a bomb (gzip reaches 1,032), where it is also more than [`HARMLESS`].
pub const RATIO: u64 = 4096;
/// Output in bytes that is never a bomb.
pub const HARMLESS: u64 = 1 << 30;
/// The largest window of zstd, as a power of two: zstd itself takes no larger one without `--ultra --long`.
pub const ZSTD_WINDOW_LOG: u32 = 27;
/// The memory that xz may ask for to decompress: its highest preset needs 65 MiB.
pub const XZ_MEMORY: u64 = 256 << 20;

/// The most that is read of /etc/passwd or /etc/group of an image (CVE-2026-47262: an endless one).
pub const DATABASE: u64 = 16 << 20;
/// The most groups of a process (`NGROUPS_MAX`).
pub const GROUPS: usize = 65_536;
/// How deep a directory may be that is copied into a new file system (`tmpcopyup`): each level is a call of its own.
pub const COPY_UP_LEVELS: u32 = 200;
/// The bytes of the names of a program's sections, together: there are some dozens of them, or one for each function.
pub const ELF_NAMES: u64 = 16 << 20;
/// Bytes of all files of one answer to `read`, together: it is a line of JSON in the host's memory.
pub const ANSWER: u64 = 64 << 20;

/// The largest request that is read.
pub const REQUEST: usize = 64 << 20;
/// The highest number in a list of processors or memory nodes: the kernel's largest builds have as many.
pub const PROCESSORS: u32 = 8192;
/// The longest message of a client of a container's monitor.
pub const FRAME: usize = 1 << 20;
/// A client of a monitor that lags behind this far is let go; the one in front is waited for instead.
pub const LAG: usize = 1 << 20;
/// The most clients of one monitor.
pub const CLIENTS: usize = 64;
/// The most senders of datagrams to one published port that are told apart.
pub const SENDERS: usize = 1024;
/// The most questions that a network's name server has open at once, and the most connections.
pub const QUESTIONS: usize = 512;
pub const RESOLVER_CONNECTIONS: usize = 16;
