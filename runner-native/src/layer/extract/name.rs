//! Names of members.

use super::MAX_PATH;
use crate::wire::error::{Error, Kind, Result};

/// Splits a member's name into its directory and its last component; `None` for the root itself.
///
/// # Errors
/// `Kind::Escape` for absolute names and those with `..`; `Kind::Corrupt` for a NUL; `Kind::TooLarge` beyond PATH_MAX.
pub fn split(path: &[u8]) -> Result<(&[u8], Option<&[u8]>)> {
    if path.is_empty() {
        return Err(Error::new(Kind::Corrupt, "a member has no name"));
    }
    if path.starts_with(b"/") {
        return Err(Error::new(Kind::Escape, "a name in the layer is absolute"));
    }
    if path.len() > MAX_PATH {
        return Err(Error::new(Kind::TooLarge, format!("a name in the layer is longer than {MAX_PATH} bytes")));
    }
    if path.contains(&0) {
        return Err(Error::new(Kind::Corrupt, "a name in the layer has a NUL in it"));
    }
    if path.split(|&byte| byte == b'/').any(|component| component == b"..") {
        return Err(Error::new(Kind::Escape, "a name in the layer leads out of it through \"..\""));
    }
    // The last component that is one: "a/b/./" names b.
    let mut end = path.len();
    loop {
        let start = path[..end].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        let component = &path[start..end];
        if !component.is_empty() && component != b"." {
            return Ok((&path[..start], Some(component)));
        }
        if start == 0 {
            return Ok((b"", None));
        }
        end = start - 1;
    }
}

pub fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|component| !component.is_empty() && *component != b".")
}
