//! The 512 bytes that begin a member: POSIX.1-1988 ustar, its GNU variant, and what came before them.

use super::BLOCK;
use crate::error::{Error, Kind, Result};

/// A header block, checksum verified.
#[derive(Clone, Copy)]
pub struct Header<'a>(&'a [u8; BLOCK]);

/// Who wrote the header, as its magic says: decides what the bytes from 345 on mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Before POSIX: nothing after the link name.
    V7,
    Ustar,
    /// Jörg Schilling's star: ustar with a shorter prefix and times after it.
    Star,
    Gnu,
}

impl<'a> Header<'a> {
    /// # Errors
    /// `Kind::Corrupt` if the checksum is wrong.
    pub fn parse(block: &'a [u8; BLOCK]) -> Result<Self> {
        let header = Self(block);
        let stored = octal(&block[148..156]).ok_or_else(|| corrupt("a header has no readable checksum"))?;
        // The checksum field itself counts as spaces. Some old programs summed signed bytes.
        let unsigned: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
        let field: u64 = block[148..156].iter().map(|&byte| u64::from(byte)).sum();
        if unsigned - field + 8 * 32 == stored {
            return Ok(header);
        }
        let signed: i64 = block.iter().map(|&byte| i64::from(byte as i8)).sum();
        let field: i64 = block[148..156].iter().map(|&byte| i64::from(byte as i8)).sum();
        if u64::try_from(signed - field + 8 * 32) == Ok(stored) { Ok(header) } else { Err(corrupt("a header has a wrong checksum")) }
    }

    pub fn is_zero(block: &[u8; BLOCK]) -> bool {
        block.iter().all(|&byte| byte == 0)
    }

    pub fn format(&self) -> Format {
        match (&self.0[257..263], &self.0[263..265], &self.0[508..512]) {
            (b"ustar\0", _, b"tar\0") => Format::Star,
            (b"ustar\0", _, _) => Format::Ustar,
            (b"ustar ", b" \0", _) => Format::Gnu,
            _ => Format::V7,
        }
    }

    pub fn type_flag(&self) -> u8 {
        self.0[156]
    }

    /// Name, with the prefix of ustar.
    pub fn path(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let prefix: &[u8] = match self.format() {
            Format::Ustar => text(&self.0[345..500]),
            Format::Star => text(&self.0[345..476]),
            // GNU has times and sparse maps there.
            Format::Gnu | Format::V7 => b"",
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub fn link(&self) -> &'a [u8] {
        text(&self.0[157..257])
    }

    pub fn user(&self) -> &'a [u8] {
        if self.format() == Format::V7 { b"" } else { text(&self.0[265..297]) }
    }

    pub fn group(&self) -> &'a [u8] {
        if self.format() == Format::V7 { b"" } else { text(&self.0[297..329]) }
    }

    pub fn mode(&self) -> Result<u32> {
        // Some programs put the file type bits there too.
        Ok((number(&self.0[100..108], "mode")? & 0o7777) as u32)
    }

    pub fn uid(&self) -> Result<i64> {
        number(&self.0[108..116], "uid")
    }

    pub fn gid(&self) -> Result<i64> {
        number(&self.0[116..124], "gid")
    }

    pub fn size(&self) -> Result<u64> {
        size(&self.0[124..136], "size")
    }

    pub fn mtime(&self) -> Result<i64> {
        number(&self.0[136..148], "mtime")
    }

    pub fn device(&self) -> Result<(u32, u32)> {
        if self.format() == Format::V7 {
            return Ok((0, 0));
        }
        let part = |field, name| u32::try_from(number(field, name)?).map_err(|_| corrupt(format!("a header has an impossible {name}")));
        Ok((part(&self.0[329..337], "device major")?, part(&self.0[337..345], "device minor")?))
    }

    /// Of an old GNU sparse member: the first entries of its map.
    pub fn sparse_entries(&self) -> &'a [u8] {
        &self.0[386..482]
    }

    /// Of an old GNU sparse member: whether more of its map follows in blocks of its own.
    pub fn sparse_continues(&self) -> bool {
        self.0[482] != 0
    }

    /// Of an old GNU sparse member: its length with holes.
    pub fn sparse_size(&self) -> Result<u64> {
        size(&self.0[483..495], "sparse size")
    }
}

/// A text field: up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// A number that cannot be negative.
pub fn size(field: &[u8], name: &str) -> Result<u64> {
    u64::try_from(number(field, name)?).map_err(|_| corrupt(format!("a header has a negative {name}")))
}

/// A numeric field: octal digits, or base-256 if the first bit is set (GNU), two's complement.
pub fn number(field: &[u8], name: &str) -> Result<i64> {
    let wrong = || corrupt(format!("a header has an unreadable {name}"));
    if field[0] & 0x80 == 0 {
        return octal(field).and_then(|value| i64::try_from(value).ok()).ok_or_else(wrong);
    }
    let negative = field[0] & 0x40 != 0;
    let mut value: i128 = if negative { -1 } else { 0 };
    for (index, &byte) in field.iter().enumerate() {
        // The first bit only says that this is base-256; the sign is in the second.
        let byte = match (index, negative) {
            (0, true) => byte | 0x80,
            (0, false) => byte & 0x7f,
            _ => byte,
        };
        value = (value << 8) | i128::from(byte);
    }
    i64::try_from(value).map_err(|_| wrong())
}

/// Octal digits, with spaces or NULs around them. Empty is 0, as everyone reads it.
fn octal(field: &[u8]) -> Option<u64> {
    let start = field.iter().position(|&byte| byte != b' ' && byte != 0).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(|&byte| byte == b' ' || byte == 0).unwrap_or(digits.len());
    if digits[end..].iter().any(|&byte| byte != b' ' && byte != 0) {
        return None;
    }
    digits[..end].iter().try_fold(0u64, |value, &byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let cases: &[(&[u8], Option<i64>)] = &[
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"77777777", Some(0o77_777_777)),
            (b"00006x4\0", None),
            (b"0644 644", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xfe\0", Some(-512)),
            (b"\x80\0\0\0\x40\0\0\0\0\0\0\0", Some(0x4000_0000_0000_0000)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ];
        for (field, expected) in cases {
            assert_eq!(number(field, "number").ok(), *expected, "{field:?}");
        }
    }
}
