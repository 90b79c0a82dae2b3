//! pax extended headers (POSIX.1-2001, "pax Header Block"): records `length key=value\n`.

use super::{Time, Xattr};
use crate::error::{Error, Kind, Result};
use crate::limit;

/// The namespace in which star, and every container tool after it, keeps extended attributes.
const XATTR: &[u8] = b"SCHILY.xattr.";

/// What extended headers say of the members after them.
#[derive(Clone, Debug, Default)]
pub struct Extensions {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub user: Option<Vec<u8>>,
    pub group: Option<Vec<u8>>,
    pub mtime: Option<Time>,
    pub xattrs: Vec<Xattr>,
    pub sparse: Sparse,
}

/// The `GNU.sparse.*` records.
#[derive(Clone, Debug, Default)]
pub struct Sparse {
    pub major: Option<u64>,
    pub minor: Option<u64>,
    pub name: Option<Vec<u8>>,
    /// `size` of versions 0.0 and 0.1, `realsize` of 1.0.
    pub size: Option<u64>,
    /// The numbers of the map, offset and length in turn, in versions 0.0 and 0.1.
    pub map: Vec<u64>,
    /// Whether there was a map, even an empty one.
    pub has_map: bool,
}

impl Extensions {
    /// Reads the records of an extended header that is for one member.
    pub fn parse(data: &[u8]) -> Result<Self> {
        let mut extensions = Self::default();
        extensions.merge(data)?;
        Ok(extensions)
    }

    /// Adds the records of a global header (type `g`): they hold for all members that follow.
    ///
    /// # Errors
    /// `Kind::Corrupt` for records that would give all of them the same name or size.
    pub fn merge_global(&mut self, data: &[u8]) -> Result<()> {
        self.merge(data)?;
        let sparse = &self.sparse;
        if self.path.is_some()
            || self.link.is_some()
            || self.size.is_some()
            || sparse.name.is_some()
            || sparse.size.is_some()
            || sparse.has_map
        {
            return Err(corrupt("a global pax header sets the name or size of all members"));
        }
        Ok(())
    }

    fn merge(&mut self, mut data: &[u8]) -> Result<()> {
        let mut offset = None;
        while !data.is_empty() {
            let (key, value, rest) = record(data)?;
            data = rest;
            self.set(key, value, &mut offset)?;
        }
        if offset.is_some() {
            return Err(corrupt("a sparse map has an offset without a length"));
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8], offset: &mut Option<u64>) -> Result<()> {
        // An empty value takes the record back: what the header block says holds.
        let full = !value.is_empty();
        match key {
            b"path" => self.path = full.then(|| name(value)).transpose()?,
            b"linkpath" => self.link = full.then(|| name(value)).transpose()?,
            b"size" => self.size = full.then(|| decimal(value)).transpose()?,
            b"uid" => self.uid = full.then(|| decimal(value)).transpose()?,
            b"gid" => self.gid = full.then(|| decimal(value)).transpose()?,
            b"uname" => self.user = full.then(|| name(value)).transpose()?,
            b"gname" => self.group = full.then(|| name(value)).transpose()?,
            b"mtime" => self.mtime = full.then(|| time(value)).transpose()?,
            b"GNU.sparse.major" => self.sparse.major = Some(decimal(value)?),
            b"GNU.sparse.minor" => self.sparse.minor = Some(decimal(value)?),
            b"GNU.sparse.name" => self.sparse.name = Some(name(value)?),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.size = Some(decimal(value)?),
            b"GNU.sparse.numblocks" => {
                decimal(value)?;
                self.sparse.has_map = true;
            }
            // Version 0.0 repeats these two, in turn.
            b"GNU.sparse.offset" => {
                if offset.replace(decimal(value)?).is_some() {
                    return Err(corrupt("a sparse map has an offset without a length"));
                }
            }
            b"GNU.sparse.numbytes" => {
                let Some(offset) = offset.take() else { return Err(corrupt("a sparse map has a length without an offset")) };
                self.sparse.map.extend([offset, decimal(value)?]);
                self.sparse.has_map = true;
            }
            b"GNU.sparse.map" => {
                self.sparse.has_map = true;
                self.sparse.map = if full { value.split(|&byte| byte == b',').map(decimal).collect::<Result<_>>()? } else { Vec::new() };
            }
            _ => {
                if let Some(attribute) = key.strip_prefix(XATTR) {
                    let attribute = name(attribute)?;
                    self.xattrs.retain(|(other, _)| *other != attribute);
                    if self.xattrs.len() == limit::XATTRS {
                        return Err(corrupt(format!("a pax header has more than {} extended attributes", limit::XATTRS)));
                    }
                    self.xattrs.push((attribute, value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// Splits the first record off.
fn record(data: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    let broken = || corrupt("a pax header has a broken record");
    let space = data.iter().take(20).position(|&byte| byte == b' ').ok_or_else(broken)?;
    let length = usize::try_from(decimal(&data[..space])?).map_err(|_| broken())?;
    // At least "k=" and the line's end.
    if length < space + 4 || length > data.len() || data[length - 1] != b'\n' {
        return Err(broken());
    }
    let body = &data[space + 1..length - 1];
    let equals = body.iter().position(|&byte| byte == b'=').ok_or_else(broken)?;
    if equals == 0 || body[..equals].contains(&0) {
        return Err(broken());
    }
    Ok((&body[..equals], &body[equals + 1..], &data[length..]))
}

fn name(value: &[u8]) -> Result<Vec<u8>> {
    if value.is_empty() || value.contains(&0) {
        return Err(corrupt("a pax header has an empty name, or one with a NUL in it"));
    }
    Ok(value.to_vec())
}

/// A decimal number: digits and nothing else.
pub fn decimal(value: &[u8]) -> Result<u64> {
    let wrong = || corrupt(format!("a pax header has {:?} for a number", String::from_utf8_lossy(&value[..value.len().min(40)])));
    if value.is_empty() {
        return Err(wrong());
    }
    value
        .iter()
        .try_fold(0u64, |number, &byte| match byte {
            b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
            _ => None,
        })
        .ok_or_else(wrong)
}

/// Seconds since 1970, maybe negative, maybe with a fraction: digits after the ninth are dropped.
pub fn time(value: &[u8]) -> Result<Time> {
    let (negative, digits) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = digits.splitn(2, |&byte| byte == b'.');
    let seconds = decimal(parts.next().unwrap_or_default())?;
    let seconds = i64::try_from(seconds).map_err(|_| corrupt("a pax header has an impossible time"))?;
    let fraction = parts.next().unwrap_or_default();
    if fraction.iter().any(|byte| !byte.is_ascii_digit()) {
        return Err(corrupt("a pax header has an unreadable time"));
    }
    let nanoseconds = (0..9).fold(0u32, |sum, index| sum * 10 + fraction.get(index).map_or(0, |&byte| u32::from(byte - b'0')));
    Ok(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds },
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let cases: &[(&str, Option<(i64, u32)>)] = &[
            ("0", Some((0, 0))),
            ("1700000000.123456789", Some((1_700_000_000, 123_456_789))),
            ("1.5", Some((1, 500_000_000))),
            ("-1.5", Some((-2, 500_000_000))),
            ("-1", Some((-1, 0))),
            ("-0.25", Some((-1, 750_000_000))),
            ("1.1234567899", Some((1, 123_456_789))),
            ("1.", Some((1, 0))),
            (".5", None),
            ("1.-5", None),
            ("", None),
            ("9223372036854775808", None),
        ];
        for (text, expected) in cases {
            let got = time(text.as_bytes()).ok().map(|time| (time.seconds, time.nanoseconds));
            assert_eq!(got, *expected, "{text}");
        }
    }

    #[test]
    fn records() {
        for (text, good) in [
            ("12 path=abc\n", true),
            ("12 path=abc\n6 a=b\n", true),
            ("13 path=abc\n", false),
            ("11 path=abc\n", false),
            ("12 path=abcd", false),
            ("x path=abc\n", false),
            ("4 =\n", false),
            ("5 =b\n", false),
            ("99999999999999999999 a=b\n", false),
            ("0 a=b\n", false),
            ("12 pathabc=\n", true),
            ("10 path=\0\n", false),
            ("10 uid=-1\n", false),
        ] {
            assert_eq!(Extensions::parse(text.as_bytes()).is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn a_global_header_cannot_name_members() {
        assert!(Extensions::default().merge_global(b"12 path=abc\n").is_err());
        assert!(Extensions::default().merge_global(b"15 comment=abc\n").is_ok());
    }
}
