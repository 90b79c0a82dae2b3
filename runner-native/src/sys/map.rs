//! Files as memory.

use crate::error::{Error, Result};
use rustix::fd::{AsFd, AsRawFd};
use std::ops::{Deref, DerefMut};

/// The first bytes of a file, shared with it. Whoever maps a file sees to it that nobody cuts it meanwhile: a page that is
/// no longer there ends the process.
pub struct Map {
    address: *mut libc::c_void,
    /// What is mapped, and how much of it is shown.
    length: usize,
    shown: usize,
    is_writable: bool,
}

// SAFETY: the memory belongs to the value alone, which is used like a boxed slice.
unsafe impl Send for Map {}
// SAFETY: the same; through a shared reference it is only read.
unsafe impl Sync for Map {}

impl Map {
    /// # Errors
    /// What the kernel says, such as `EINVAL` for a length of 0.
    pub fn read(file: impl AsFd, length: usize) -> Result<Self> {
        Self::new(file, length, false)
    }

    /// What is written into it is written into the file, as far as that is.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn write(file: impl AsFd, length: usize) -> Result<Self> {
        Self::new(file, length, true)
    }

    /// Shows only the first bytes from now on, for a file that was cut to them.
    pub fn shorten(&mut self, length: usize) {
        self.shown = self.shown.min(length);
    }

    fn new(file: impl AsFd, length: usize, is_writable: bool) -> Result<Self> {
        let access = if is_writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        // SAFETY: a new mapping at an address that the kernel chooses touches no other memory.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, file.as_fd().as_raw_fd(), 0) };
        if address == libc::MAP_FAILED {
            return Err(Error::io("mmap()", &std::io::Error::last_os_error()));
        }
        Ok(Self { address, length, shown: length, is_writable })
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is readable, at least as long as this, and lives as long as the borrow.
        unsafe { std::slice::from_raw_parts(self.address.cast(), self.shown) }
    }
}

impl DerefMut for Map {
    fn deref_mut(&mut self) -> &mut [u8] {
        assert!(self.is_writable, "a mapping for reading");
        // SAFETY: the mapping is writable, at least as long as this, and borrowed by nobody else.
        unsafe { std::slice::from_raw_parts_mut(self.address.cast(), self.shown) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and nobody borrows it any more.
        unsafe { libc::munmap(self.address, self.length) };
    }
}
