//! Reads one section of an ELF program: where toolchains write down what a program was made of.
//! @see System V ABI, "Object Files"

use crate::error::{Error, Result};
use crate::limit;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// A section that was asked for.
pub struct Section {
    pub name: String,
    pub content: Vec<u8>,
}

/// The first of the named sections that the file has, if it is a program and the section has at most `max` bytes.
///
/// # Errors
/// What the kernel says of reading. A file that is no program, or a broken one, has no sections.
pub fn section(file: &File, names: &[String], max: u64) -> Result<Option<Section>> {
    let Some(table) = Table::read(file)? else { return Ok(None) };
    for wanted in names {
        for header in &table.headers {
            if table.name(header) == Some(wanted.as_bytes()) && header.has_bytes && header.size <= max {
                return Ok(read_at(file, header.offset, header.size)?.map(|content| Section { name: wanted.clone(), content }));
            }
        }
    }
    Ok(None)
}

struct Header {
    name: usize,
    offset: u64,
    size: u64,
    /// `.bss` and its like are said to have a size, and have nothing in the file.
    has_bytes: bool,
}

struct Table {
    headers: Vec<Header>,
    names: Vec<u8>,
}

impl Table {
    fn read(file: &File) -> Result<Option<Self>> {
        let Some(head) = read_at(file, 0, 64)? else { return Ok(None) };
        let Some(layout) = Layout::of(&head) else { return Ok(None) };
        let fields = (
            layout.word(&head, 0x28, 0x20),
            layout.half(&head, 0x3a, 0x2e),
            layout.half(&head, 0x3c, 0x30),
            layout.half(&head, 0x3e, 0x32),
        );
        let (Some(start), Some(entry), Some(count), Some(names)) = fields else { return Ok(None) };
        if count == 0 || entry != layout.header_size() {
            return Ok(None);
        }
        let Some(bytes) = read_at(file, start, count * entry)? else { return Ok(None) };
        let headers: Option<Vec<Header>> = bytes.chunks_exact(entry as usize).map(|chunk| layout.header(chunk)).collect();
        let Some(headers) = headers else { return Ok(None) };
        let Some(strings) = headers.get(names as usize).filter(|header| header.size <= limit::ELF_NAMES) else { return Ok(None) };
        let Some(names) = read_at(file, strings.offset, strings.size)? else { return Ok(None) };
        Ok(Some(Self { headers, names }))
    }

    fn name(&self, header: &Header) -> Option<&[u8]> {
        let tail = self.names.get(header.name..)?;
        tail.get(..tail.iter().position(|byte| *byte == 0)?)
    }
}

/// How wide numbers are, and which of their bytes comes first.
struct Layout {
    is_wide: bool,
    is_little: bool,
}

impl Layout {
    fn of(head: &[u8]) -> Option<Self> {
        let known = head.starts_with(b"\x7fELF") && matches!(head[4], 1 | 2) && matches!(head[5], 1 | 2);
        known.then(|| Self { is_wide: head[4] == 2, is_little: head[5] == 1 })
    }

    fn header_size(&self) -> u64 {
        if self.is_wide { 64 } else { 40 }
    }

    /// A number of the machine's width, at one offset in files of 64 bits and another in those of 32.
    fn word(&self, bytes: &[u8], wide: usize, narrow: usize) -> Option<u64> {
        Some(self.number(if self.is_wide { bytes.get(wide..wide + 8)? } else { bytes.get(narrow..narrow + 4)? }))
    }

    fn half(&self, bytes: &[u8], wide: usize, narrow: usize) -> Option<u64> {
        let at = if self.is_wide { wide } else { narrow };
        Some(self.number(bytes.get(at..at + 2)?))
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let add = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
        if self.is_little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }

    fn header(&self, bytes: &[u8]) -> Option<Header> {
        const NOTHING: u64 = 8;
        Some(Header {
            name: self.number(bytes.get(0..4)?) as usize,
            offset: self.word(bytes, 0x18, 0x10)?,
            size: self.word(bytes, 0x20, 0x14)?,
            has_bytes: self.number(bytes.get(4..8)?) != NOTHING,
        })
    }
}

/// So many bytes from there on; `None` where the file ends before. The file's size bounds what is allocated only where it
/// has no holes, so callers bound `size` too.
fn read_at(file: &File, offset: u64, size: u64) -> Result<Option<Vec<u8>>> {
    let length = file.metadata().map_err(|error| Error::io("fstat()", &error))?.len();
    if offset.checked_add(size).is_none_or(|end| end > length) {
        return Ok(None);
    }
    let mut bytes = vec![0; size as usize];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(Error::io(format!("pread({size}, {offset})"), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    /// A header, names, one section with content, and the table.
    fn program(is_wide: bool, is_little: bool, name: &str, content: &[u8]) -> Vec<u8> {
        let number = |value: u64, width: usize| -> Vec<u8> {
            if is_little { value.to_le_bytes()[..width].to_vec() } else { value.to_be_bytes()[8 - width..].to_vec() }
        };
        let word = if is_wide { 8 } else { 4 };
        let names = format!("\0{name}\0");
        let names_at = 64;
        let content_at = names_at + names.len() as u64;
        let table_at = content_at + content.len() as u64;
        let mut head = vec![0; 64];
        head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', if is_wide { 2 } else { 1 }, if is_little { 1 } else { 2 }]);
        let mut put = |at: usize, bytes: Vec<u8>| head[at..at + bytes.len()].copy_from_slice(&bytes);
        let (start, entry, count, strings) = if is_wide { (0x28, 0x3a, 0x3c, 0x3e) } else { (0x20, 0x2e, 0x30, 0x32) };
        put(start, number(table_at, word));
        put(entry, number(if is_wide { 64 } else { 40 }, 2));
        put(count, number(2, 2));
        put(strings, number(0, 2));
        let header = |name: u64, offset: u64, size: u64| -> Vec<u8> {
            let mut bytes = [number(name, 4), number(1, 4), vec![0; 2 * word], number(offset, word), number(size, word)].concat();
            bytes.resize(if is_wide { 64 } else { 40 }, 0);
            bytes
        };
        [
            head,
            names.clone().into_bytes(),
            content.to_vec(),
            header(0, names_at, names.len() as u64),
            header(1, content_at, content.len() as u64),
        ]
        .concat()
    }

    fn found(bytes: &[u8], name: &str, max: u64) -> Option<Vec<u8>> {
        section(&file_of(bytes), &["other".to_owned(), name.to_owned()], max).unwrap().map(|section| section.content)
    }

    #[test]
    fn finds_a_section_in_every_layout() {
        for (is_wide, is_little) in [(true, true), (true, false), (false, true), (false, false)] {
            let bytes = program(is_wide, is_little, ".dep-v0", b"content");
            assert_eq!(found(&bytes, ".dep-v0", 7).as_deref(), Some(&b"content"[..]), "{is_wide} {is_little}");
            assert_eq!(found(&bytes, ".dep-v0", 6), None);
            assert_eq!(found(&bytes, ".absent", 7), None);
        }
    }

    #[test]
    fn what_is_broken_has_none() {
        let whole = program(true, true, ".dep-v0", b"content");
        for length in 0..whole.len() {
            assert_eq!(found(&whole[..length], ".dep-v0", 7), None, "{length}");
        }
        assert_eq!(found(b"#!/bin/sh\n", ".dep-v0", 7), None);
        for at in 0..64 {
            let mut bytes = whole.clone();
            bytes[at] = 0xff;
            let _ = found(&bytes, ".dep-v0", 7);
        }
    }

    #[test]
    fn this_very_program_has_code() {
        let file = File::open("/proc/self/exe").unwrap();
        assert!(section(&file, &[".text".to_owned()], 1 << 30).unwrap().is_some());
    }
}
