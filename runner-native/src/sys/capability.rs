//! The capabilities of this process: numbers, and sets of bits.

use crate::error::{Error, Result};
use crate::sys::task::{check, prctl};

/// Takes a capability out of the bounding set.
pub fn drop_bounding(capability: u32) -> Result<()> {
    prctl(libc::PR_CAPBSET_DROP, u64::from(capability), 0)
        .map_err(|errno| Error::call(format!("prctl(PR_CAPBSET_DROP, {capability})"), errno))
}

/// Whether the kernel knows this capability and it is in the bounding set.
pub fn in_bounding(capability: u32) -> Option<bool> {
    // SAFETY: no memory is involved.
    match unsafe { libc::prctl(libc::PR_CAPBSET_READ, u64::from(capability), 0, 0, 0) } {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

pub fn clear_ambient() {
    // A kernel without ambient capabilities has none to clear.
    let _ = prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0);
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityWords {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Lets capabilities outlast a change of the user.
pub fn keep_capabilities(keep: bool) {
    let _ = prctl(libc::PR_SET_KEEPCAPS, u64::from(keep), 0);
}

/// Adds one to the ambient capabilities, those that an executed program keeps.
pub fn raise_ambient(capability: u32) -> Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, u64::from(capability))
        .map_err(|errno| Error::call(format!("prctl(PR_CAP_AMBIENT_RAISE, {capability})"), errno))
}

/// Sets this process's capabilities.
pub fn set_capabilities(effective: u64, permitted: u64, inheritable: u64) -> Result<()> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let words = [
        CapabilityWords { effective: effective as u32, permitted: permitted as u32, inheritable: inheritable as u32 },
        CapabilityWords {
            effective: (effective >> 32) as u32,
            permitted: (permitted >> 32) as u32,
            inheritable: (inheritable >> 32) as u32,
        },
    ];
    // SAFETY: version 3 reads one header and two sets of words, which is what is passed.
    let outcome = unsafe { libc::syscall(libc::SYS_capset, std::ptr::from_ref(&header), words.as_ptr()) };
    check(outcome, || format!("capset({effective:#x}, {permitted:#x})"))
}

/// The effective and permitted capabilities of this process.
pub fn capabilities() -> Result<(u64, u64)> {
    let header = CapabilityHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut words = [CapabilityWords::default(); 2];
    // SAFETY: version 3 writes two sets of words, for which there is room.
    let outcome = unsafe { libc::syscall(libc::SYS_capget, std::ptr::from_ref(&header), words.as_mut_ptr()) };
    check(outcome, || "capget()".to_owned())?;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok((join(words[0].effective, words[1].effective), join(words[0].permitted, words[1].permitted)))
}
