//! Bytes between a container's pipes and our own streams, moved by the kernel where it can do that (splice(2)).

use crate::wire::stream::readable;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

/// Moved at once, and the size that a pipe of ours asks for.
pub const MOST_BYTES: usize = 1 << 20;
/// After this many pieces it is looked after everything else: signals, the other stream, the end.
const MOST_PIECES: usize = 16;

/// What came of moving bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Moved {
    /// All that was there, or a fair share of it.
    Fine,
    /// There is more, but no room for it.
    Full,
    /// There will be no more.
    End,
    /// The kernel cannot do this with these two: they are read and written.
    Refused,
    /// Nobody takes it any more, or it cannot be written.
    Failed(Errno),
}

/// Whether a stream is of a kind that the kernel can move bytes to and from without ever making us wait: of a terminal or
/// a socket it cannot.
pub fn is_movable(stream: BorrowedFd<'_>) -> bool {
    fstat(stream).is_ok_and(|stat| matches!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo | FileType::RegularFile))
}

/// Moves what there is from one to the other, one of which is a pipe.
pub fn relay(from: impl AsFd, to: impl AsFd) -> Moved {
    for _ in 0..MOST_PIECES {
        match splice(&from, None, &to, None, MOST_BYTES, SpliceFlags::MOVE | SpliceFlags::NONBLOCK) {
            Ok(0) => return Moved::End,
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return if readable(&from) { Moved::Full } else { Moved::Fine },
            // A file that is open for appending, or on a file system that knows nothing of this.
            Err(Errno::INVAL) => return Moved::Refused,
            Err(errno) => return Moved::Failed(errno),
        }
    }
    Moved::Fine
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::stream::pipe;
    use rustix::io::{read, write};
    use std::fs::OpenOptions;

    #[test]
    fn what_is_there_is_moved_and_then_the_end() {
        let (source, input) = pipe().unwrap();
        let (output, target) = pipe().unwrap();
        assert_eq!(relay(&source, &target), Moved::Fine);
        write(&input, b"bytes").unwrap();
        assert_eq!(relay(&source, &target), Moved::Fine);
        drop(input);
        assert_eq!(relay(&source, &target), Moved::End);
        let mut bytes = [0; 16];
        assert_eq!(read(&output, &mut bytes[..]).unwrap(), 5);
        assert_eq!(&bytes[..5], b"bytes");
    }

    #[test]
    fn a_full_pipe_makes_nobody_wait() {
        let (source, input) = pipe().unwrap();
        let (output, target) = pipe().unwrap();
        write(&target, &vec![0; 64 << 10]).unwrap();
        write(&input, b"more").unwrap();
        assert_eq!(relay(&source, &target), Moved::Full);
        drop(output);
        assert_eq!(relay(&source, &target), Moved::Failed(Errno::PIPE));
    }

    #[test]
    fn a_file_that_is_appended_to_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (source, input) = pipe().unwrap();
        write(&input, b"x").unwrap();
        let appending = OpenOptions::new().append(true).open(file.path()).unwrap();
        assert!(is_movable(appending.as_fd()));
        assert_eq!(relay(&source, &appending), Moved::Refused);
        let written = OpenOptions::new().write(true).open(file.path()).unwrap();
        assert_eq!(relay(&source, &written), Moved::Fine);
        assert_eq!(std::fs::read(file.path()).unwrap(), b"x");
    }
}
