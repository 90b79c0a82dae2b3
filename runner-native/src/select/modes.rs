//! Modes of what is chosen from a build context.

use super::Node;
use crate::wire::tree::Modes;
use rustix::fs::FileType;

/// The mode with which a file of a context is listed and copied.
///
/// By default the one that it has: a key with 0600 stays private in the image. Git records of a file only whether it can be
/// executed; a caller may ask that no more than that counts, so that checkouts under two umasks are the same.
pub fn normal(node: &Node, modes: Modes) -> u32 {
    match (modes, node.kind) {
        // The root stands for no directory of the context: `mktemp -d` makes it 0700.
        (_, FileType::Directory) if node.path.is_empty() => 0o755,
        (Modes::Git, FileType::Directory) => 0o755,
        (Modes::Git, FileType::RegularFile) => {
            if node.mode & 0o111 == 0 {
                0o644
            } else {
                0o755
            }
        }
        _ => node.mode & 0o7777,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_kept_or_are_those_of_git() {
        for (kind, path, mode, kept, git) in [
            (FileType::RegularFile, "x", 0o600, 0o600, 0o644),
            (FileType::RegularFile, "x", 0o640, 0o640, 0o644),
            (FileType::RegularFile, "x", 0o666, 0o666, 0o644),
            (FileType::RegularFile, "x", 0o700, 0o700, 0o755),
            (FileType::RegularFile, "x", 0o4711, 0o4711, 0o755),
            (FileType::Directory, "x", 0o700, 0o700, 0o755),
            (FileType::Directory, "x", 0o1777, 0o1777, 0o755),
            (FileType::Directory, "", 0o700, 0o755, 0o755),
            (FileType::Fifo, "x", 0o600, 0o600, 0o600),
        ] {
            let node = node(kind, path, mode);
            assert_eq!(normal(&node, Modes::Kept), kept, "{kind:?} {mode:o}");
            assert_eq!(normal(&node, Modes::Git), git, "{kind:?} {mode:o}");
        }
    }

    fn node(kind: FileType, path: &str, mode: u32) -> Node {
        Node {
            path: Box::from(path.as_bytes()),
            layer: 0,
            kind,
            mode,
            uid: 0,
            gid: 0,
            size: 0,
            rdev: 0,
            nlink: 1,
            dev: 0,
            ino: 0,
            mtime: 0,
            mtime_nanoseconds: 0,
            ctime: 0,
            ctime_nanoseconds: 0,
        }
    }
}
