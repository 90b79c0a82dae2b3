//! Tar headers: ustar (POSIX.1-1988), and pax records (POSIX.1-2001) for what does not fit in.
//!
//! Times are whole seconds, as docker, BuildKit and buildah write them: a sub-second time would need a pax record
//! for every file. There are no user names: they mean nothing outside the machine that made them.

use super::{BLOCK, Type, Xattr};

/// One entry, but for its content.
#[derive(Clone, Debug)]
pub struct Header<'a> {
    /// Without a slash at its start or end.
    pub path: &'a [u8],
    pub kind: Type,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// 0 unless a file.
    pub size: u64,
    pub mtime: i64,
    /// Target of a link.
    pub link: &'a [u8],
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Become `SCHILY.xattr.*` records.
    pub xattrs: &'a [Xattr],
}

const NAME: usize = 100;
const PREFIX: usize = 155;

/// Appends the header of an entry, with a pax header before it if it needs one.
pub fn header(entry: &Header<'_>, out: &mut Vec<u8>) {
    let mut path = entry.path.to_vec();
    if entry.kind == Type::Directory {
        path.push(b'/');
    }
    let mut records = Vec::new();
    let split = split_path(&path);
    if split.is_none() {
        record(&mut records, b"path", &path);
    }
    if entry.link.len() > NAME || !entry.link.is_ascii() {
        record(&mut records, b"linkpath", entry.link);
    }
    for (key, value, digits) in [("size", entry.size, 11), ("uid", u64::from(entry.uid), 7), ("gid", u64::from(entry.gid), 7)] {
        if !fits(value, digits) {
            record(&mut records, key.as_bytes(), value.to_string().as_bytes());
        }
    }
    let mtime = u64::try_from(entry.mtime).ok().filter(|mtime| fits(*mtime, 11));
    if mtime.is_none() {
        record(&mut records, b"mtime", entry.mtime.to_string().as_bytes());
    }
    for (name, value) in entry.xattrs {
        record(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    if !records.is_empty() {
        // The name only shows where pax is not understood.
        let name = pax_name(entry.path);
        let fields = Fields {
            name: &name,
            prefix: &[],
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: records.len() as u64,
            mtime: 0,
            kind: b'x',
            link: &[],
            device: (0, 0),
        };
        fields.write(out);
        let length = records.len();
        out.extend_from_slice(&records);
        pad(length as u64, out);
    }
    let (prefix, name) = split.unwrap_or((&[], &path[..path.len().min(NAME)]));
    let fitting = |value: u64, digits| if fits(value, digits) { value } else { 0 };
    let fields = Fields {
        name,
        prefix,
        mode: entry.mode & 0o7777,
        uid: fitting(u64::from(entry.uid), 7),
        gid: fitting(u64::from(entry.gid), 7),
        size: fitting(entry.size, 11),
        mtime: mtime.unwrap_or(0),
        kind: match entry.kind {
            Type::File => b'0',
            Type::HardLink => b'1',
            Type::Symlink => b'2',
            Type::CharDevice => b'3',
            Type::BlockDevice => b'4',
            Type::Directory => b'5',
            Type::Fifo => b'6',
        },
        link: &entry.link[..entry.link.len().min(NAME)],
        device: entry.device,
    };
    fields.write(out);
}

/// Fills the last block of a content of `size` bytes.
pub fn pad(size: u64, out: &mut Vec<u8>) {
    let rest = (size % BLOCK as u64) as usize;
    if rest > 0 {
        out.resize(out.len() + BLOCK - rest, 0);
    }
}

/// The two empty blocks at the end of an archive.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

struct Fields<'a> {
    name: &'a [u8],
    prefix: &'a [u8],
    mode: u32,
    uid: u64,
    gid: u64,
    size: u64,
    mtime: u64,
    kind: u8,
    link: &'a [u8],
    device: (u32, u32),
}

impl Fields<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let mut block = [0; BLOCK];
        block[..self.name.len()].copy_from_slice(self.name);
        octal(&mut block[100..108], u64::from(self.mode));
        octal(&mut block[108..116], self.uid);
        octal(&mut block[116..124], self.gid);
        octal(&mut block[124..136], self.size);
        octal(&mut block[136..148], self.mtime);
        block[148..156].fill(b' ');
        block[156] = self.kind;
        block[157..157 + self.link.len()].copy_from_slice(self.link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        octal(&mut block[329..337], u64::from(self.device.0));
        octal(&mut block[337..345], u64::from(self.device.1));
        block[345..345 + self.prefix.len()].copy_from_slice(self.prefix);
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        octal(&mut block[148..155], u64::from(sum));
        out.extend_from_slice(&block);
    }
}

/// Octal digits to the last byte but one, which is NUL.
fn octal(field: &mut [u8], mut value: u64) {
    let digits = field.len() - 1;
    for digit in field[..digits].iter_mut().rev() {
        *digit = b'0' + (value & 7) as u8;
        value >>= 3;
    }
    field[digits] = 0;
}

fn fits(value: u64, digits: u32) -> bool {
    value >> (3 * digits) == 0
}

/// Prefix and name, if the path fits into these two fields.
fn split_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if !path.is_ascii() {
        return None;
    }
    if path.len() <= NAME {
        return Some((&[], path));
    }
    // The slash between the two is not stored, and the name may not be empty.
    let from = path.len().checked_sub(NAME + 1)?;
    let at = (from..path.len().min(PREFIX + 1)).find(|at| path[*at] == b'/' && at + 1 < path.len())?;
    (at > 0).then(|| (&path[..at], &path[at + 1..]))
}

fn pax_name(path: &[u8]) -> Vec<u8> {
    let base = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let base = base.iter().map(|byte| if byte.is_ascii_graphic() { *byte } else { b'_' });
    b"PaxHeaders.0/".iter().copied().chain(base).take(NAME).collect()
}

/// `"%d %s=%s\n"`, where the number counts itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() > rest.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn plain(path: &[u8]) -> Header<'_> {
        Header {
            path,
            kind: Type::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: 1_700_000_000,
            link: &[],
            device: (0, 0),
            xattrs: &[],
        }
    }

    #[test]
    fn a_record_counts_its_own_length() {
        for length in 0..1200 {
            let mut records = Vec::new();
            record(&mut records, b"k", &vec![b'v'; length]);
            let stated: usize = std::str::from_utf8(&records).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert_eq!(stated, records.len());
        }
    }

    #[test]
    fn ordinary_entries_need_no_pax_header() {
        let mut out = Vec::new();
        header(&plain(b"usr/bin/env"), &mut out);
        assert_eq!(out.len(), 512);
        let long = [vec![b'd'; 90], b"/".to_vec(), vec![b'f'; 90]].concat();
        header(&plain(&long), &mut out);
        assert_eq!(out.len(), 1024);
    }

    /// GNU tar is the judge of what is written.
    #[test]
    fn gnu_tar_reads_every_extreme() {
        let long = [b"dir/".repeat(60), vec![b'f'; 120]].concat();
        let xattrs = [(b"user.note".to_vec(), b"a=b\nc\0".to_vec())];
        let cases = [
            Header { size: 9 << 30, ..plain(b"large") },
            Header { uid: 4_000_000_000, gid: 3_000_000, ..plain(b"owners") },
            Header { mtime: -5, ..plain(b"old") },
            Header { xattrs: &xattrs, ..plain("ünïcode".as_bytes()) },
            Header { kind: Type::Symlink, link: &long, ..plain(b"link") },
            Header { kind: Type::CharDevice, device: (1, 3), ..plain(b"null") },
            Header { kind: Type::Directory, mode: 0o1777, ..plain(&long) },
        ];
        for case in cases {
            let mut out = Vec::new();
            header(&case, &mut out);
            // Its content is not there: only the header is judged.
            let mut list = Command::new("tar")
                .args(["--numeric-owner", "--utc", "-tvf", "-"])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::null())
                .env("LC_ALL", "C.UTF-8")
                .spawn()
                .unwrap();
            std::io::Write::write_all(&mut list.stdin.take().unwrap(), &out).unwrap();
            let text = String::from_utf8(list.wait_with_output().unwrap().stdout).unwrap();
            assert!(text.contains(std::str::from_utf8(case.path).unwrap()), "{text}");
            assert!(text.contains(&format!("{}/{}", case.uid, case.gid)), "{text}");
            assert!(case.size == 0 || text.contains(&case.size.to_string()), "{text}");
            assert!(case.mtime > 0 || text.contains("1969-12-31 23:59"), "{text}");
            assert!(case.link.is_empty() || text.contains(std::str::from_utf8(case.link).unwrap()), "{text}");
        }
    }
}
