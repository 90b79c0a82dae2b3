//! What a member of a layer asks for, by its name and kind alone, and the account of all members.

use super::extract::name::{components, split};
use super::whiteout::{self, Marker};
use crate::error::{Error, Kind, Result};
use crate::overlay::Entry;
use crate::tar::{Member, Time, Type, Xattr};
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

/// What is to be done for a member.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// To describe the root.
    Root,
    /// To hide what the layers below have: never what this layer has, whichever comes first.
    Hide {
        directory: &'a [u8],
        marker: Marker<'a>,
    },
    Entry {
        directory: &'a [u8],
        name: &'a OsStr,
    },
}

/// What describes a directory.
#[derive(Clone, Debug)]
pub struct Metadata {
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: Time,
    pub xattrs: Vec<Xattr>,
}

impl Metadata {
    pub fn of(member: &Member) -> Self {
        Self { mode: member.mode, uid: member.uid, gid: member.gid, mtime: member.mtime, xattrs: member.xattrs.clone() }
    }

    /// Of a directory of the layers below, as a layer that does not list it takes it over.
    pub fn inherited(entry: &Entry) -> Result<Self> {
        let fd = entry.open(OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut xattrs = super::xattr::list(fd.as_fd())?;
        xattrs.retain(|(name, _)| super::xattr::is_allowed(name));
        Ok(Self {
            mode: entry.mode(),
            uid: u64::from(entry.stat.st_uid),
            gid: u64::from(entry.stat.st_gid),
            mtime: Time { seconds: entry.stat.st_mtime, nanoseconds: entry.stat.st_mtime_nsec as u32 },
            xattrs,
        })
    }
}

/// The most that one layer may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub entries: u64,
    /// Of all files, holes included.
    pub bytes: u64,
}

/// What was made.
#[derive(Debug, Default)]
pub struct Outcome {
    pub entries: u64,
    pub bytes: u64,
    /// What could not be done here, one line each kind.
    pub warnings: Vec<String>,
}

/// Counts what a layer makes.
#[derive(Debug)]
pub struct Account {
    bounds: Bounds,
    entries: u64,
    bytes: u64,
    warnings: BTreeMap<String, u64>,
}

impl Account {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: 0, bytes: 0, warnings: BTreeMap::new() }
    }

    /// Counts a member, whose name means `path` below the root (see [`super::extract::name::inside`]), and tells what it asks
    /// for; `None` if nothing is to be done for it.
    ///
    /// # Errors
    /// `Kind::Corrupt` for what makes no sense, `Kind::Escape` for whiteouts of what is not a name, `Kind::TooLarge` beyond
    /// the bounds.
    pub fn member<'a>(&mut self, member: &Member, path: &'a [u8]) -> Result<Option<Asked<'a>>> {
        self.entry()?;
        let (directory, name) = split(path)?;
        let Some(name) = name else {
            return match member.kind {
                Type::Directory => Ok(Some(Asked::Root)),
                _ if member.path.is_empty() => {
                    self.warn("left out a member without a name");
                    Ok(None)
                }
                _ => Err(Error::new(Kind::Corrupt, "a member that is no directory has the name of the root")),
            };
        };
        if let Some(component) = components(directory).find(|component| component.starts_with(b".wh.")) {
            if !whiteout::is_aufs_directory(component) {
                self.warn("left out what lies in a directory with the name of a whiteout");
            }
            return Ok(None);
        }
        match whiteout::marker(name)? {
            Marker::None => Ok(Some(Asked::Entry { directory, name: OsStr::from_bytes(name) })),
            Marker::Aufs => Ok(None),
            _ if !matches!(member.kind, Type::File | Type::HardLink | Type::Directory) => {
                Err(Error::new(Kind::Corrupt, "a whiteout is neither a file nor a directory"))
            }
            marker => Ok(Some(Asked::Hide { directory, marker })),
        }
    }

    /// Counts what is made without a member of its own.
    pub fn entry(&mut self) -> Result<()> {
        self.entries += 1;
        if self.entries > self.bounds.entries {
            return Err(Error::new(Kind::TooLarge, format!("the layer has more than {} entries", self.bounds.entries)));
        }
        Ok(())
    }

    pub fn file(&mut self, size: u64) -> Result<()> {
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.bounds.bytes {
            return Err(Error::new(Kind::TooLarge, format!("the layer's files have more than {} bytes", self.bounds.bytes)));
        }
        Ok(())
    }

    pub fn warn(&mut self, what: impl Into<String>) {
        *self.warnings.entry(what.into()).or_default() += 1;
    }

    pub fn close(self) -> Outcome {
        let said = |(what, count): (String, u64)| if count == 1 { what } else { format!("{what} ({count} times)") };
        Outcome { entries: self.entries, bytes: self.bytes, warnings: self.warnings.into_iter().map(said).collect() }
    }
}
