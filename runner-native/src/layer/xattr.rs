//! Extended attributes of a layer's files: which ones are set, and how.

use crate::error::{Error, Result};
use crate::overlay::is_overlay_xattr;
use crate::tar::Xattr;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

const CAPABILITY: &[u8] = b"security.capability";
const REVISION_MASK: u32 = 0xff00_0000;
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
/// `struct vfs_cap_data` without the root id that revision 3 adds.
const LENGTH_2: usize = 20;

/// Whether a layer may set this xattr. Those of the overlay file system would let it fake whiteouts, opaque
/// directories and redirects into other layers.
pub fn is_allowed(name: &[u8]) -> bool {
    !is_overlay_xattr(name)
}

/// The value as it belongs into this user namespace, and into a layer.
///
/// File capabilities of revision 3 name the root user of the namespace that they were set in, which means nothing
/// elsewhere. Without it (revision 2) the kernel adds the right one when they are set inside a user namespace
/// (user_namespaces(7), capabilities(7), "Namespaced file capabilities").
pub fn portable<'a>(name: &[u8], value: &'a [u8]) -> Cow<'a, [u8]> {
    if name != CAPABILITY || value.len() != LENGTH_2 + 4 {
        return Cow::Borrowed(value);
    }
    let magic = u32::from_le_bytes([value[0], value[1], value[2], value[3]]);
    if magic & REVISION_MASK != REVISION_3 {
        return Cow::Borrowed(value);
    }
    let magic = (magic & !REVISION_MASK) | REVISION_2;
    Cow::Owned([&magic.to_le_bytes()[..], &value[4..LENGTH_2]].concat())
}

/// Whether the kernel takes this for capabilities of a file, without a root user named (revision 2).
pub fn is_capability(value: &[u8]) -> bool {
    value.len() == LENGTH_2 && u32::from_le_bytes([value[0], value[1], value[2], value[3]]) & REVISION_MASK == REVISION_2
}

/// Every xattr of an open file.
pub fn list(fd: BorrowedFd<'_>) -> Result<Vec<Xattr>> {
    let failed = |call: &str, errno| Error::call(format!("{call}()"), errno);
    let mut names = vec![0u8; 64 << 10];
    let length = match rustix::fs::flistxattr(fd, &mut names) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(errno) => return Err(failed("flistxattr", errno)),
    };
    let mut xattrs = Vec::new();
    for name in names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0u8; 64 << 10];
        match rustix::fs::fgetxattr(fd, OsStr::from_bytes(name), &mut value) {
            Ok(length) => {
                value.truncate(length);
                xattrs.push((name.to_vec(), value));
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(failed("fgetxattr", errno)),
        }
    }
    Ok(xattrs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_lose_their_root_id() {
        let mut v3 = vec![1, 0, 0, 3, 0, 0x20, 0, 0];
        v3.resize(24, 0);
        v3[20] = 0xe8;
        let v2 = portable(CAPABILITY, &v3);
        assert_eq!(v2.len(), 20);
        assert_eq!(&v2[..6], &[1, 0, 0, 2, 0, 0x20]);
        assert_eq!(portable(CAPABILITY, &v2), v2);
        assert_eq!(portable(b"user.x", &v3), &v3[..]);
    }

    #[test]
    fn overlay_attributes_are_refused() {
        assert!(!is_allowed(b"trusted.overlay.opaque"));
        assert!(!is_allowed(b"user.overlay.redirect"));
        assert!(is_allowed(b"user.overlays"));
        assert!(is_allowed(b"security.capability"));
    }
}
