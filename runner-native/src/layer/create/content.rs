//! Content of a file that is to be written, wherever it comes from.

use super::PIECE;
use crate::error::{Error, Kind, Result};
use crate::layer::source::{read_full, shown};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::fs::File;

pub enum Source<'a> {
    File(OwnedFd),
    Range { file: &'a File, offset: u64, left: u64 },
    Bytes(&'a [u8]),
}

impl Source<'_> {
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Source::File(file) => Some(file.as_fd()),
            _ => None,
        }
    }

    /// Whether it is a file from its start to its end.
    pub fn is_whole(&self) -> bool {
        matches!(self, Source::File(_))
    }

    /// Of all that was and will be read, once the first piece has filled the buffer.
    pub fn size(&self) -> Result<u64> {
        match self {
            Source::File(file) => {
                let stat = rustix::fs::fstat(file).map_err(|errno| Error::call("fstat()", errno))?;
                Ok((stat.st_size as u64).max(PIECE as u64))
            }
            Source::Range { left, .. } => Ok(*left + PIECE as u64),
            Source::Bytes(rest) => Ok((rest.len() + PIECE) as u64),
        }
    }

    pub fn read(&mut self, buffer: &mut [u8], path: &[u8]) -> Result<usize> {
        match self {
            Source::File(file) => read_full(file, buffer, path),
            Source::Range { file, offset, left } => {
                let wanted = (buffer.len() as u64).min(*left) as usize;
                let mut filled = 0;
                while filled < wanted {
                    let count = rustix::io::pread(&file, &mut buffer[filled..wanted], *offset)
                        .map_err(|errno| Error::call("pread64()", errno).path(shown(path)))?;
                    if count == 0 {
                        return Err(Error::new(Kind::Io, "a file became shorter while it was copied").path(shown(path)));
                    }
                    filled += count;
                    *offset += count as u64;
                    *left -= count as u64;
                }
                Ok(filled)
            }
            Source::Bytes(rest) => {
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                *rest = &rest[count..];
                Ok(count)
            }
        }
    }
}

pub fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Error::call("write()", errno)),
        }
    }
    Ok(())
}
