//! Modes as `--chmod` gives them: octal, or symbolic as in chmod(1) under umask 0.

use crate::error::{Error, Kind, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chmod {
    Octal(u32),
    Symbolic(Vec<Change>),
}

/// `go=rX`: one operator for some of the three classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// A mask of the classes: 0700, 0070, 0007 together.
    who: u32,
    operator: u8,
    permissions: Permissions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permissions {
    Given {
        /// `r`, `w`, `x` as 4, 2, 1.
        bits: u32,
        /// `X`: execute for directories, and where anyone may execute.
        search: bool,
        set_id: bool,
        sticky: bool,
    },
    /// Those that a class has: how far its bits are shifted.
    Copied(u32),
}

impl Chmod {
    /// # Errors
    /// `Kind::Request` if it is neither.
    pub fn parse(text: &str) -> Result<Self> {
        let malformed = || {
            Error::new(Kind::Request, format!("the mode {text:?} is malformed"))
                .hint("A mode is octal (755, 0644), or symbolic (u=rwX,go=rX).")
        };
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return mode.map(Self::Octal).ok_or_else(malformed);
        }
        let mut changes = Vec::new();
        for clause in text.split(',') {
            clause_of(clause.as_bytes(), &mut changes).ok_or_else(malformed)?;
        }
        Ok(Self::Symbolic(changes))
    }

    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Self::Octal(mode) => *mode,
            Self::Symbolic(changes) => changes.iter().fold(mode, |mode, change| change.apply(mode, is_directory)),
        }
    }

    /// The mode of directories that the copy makes on the way: an octal mode counts for them too, as in BuildKit.
    pub fn of_made_directories(&self) -> u32 {
        match self {
            Self::Octal(mode) => *mode,
            Self::Symbolic(_) => 0o755,
        }
    }
}

impl Change {
    fn apply(self, mode: u32, is_directory: bool) -> u32 {
        let spread = |bits: u32| bits << 6 | bits << 3 | bits;
        let (mut bits, mut special) = (0, 0);
        match self.permissions {
            Permissions::Copied(shift) => bits = spread(mode >> shift & 7) & self.who,
            Permissions::Given { bits: given, search, set_id, sticky } => {
                let execute = u32::from(search && (is_directory || mode & 0o111 != 0));
                bits |= spread(given | execute) & self.who;
                if set_id {
                    special |= if self.who & 0o700 != 0 { 0o4000 } else { 0 } | if self.who & 0o070 != 0 { 0o2000 } else { 0 };
                }
                if sticky {
                    special |= 0o1000;
                }
            }
        }
        let bits = bits | special;
        match self.operator {
            b'+' => mode | bits,
            b'-' => mode & !bits,
            _ => {
                let own = self.who | if self.who & 0o700 != 0 { 0o4000 } else { 0 } | if self.who & 0o070 != 0 { 0o2000 } else { 0 };
                // chmod(1): `=` leaves the set-id bits of directories alone unless they are named.
                let own = if is_directory { own & 0o777 } else { own };
                mode & !own | bits
            }
        }
    }
}

fn clause_of(clause: &[u8], changes: &mut Vec<Change>) -> Option<()> {
    let mut at = 0;
    let mut who = 0;
    while let Some(class) = clause.get(at) {
        who |= match class {
            b'u' => 0o700,
            b'g' => 0o070,
            b'o' => 0o007,
            b'a' => 0o777,
            _ => break,
        };
        at += 1;
    }
    if who == 0 {
        who = 0o777;
    }
    if at == clause.len() {
        return None;
    }
    while at < clause.len() {
        let operator = clause[at];
        if !matches!(operator, b'+' | b'-' | b'=') {
            return None;
        }
        at += 1;
        let copied = match clause.get(at) {
            Some(b'u') => Some(6),
            Some(b'g') => Some(3),
            Some(b'o') => Some(0),
            _ => None,
        };
        let permissions = if let Some(shift) = copied {
            at += 1;
            Permissions::Copied(shift)
        } else {
            let (mut bits, mut search, mut set_id, mut sticky) = (0, false, false, false);
            while let Some(letter) = clause.get(at) {
                match letter {
                    b'r' => bits |= 4,
                    b'w' => bits |= 2,
                    b'x' => bits |= 1,
                    b'X' => search = true,
                    b's' => set_id = true,
                    b't' => sticky = true,
                    _ => break,
                }
                at += 1;
            }
            Permissions::Given { bits, search, set_id, sticky }
        };
        changes.push(Change { who, operator, permissions });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_as_chmod_makes_them() {
        let cases = [
            ("755", 0o644, false, 0o755),
            ("0600", 0o4755, false, 0o600),
            ("7777", 0, true, 0o7777),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("+x", 0o644, false, 0o755),
            ("a-w", 0o666, false, 0o444),
            ("go=", 0o777, false, 0o700),
            ("g=u", 0o640, false, 0o660),
            ("o=g-w", 0o660, false, 0o664),
            ("u+s", 0o755, false, 0o4755),
            ("g+s", 0o755, true, 0o2755),
            ("+t", 0o777, true, 0o1777),
            ("u=rw", 0o4755, false, 0o655),
            ("u+x-w,g-r", 0o644, false, 0o504),
        ];
        for (text, mode, is_directory, expected) in cases {
            let changed = Chmod::parse(text).unwrap().apply(mode, is_directory);
            assert_eq!(changed, expected, "{text} on {mode:o}: {changed:o}");
        }
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for text in ["", "8", "10000", "u", "u=rwz", "x", "u+r,,g+r", "rwx", "0o755", "-1"] {
            assert!(Chmod::parse(text).is_err() || text == "-1" && Chmod::parse(text).is_err(), "{text}");
        }
    }
}
