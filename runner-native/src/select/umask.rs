//! Modes that do not tell under which umask a context was checked out.

use super::Node;
use crate::overlay::Stack;
use crate::wire::error::Result;
use rustix::fs::FileType;

/// The umask under which a build context was made, if it shows.
///
/// The same repository, cloned by two users with two umasks, must give the same cache keys and the same layers;
/// and a layer must not depend on what its key ignores. So both are made of normalised modes: where a mode is
/// just what the checkout's umask made of 0666 or 0777, it counts as 0644 or 0755. Every other mode was set on
/// purpose (a key with 0600, a sudoers file with 0440) and stays. Under the usual umask 022 nothing changes at
/// all. A umask only counts if every file and directory at the top of the context agrees with it: one readable
/// Dockerfile rules out 077, and a single directory with 0777 rules in nothing.
#[derive(Clone, Copy, Debug)]
pub struct Umask(u32);

impl Default for Umask {
    fn default() -> Self {
        Self(0o022)
    }
}

impl Umask {
    pub fn of(context: &Stack) -> Result<Self> {
        let Some(root) = context.root()? else { return Ok(Self::default()) };
        let entries = context.list(&root)?;
        let modes = entries.iter().filter(|entry| matches!(entry.kind(), FileType::RegularFile | FileType::Directory));
        Ok(Self::of_modes(&modes.map(|entry| (entry.is_directory(), entry.mode())).collect::<Vec<_>>()))
    }

    fn of_modes(modes: &[(bool, u32)]) -> Self {
        let granted = modes.iter().fold(0, |granted, (_, mode)| granted | mode);
        // Few contexts have a directory or program in which to see an execute bit: a umask that grants reading
        // grants searching.
        let umask = Self(!(granted | (granted & 0o044) >> 2) & 0o077);
        let agrees = |(is_directory, mode): &(bool, u32)| *mode == 0o777 & !umask.0 || (!is_directory && *mode == 0o666 & !umask.0);
        if !modes.is_empty() && modes.iter().all(agrees) { umask } else { Self::default() }
    }

    pub fn normal(self, node: &Node) -> u32 {
        let (special, mode) = (node.mode & 0o7000, node.mode & 0o777);
        let normal = match node.kind {
            // The root stands for no checked-out directory: `mktemp -d` makes it 0700.
            FileType::Directory if node.path.is_empty() => 0o755,
            FileType::Directory | FileType::RegularFile if mode == 0o777 & !self.0 => 0o755,
            FileType::RegularFile if mode == 0o666 & !self.0 => 0o644,
            _ => mode,
        };
        special | normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_has_the_same_modes_under_every_umask() {
        for umask in [0o000, 0o002, 0o022, 0o027, 0o007, 0o077] {
            let made = [(false, 0o666 & !umask), (true, 0o777 & !umask), (false, 0o777 & !umask)];
            for top in [&made[..1], &made[1..2], &made[..2], &made[..]] {
                let guessed = Umask::of_modes(top);
                for (made, normal, kind) in
                    [(0o666, 0o644, FileType::RegularFile), (0o777, 0o755, FileType::RegularFile), (0o777, 0o755, FileType::Directory)]
                {
                    assert_eq!(guessed.normal(&node(kind, made & !umask)), normal, "umask {umask:o} of {made:o}");
                }
            }
        }
    }

    #[test]
    fn what_was_set_on_purpose_stays() {
        for top in [
            &[(false, 0o644), (true, 0o755)][..],
            &[(false, 0o644), (true, 0o777)],
            &[(false, 0o600), (true, 0o755)],
            &[(true, 0o1777)],
            &[],
        ] {
            let usual = Umask::of_modes(top);
            for mode in [0o600, 0o640, 0o440, 0o700, 0o4755, 0o666, 0o444] {
                assert_eq!(usual.normal(&node(FileType::RegularFile, mode)), mode);
            }
            for mode in [0o700, 0o1777, 0o777, 0o2775] {
                assert_eq!(usual.normal(&node(FileType::Directory, mode)), mode);
            }
        }
    }

    fn node(kind: FileType, mode: u32) -> Node {
        Node {
            path: Box::from(&b"x"[..]),
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
