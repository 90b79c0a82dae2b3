//! Reads an archive, member by member, from a stream.
//!
//! Where programs disagree about what a header means, this reads as Go's archive/tar does, since that is what
//! registries and scanners have looked at the layer with; what is ambiguous beyond that is refused.

use super::header::{Format, Header};
use super::pax::{Extensions, decimal};
use super::{BLOCK, Member, Time, Type, sparse};
use crate::error::{Error, Kind, Result};
use crate::limit;
use std::io::Read;

/// A stream that lends its next bytes.
pub trait Stream {
    /// The bytes at hand; waits for some if there are none. Empty at the end.
    fn fill(&mut self) -> Result<&[u8]>;
    /// Passes over bytes that [`Stream::fill`] has lent.
    fn consume(&mut self, count: usize);
}

/// Any [`Read`] as a [`Stream`].
pub struct Buffered<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<R: Read> Stream for Buffered<R> {
    fn fill(&mut self) -> Result<&[u8]> {
        while self.start == self.end {
            match self.inner.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => (self.start, self.end) = (0, count),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(stream_error(&error)),
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
    }
}

/// An error of a decompressor, or of what it reads from.
pub fn stream_error(error: &std::io::Error) -> Error {
    if rustix::io::Errno::from_io_error(error).is_some() {
        Error::io("read()", error)
    } else {
        Error::new(Kind::Corrupt, format!("the compressed data is damaged or cut off: {error}"))
    }
}

/// Where data lies: `(offset, length)`.
type Extents = Vec<(u64, u64)>;

/// Reads members one by one.
pub struct Reader<S> {
    stream: S,
    global: Extensions,
    /// Bytes of the current member's data that have not been read, and the padding after them.
    remaining: u64,
    padding: u64,
    /// The extents that the data belongs to, last first.
    extents: Vec<(u64, u64)>,
    ended: bool,
}

impl<R: Read> Reader<Buffered<R>> {
    /// Reads from any [`Read`].
    pub fn of(inner: R) -> Self {
        Self::new(Buffered { inner, buffer: vec![0; 128 << 10].into_boxed_slice(), start: 0, end: 0 })
    }
}

impl<S: Stream> Reader<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, global: Extensions::default(), remaining: 0, padding: 0, extents: Vec::new(), ended: false }
    }

    /// The next member, or `None` at the end of the archive. What was not read of the last one's data is skipped.
    ///
    /// # Errors
    /// `Kind::Corrupt` for what is no tar, or a broken one; `Kind::Unsupported` for types that need other volumes.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not lend the data of its last item")]
    pub fn next(&mut self) -> Result<Option<Member>> {
        if self.ended {
            return Ok(None);
        }
        self.skip_data()?;
        let mut own: Option<Extensions> = None;
        let mut long_path: Option<Vec<u8>> = None;
        let mut long_link: Option<Vec<u8>> = None;
        loop {
            let Some(block) = self.block()? else {
                self.ended = true;
                return if own.is_some() || long_path.is_some() || long_link.is_some() { Err(truncated()) } else { Ok(None) };
            };
            if Header::is_zero(&block) {
                if own.is_some() || long_path.is_some() || long_link.is_some() {
                    return Err(corrupt("an extended header has no member after it"));
                }
                return self.end();
            }
            let header = Header::parse(&block)?;
            match header.type_flag() {
                b'x' => own = Some(Extensions::parse(&self.extension(header)?)?),
                b'g' => {
                    let data = self.extension(header)?;
                    self.global.merge_global(&data)?;
                }
                b'L' => long_path = Some(self.long_name(header)?),
                b'K' => long_link = Some(self.long_name(header)?),
                // The label of a volume says nothing about a file.
                b'V' => {
                    self.remaining = header.size()?;
                    self.padding = padding(self.remaining);
                    self.skip_data()?;
                }
                _ => return self.member(header, own.unwrap_or_default(), long_path, long_link).map(Some),
            }
        }
    }

    /// Hands the current member's data out, as `(offset in the file, bytes)`, holes left out.
    pub fn data(&mut self, mut sink: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        while let Some((offset, length)) = self.extents.pop() {
            let (mut at, end) = (offset, offset + length);
            while at < end {
                let bytes = self.stream.fill()?;
                if bytes.is_empty() {
                    return Err(truncated());
                }
                let count = usize::try_from(end - at).map_or(bytes.len(), |left| left.min(bytes.len()));
                sink(at, &bytes[..count])?;
                self.stream.consume(count);
                self.remaining -= count as u64;
                at += count as u64;
            }
        }
        Ok(())
    }

    /// Gives the stream back. What follows the archive's end has not been read.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// The stream underneath.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    fn member(&mut self, header: Header<'_>, own: Extensions, long_path: Option<Vec<u8>>, long_link: Option<Vec<u8>>) -> Result<Member> {
        let global = &self.global;
        let flag = header.type_flag();
        let mut path = own.path.unwrap_or_else(|| header.path());
        if let Some(name) = long_path {
            path = name;
        }
        if let Some(name) = own.sparse.name.clone() {
            path = name;
        }
        let named = |error: Error| error.path(String::from_utf8_lossy(&path));
        let kind = match flag {
            // Before POSIX a directory was a file whose name ends in a slash.
            0 if path.ends_with(b"/") => Type::Directory,
            0 | b'0' | b'7' | b'S' => Type::File,
            b'1' => Type::HardLink,
            b'2' => Type::Symlink,
            b'3' => Type::CharDevice,
            b'4' => Type::BlockDevice,
            b'5' => Type::Directory,
            b'6' => Type::Fifo,
            other => {
                return Err(named(Error::new(Kind::Unsupported, format!("a member has the unknown type {:?}", char::from(other)))));
            }
        };
        let id = |own: Option<u64>, global: Option<u64>, header: Result<i64>, what: &str| match own.or(global) {
            Some(id) => Ok(id),
            None => u64::try_from(header?).map_err(|_| corrupt(format!("a member has a negative {what}"))),
        };
        let uid = id(own.uid, global.uid, header.uid(), "uid").map_err(named)?;
        let gid = id(own.gid, global.gid, header.gid(), "gid").map_err(named)?;
        let mtime = match own.mtime.or(global.mtime) {
            Some(time) => time,
            None => Time { seconds: header.mtime().map_err(named)?, nanoseconds: 0 },
        };
        let mut xattrs = global.xattrs.clone();
        for xattr in own.xattrs {
            xattrs.retain(|(name, _)| *name != xattr.0);
            xattrs.push(xattr);
        }
        let link = match kind {
            Type::HardLink | Type::Symlink => long_link.or(own.link).unwrap_or_else(|| header.link().to_vec()),
            _ => Vec::new(),
        };
        if link.is_empty() && matches!(kind, Type::HardLink | Type::Symlink) {
            return Err(named(corrupt("a link has no target")));
        }
        // Types without data have none, even if their header has a size (as Go reads it).
        let stored = if kind == Type::File { own.size.map_or_else(|| header.size(), Ok).map_err(named)? } else { 0 };
        if i64::try_from(stored).is_err() {
            return Err(named(corrupt("a member has an impossible size")));
        }
        let mut member = Member {
            kind,
            mode: header.mode().map_err(named)?,
            uid,
            gid,
            user: own.user.or_else(|| global.user.clone()).unwrap_or_else(|| header.user().to_vec()),
            group: own.group.or_else(|| global.group.clone()).unwrap_or_else(|| header.group().to_vec()),
            mtime,
            size: stored,
            link,
            device: if matches!(kind, Type::CharDevice | Type::BlockDevice) { header.device().map_err(named)? } else { (0, 0) },
            xattrs,
            sparse: None,
            path: Vec::new(),
        };
        self.remaining = stored;
        self.padding = padding(stored);
        self.extents.clear();
        if kind == Type::File {
            if let Some((size, map)) = self.sparse_map(header, &own.sparse).map_err(named)? {
                let map = sparse::check(map, size, self.remaining).map_err(named)?;
                self.extents.extend(map.iter().rev());
                member.size = size;
                member.sparse = Some(map);
            } else if stored > 0 {
                self.extents.push((0, stored));
            }
        }
        member.path = path;
        Ok(member)
    }

    /// The length and map of a sparse member. Reads what of the map lies in the stream.
    fn sparse_map(&mut self, header: Header<'_>, records: &super::pax::Sparse) -> Result<Option<(u64, Extents)>> {
        if header.type_flag() == b'S' {
            if header.format() != Format::Gnu {
                return Err(corrupt("a sparse member is not in GNU format"));
            }
            let mut map = Vec::new();
            sparse::old_entries(header.sparse_entries(), &mut map)?;
            let mut continues = header.sparse_continues();
            while continues {
                let block = self.block()?.ok_or_else(truncated)?;
                sparse::old_entries(&block[..504], &mut map)?;
                continues = block[504] != 0;
            }
            return Ok(Some((header.sparse_size()?, map)));
        }
        match (records.major, records.minor) {
            (None | Some(0), _) if records.has_map => {
                let size = records.size.ok_or_else(|| corrupt("a sparse member has no size"))?;
                Ok(Some((size, sparse::pairs(&records.map)?)))
            }
            (Some(1), Some(0)) => {
                let size = records.size.ok_or_else(|| corrupt("a sparse member has no size"))?;
                Ok(Some((size, self.map_in_data()?)))
            }
            (Some(major), minor) if major > 0 => {
                Err(Error::new(Kind::Unsupported, format!("a sparse member has format {major}.{}", minor.unwrap_or(0))))
            }
            _ => Ok(None),
        }
    }

    /// The map of pax sparse format 1.0: lines of decimal numbers at the start of the data, padded to a block.
    fn map_in_data(&mut self) -> Result<Vec<(u64, u64)>> {
        let mut numbers: Vec<u64> = Vec::new();
        let mut wanted = None;
        let mut line = Vec::new();
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            if self.remaining < BLOCK as u64 {
                return Err(corrupt("a sparse map is cut off"));
            }
            let block = self.block()?.ok_or_else(truncated)?;
            self.remaining -= BLOCK as u64;
            for &byte in &block {
                if wanted.is_some_and(|wanted| numbers.len() == wanted) {
                    break;
                }
                if byte != b'\n' {
                    line.push(byte);
                    if line.len() > 20 {
                        return Err(corrupt("a sparse map is broken"));
                    }
                    continue;
                }
                let number = decimal(&line)?;
                line.clear();
                match wanted {
                    Some(_) => numbers.push(number),
                    None if number > limit::EXTENTS as u64 => return Err(corrupt("a sparse file has more than a million extents")),
                    None => wanted = Some(2 * number as usize),
                }
            }
        }
        sparse::pairs(&numbers)
    }

    /// Data of an extended header. Its size is its own header's, whatever an earlier one said.
    fn extension(&mut self, header: Header<'_>) -> Result<Vec<u8>> {
        let size = header.size()?;
        if size > limit::EXTENDED_HEADER {
            return Err(Error::new(Kind::TooLarge, format!("an extended header has {size} bytes, more than 1 MiB")));
        }
        (self.remaining, self.padding) = (size, padding(size));
        self.extents.clear();
        self.extents.push((0, size));
        let mut data = Vec::with_capacity(size as usize);
        self.data(|_, bytes| {
            data.extend_from_slice(bytes);
            Ok(())
        })?;
        self.skip_data()?;
        Ok(data)
    }

    /// A GNU long name: up to its NUL.
    fn long_name(&mut self, header: Header<'_>) -> Result<Vec<u8>> {
        let mut name = self.extension(header)?;
        if let Some(end) = name.iter().position(|&byte| byte == 0) {
            name.truncate(end);
        }
        if name.is_empty() { Err(corrupt("a long name is empty")) } else { Ok(name) }
    }

    /// After one block of zeros: the end is another, or the end of the stream.
    fn end(&mut self) -> Result<Option<Member>> {
        match self.block()? {
            Some(block) if !Header::is_zero(&block) => Err(corrupt("a block of zeros is followed by something else")),
            _ => {
                self.ended = true;
                Ok(None)
            }
        }
    }

    fn skip_data(&mut self) -> Result<()> {
        self.extents.clear();
        let mut left = self.remaining + self.padding;
        while left > 0 {
            let length = self.stream.fill()?.len();
            if length == 0 {
                // Some programs leave the last padding out; no program leaves data out.
                if left <= self.padding {
                    break;
                }
                return Err(truncated());
            }
            let count = usize::try_from(left).map_or(length, |left| left.min(length));
            self.stream.consume(count);
            left -= count as u64;
        }
        (self.remaining, self.padding) = (0, 0);
        Ok(())
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let bytes = self.stream.fill()?;
            if bytes.is_empty() {
                return if filled == 0 { Ok(None) } else { Err(truncated()) };
            }
            let count = bytes.len().min(BLOCK - filled);
            block[filled..filled + count].copy_from_slice(&bytes[..count]);
            self.stream.consume(count);
            filled += count;
        }
        Ok(Some(block))
    }
}

/// Reads the rest of a member's data as a [`Read`] would be read; holes are zeros.
pub struct Content<'a, S> {
    reader: &'a mut Reader<S>,
    at: u64,
    size: u64,
}

impl<S: Stream> Reader<S> {
    /// The current member's content in order, with zeros for holes.
    pub fn content(&mut self, member: &Member) -> Content<'_, S> {
        Content { reader: self, at: 0, size: member.size }
    }
}

impl<S: Stream> Read for Content<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.size - self.at).map_or(buffer.len(), |left| left.min(buffer.len()));
        if left == 0 {
            return Ok(0);
        }
        let next = self.reader.extents.last().copied();
        let count = match next {
            Some((offset, length)) if offset <= self.at => {
                let bytes = self.reader.stream.fill().map_err(std::io::Error::other)?;
                if bytes.is_empty() {
                    return Err(std::io::Error::other(truncated()));
                }
                let within = usize::try_from(length).map_or(left, |length| length.min(left)).min(bytes.len());
                buffer[..within].copy_from_slice(&bytes[..within]);
                self.reader.stream.consume(within);
                self.reader.remaining -= within as u64;
                self.reader.extents.pop();
                if within as u64 != length {
                    self.reader.extents.push((offset + within as u64, length - within as u64));
                }
                within
            }
            _ => {
                let hole = next.map_or(self.size, |(offset, _)| offset) - self.at;
                let count = usize::try_from(hole).map_or(left, |hole| hole.min(left));
                buffer[..count].fill(0);
                count
            }
        };
        self.at += count as u64;
        Ok(count)
    }
}

/// How many bytes follow `size` bytes of data up to the next block.
fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

fn truncated() -> Error {
    corrupt("the archive is cut off")
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Kind::Corrupt, message)
}
