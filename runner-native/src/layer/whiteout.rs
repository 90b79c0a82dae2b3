//! Whiteouts as layers write them: empty files whose names begin with `.wh.` (image-spec, layer.md, "Whiteouts").

use crate::error::{Error, Kind, Result};

const PREFIX: &[u8] = b".wh.";
/// AUFS kept its own files under names with this prefix; old layers have them.
const AUFS: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What the last component of a member's name asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Marker<'a> {
    /// An ordinary name.
    None,
    /// Hides this name of the layers below.
    Whiteout(&'a [u8]),
    /// Hides everything that the layers below have in this directory.
    Opaque,
    /// Bookkeeping of AUFS, which means nothing to a tree.
    Aufs,
}

/// Reads the marker in a name's last component.
///
/// # Errors
/// `Kind::Escape` for a whiteout of `.` or `..`, `Kind::Corrupt` for one of nothing.
pub fn marker(name: &[u8]) -> Result<Marker<'_>> {
    let Some(hidden) = name.strip_prefix(PREFIX) else { return Ok(Marker::None) };
    match hidden {
        _ if name == OPAQUE => Ok(Marker::Opaque),
        _ if name.starts_with(AUFS) => Ok(Marker::Aufs),
        b"" => Err(Error::new(Kind::Corrupt, "a whiteout hides nothing")),
        b"." | b".." => Err(Error::new(Kind::Escape, format!("a whiteout hides {:?}", String::from_utf8_lossy(hidden)))),
        _ => Ok(Marker::Whiteout(hidden)),
    }
}

/// Whether a directory on the way to a member is AUFS bookkeeping, so that the member is too.
pub fn is_aufs_directory(component: &[u8]) -> bool {
    component.starts_with(AUFS) && component != OPAQUE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers() {
        assert_eq!(marker(b"file").unwrap(), Marker::None);
        assert_eq!(marker(b".wh").unwrap(), Marker::None);
        assert_eq!(marker(b".wh.file").unwrap(), Marker::Whiteout(b"file"));
        assert_eq!(marker(b".wh...x").unwrap(), Marker::Whiteout(b"..x"));
        assert_eq!(marker(b".wh..wh..opq").unwrap(), Marker::Opaque);
        assert_eq!(marker(b".wh..wh.plnk").unwrap(), Marker::Aufs);
        assert_eq!(marker(b".wh.").unwrap_err().kind, Kind::Corrupt);
        assert_eq!(marker(b".wh..").unwrap_err().kind, Kind::Escape);
        assert_eq!(marker(b".wh...").unwrap_err().kind, Kind::Escape);
    }
}
