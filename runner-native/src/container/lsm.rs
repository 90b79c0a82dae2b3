//! Labels of Linux security modules: set for the program that is executed next.

use crate::error::{Error, Kind, Result};
use crate::mount::{INERT, file_system};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

/// Whether the kernel has AppArmor at work.
pub fn has_apparmor() -> bool {
    std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'))
}

/// Whether the kernel has SELinux at work.
pub fn has_selinux() -> bool {
    std::path::Path::new("/sys/fs/selinux/enforce").exists()
}

/// Puts this process under an AppArmor profile when it executes a program.
pub fn apply_apparmor(profile: &str) -> Result<()> {
    let text = format!("exec {profile}");
    write("thread-self/attr/apparmor/exec", &text)
        .or_else(|error| if error.kind == Kind::NotFound { write("thread-self/attr/exec", &text) } else { Err(error) })
        .map_err(|error| error.context(format!("cannot apply the AppArmor profile {profile:?}")))
}

/// Gives this process an SELinux label when it executes a program.
pub fn apply_selinux(label: &str) -> Result<()> {
    write("thread-self/attr/exec", label).map_err(|error| error.context(format!("cannot set the SELinux label {label:?}")))
}

/// By a /proc of our own: what an image or another container has put on the one inside could lead anywhere
/// (CVE-2019-16884, CVE-2025-52881).
fn write(file: &str, text: &str) -> Result<()> {
    let proc = file_system("proc", &[], INERT)?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    let open = openat2(&proc, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty(), resolve)
        .map_err(|errno| Error::call(format!("openat2(proc, {file:?}, O_WRONLY)"), errno))?;
    rustix::io::write(&open, text.as_bytes()).map(drop).map_err(|errno| Error::call(format!("write({file:?}, {text:?})"), errno))
}
