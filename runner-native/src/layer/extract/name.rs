//! Names of members.

use crate::error::{Error, Kind, Result};
use crate::limit;
use std::borrow::Cow;

/// A name as what it means below the root of the layer: builders were seen to write absolute names, and names with `..`.
///
/// # Errors
/// `Kind::Escape` for a name that climbs above the root.
pub fn inside(path: &[u8]) -> Result<Cow<'_, [u8]>> {
    let climbs = |component: &[u8]| component == b"..";
    if !path.starts_with(b"/") && !path.split(|&byte| byte == b'/').any(climbs) {
        return Ok(Cow::Borrowed(path));
    }
    let mut kept: Vec<&[u8]> = Vec::new();
    for component in components(path) {
        if !climbs(component) {
            kept.push(component);
        } else if kept.pop().is_none() {
            return Err(Error::new(Kind::Escape, "a name in the layer leads out of it through \"..\""));
        }
    }
    // The root has a name too.
    Ok(Cow::Owned(if kept.is_empty() { b".".to_vec() } else { kept.join(&b'/') }))
}

/// Splits a name, as [`inside`] gives it, into its directory and its last component; `None` for the root itself.
///
/// # Errors
/// `Kind::Corrupt` for a NUL; `Kind::TooLarge` beyond PATH_MAX.
pub fn split(path: &[u8]) -> Result<(&[u8], Option<&[u8]>)> {
    if path.len() > limit::PATH {
        return Err(Error::new(Kind::TooLarge, format!("a name in the layer is longer than {} bytes", limit::PATH)));
    }
    if path.contains(&0) {
        return Err(Error::new(Kind::Corrupt, "a name in the layer has a NUL in it"));
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
