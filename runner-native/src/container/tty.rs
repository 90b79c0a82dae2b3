//! Terminals: the container's own, and the user's.

use crate::container::system::System;
use crate::error::{Error, Kind, Result};
use crate::mount::{attach, clone_tree};
use crate::wire::channel::{Channel, Message};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// Makes a terminal in the container's own devpts and hands its controlling side to the parent.
pub fn open(system: &System, size: Option<(u16, u16)>, channel: &Channel) -> Result<OwnedFd> {
    let missing = |what: &str| Error::new(Kind::Request, format!("a terminal is asked for, but nothing is mounted at {what}"));
    let (pts, dev) = (system.pts.as_ref().ok_or_else(|| missing("/dev/pts"))?, system.dev.as_ref().ok_or_else(|| missing("/dev"))?);
    let (controlling, terminal) = pair(pts)?;
    // By descriptor: the name under /dev/pts could be anything by now (CVE-2025-52565).
    let console = openat(
        dev,
        "console",
        OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY,
        Mode::from_raw_mode(0o600),
    )
    .map_err(|errno| Error::call("openat(dev, \"console\", O_CREAT)", errno))?;
    attach(clone_tree(&terminal, false)?, &console)?;
    if let Some(size) = size {
        set_size(&controlling, size);
    }
    channel.send(&Message::Terminal {}, Some(controlling.as_fd()))?;
    Ok(terminal)
}

/// A new terminal of this devpts: its controlling side, and the one for programs.
pub fn pair(pts: &OwnedFd) -> Result<(OwnedFd, OwnedFd)> {
    let controlling = openat(pts, "ptmx", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::call("openat(pts, \"ptmx\")", errno))?;
    unlockpt(&controlling).map_err(|errno| Error::call("ioctl(TIOCSPTLCK)", errno))?;
    let terminal = peer(&controlling)?;
    Ok((controlling, terminal))
}

/// The side for programs of a terminal.
pub fn peer(controlling: &OwnedFd) -> Result<OwnedFd> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    ioctl_tiocgptpeer(controlling, flags).map_err(|errno| Error::call("ioctl(TIOCGPTPEER)", errno))
}

/// The user's terminal in raw mode, for as long as this lives.
pub struct Raw {
    terminal: BorrowedFd<'static>,
    before: Termios,
}

impl Raw {
    /// Nothing happens if it is no terminal.
    pub fn enter(terminal: BorrowedFd<'static>) -> Option<Self> {
        let before = tcgetattr(terminal).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(terminal, OptionalActions::Now, &raw).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring. Now, and not after what was written has been shown: that may
        // never be, if nobody looks.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

/// The size of the user's terminal, rows and columns, if there is one.
pub fn user_size() -> Option<(u16, u16)> {
    [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()]
        .into_iter()
        .find_map(|stream| tcgetwinsize(stream).ok())
        .map(|size| (size.ws_row, size.ws_col))
}

pub fn set_size(terminal: impl AsFd, (ws_row, ws_col): (u16, u16)) {
    let _ = tcsetwinsize(terminal, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 });
}

/// The keys that leave a container: `ctrl-p,ctrl-q`, or letters. None given: these; an empty text: no keys do.
pub fn parse_keys(text: Option<&str>) -> Result<Vec<u8>> {
    let text = text.unwrap_or("ctrl-p,ctrl-q");
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|key| match (key.as_bytes(), key.strip_prefix("ctrl-").map(str::as_bytes)) {
            ([letter], _) => Ok(*letter),
            (_, Some([letter @ (b'a'..=b'z' | b'A'..=b'Z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_')])) => {
                Ok(letter.to_ascii_uppercase() & 0x1f)
            }
            _ => Err(Error::new(
                Kind::Request,
                format!("unknown key {key:?} in the keys to leave: letters, or ctrl- and a letter or one of @[\\]^_"),
            )),
        })
        .collect()
}

/// Looks for the keys in what is typed.
pub struct KeyFinder {
    keys: Vec<u8>,
    matched: usize,
}

impl KeyFinder {
    pub fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// What of this is for the container, and whether the keys were typed. A beginning is held back until it is clear what it is.
    pub fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(typed.len());
        if self.keys.is_empty() {
            return (typed.to_vec(), false);
        }
        for byte in typed {
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return (passed, true);
                }
                continue;
            }
            passed.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            if *byte == self.keys[0] {
                self.matched = 1;
            } else {
                passed.push(*byte);
            }
        }
        (passed, false)
    }
}

/// Whether a terminal was taken away: its window closed, or the connection to it was lost.
pub fn is_hung_up(terminal: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&terminal, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|count| count > 0) && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_docker_reads_them() {
        assert_eq!(parse_keys(None).unwrap(), [16, 17]);
        assert!(parse_keys(Some("")).unwrap().is_empty());
        assert_eq!(parse_keys(Some("a,ctrl-[,ctrl-X,ctrl-@")).unwrap(), [b'a', 27, 24, 0]);
        for wrong in ["ctrl-1", "ab", "ctrl-p,", "ctrl-", "ctrl-pq"] {
            assert!(parse_keys(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_beginning_of_the_keys_is_passed_on_when_it_is_none() {
        let run = |pieces: &[&str]| {
            let mut finder = KeyFinder::new(b"pq".to_vec());
            let mut all = String::new();
            for piece in pieces {
                let (passed, found) = finder.filter(piece.as_bytes());
                all.push_str(&String::from_utf8(passed).unwrap());
                if found {
                    all.push('!');
                }
            }
            all
        };
        assert_eq!(run(&["ap", "b"]), "apb");
        assert_eq!(run(&["ap", "q"]), "a!");
        assert_eq!(run(&["ppq"]), "p!");
        assert_eq!(run(&["pp", "p", "x"]), "pppx");
    }
}
