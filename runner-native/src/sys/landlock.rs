//! Landlock: a process gives up rights over files for good (Documentation/userspace-api/landlock.rst).
#![allow(unsafe_code)]

use crate::error::{Error, Result};
use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use rustix::io::Errno;

const CREATE_RULESET_VERSION: u32 = 1;
const RULE_PATH_BENEATH: u32 = 1;

/// `struct landlock_ruleset_attr`: what the rules speak of. All of it is forbidden, but for what a rule allows.
#[repr(C)]
pub struct Handled {
    pub files: u64,
    pub network: u64,
    pub scoped: u64,
}

#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// Version of the kernel's interface; 0 where there is none.
pub fn version() -> u32 {
    // SAFETY: with this flag the kernel reads no memory.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<Handled>(), 0usize, CREATE_RULESET_VERSION) };
    u32::try_from(version).unwrap_or(0)
}

/// A set of rules in the making.
pub struct Ruleset(OwnedFd);

impl Ruleset {
    pub fn new(handled: &Handled) -> Result<Self> {
        // Kernels refuse fields that they do not know, unless they are left out.
        let size = match version() {
            0..4 => 8usize,
            4..6 => 16,
            _ => size_of::<Handled>(),
        };
        // SAFETY: the kernel reads `size` bytes, at most the whole structure.
        let fd = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::from_ref(handled), size, 0u32) };
        match i32::try_from(fd) {
            // SAFETY: a new descriptor, which nobody else has.
            Ok(fd) if fd >= 0 => Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) })),
            _ => Err(failed("landlock_create_ruleset()")),
        }
    }

    /// Allows these rights on everything beneath an open directory.
    pub fn allow(&self, directory: impl AsFd, allowed: u64) -> Result<()> {
        let rule = PathBeneath { allowed, parent: directory.as_fd().as_raw_fd() };
        // SAFETY: the kernel reads one structure of this rule's type.
        let outcome =
            unsafe { libc::syscall(libc::SYS_landlock_add_rule, self.0.as_raw_fd(), RULE_PATH_BENEATH, std::ptr::from_ref(&rule), 0u32) };
        if outcome == 0 { Ok(()) } else { Err(failed("landlock_add_rule()")) }
    }

    /// Puts the rules into force for this thread, and those that it starts. It must have `no_new_privs`.
    pub fn restrict(self) -> Result<()> {
        // SAFETY: no memory is involved.
        let outcome = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.0.as_raw_fd(), 0u32) };
        if outcome == 0 { Ok(()) } else { Err(failed("landlock_restrict_self()")) }
    }
}

fn failed(call: &str) -> Error {
    let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
    Error::call(call, errno)
}
