//! ADD of an archive: its members become places of the destination.
//!
//! An archive is read once, in its own order, but a layer is written in walk order: file contents are spooled to an
//! unnamed file on the way, and read from there.

use crate::archive::open_archive;
use crate::error::{Error, Kind, Result};
use crate::layer::destination::{Destination, Id, Located, New, Replace};
use crate::layer::extract::name::{components, inside};
use crate::layer::item::{Attributes, Body, Content};
use crate::layer::owner::Owner;
use crate::layer::source::{shown, split};
use crate::layer::xattr::{is_allowed, portable};
use crate::limit;
use crate::tar::{Member, Reader, Type};
use rustix::fs::FileType;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};
use std::sync::Arc;

/// What members are given.
pub struct Rules {
    pub chown: Option<Owner>,
    /// No time is later.
    pub latest: i64,
}

/// Whether a file is an archive that can be unpacked.
pub fn is_archive(file: &File) -> Result<bool> {
    Ok(open(file)?.is_some())
}

fn open(mut file: &File) -> Result<Option<Box<dyn Read + Send + '_>>> {
    file.rewind().map_err(|error| Error::io("lseek(0)", &error))?;
    open_archive(file)
}

/// Places the members of an archive below `top`. Their paths are resolved inside it: no link leads out.
pub fn unpack(file: &File, destination: &mut Destination, top: Id, rules: &Rules, spool: &Arc<File>) -> Result<()> {
    let Some(stream) = open(file)? else { return Err(Error::new(Kind::Corrupt, "an archive changed while it was unpacked")) };
    let mut reader = Reader::of(stream);
    let mut writer = BufWriter::with_capacity(1 << 20, &**spool);
    let mut offset = spool.metadata().map_err(|error| Error::io("fstat()", &error))?.len();
    let (mut members, mut bytes) = (0, 0);
    while let Some(member) = reader.next()? {
        (members, bytes) = (members + 1, bytes + member.size);
        if members > limit::LAYER_ENTRIES || bytes > limit::LAYER_BYTES {
            return Err(Error::new(Kind::TooLarge, "the archive has more members or bytes than any layer may have"));
        }
        let path = inner_path(&member)?;
        // The archive's own directory is not the one that it is unpacked into.
        if path.is_empty() {
            continue;
        }
        let (directory, name) = split(&path);
        let parent = destination.directory(top, directory)?;
        let name = name.to_vec();
        let body = match member.kind {
            Type::Directory => {
                let new = new_of(&member, Body::Directory { opaque: false }, rules)?;
                destination.put_directory(parent, name, new, Replace::Anything)?;
                continue;
            }
            Type::HardLink => {
                let new = linked(destination, top, &member)?;
                destination.put(parent, name, new, Replace::Anything)?;
                continue;
            }
            Type::File => {
                let start = offset;
                offset += spool_content(&mut reader, &member, &mut writer)?;
                Body::File(Content::Range { file: Arc::clone(spool), offset: start, size: offset - start })
            }
            Type::Symlink => Body::Symlink(member.link.clone().into()),
            Type::Fifo => Body::Fifo,
            kind @ (Type::CharDevice | Type::BlockDevice) => {
                let kind = if kind == Type::CharDevice { FileType::CharacterDevice } else { FileType::BlockDevice };
                if kind == FileType::CharacterDevice && member.device == (0, 0) {
                    return Err(
                        Error::new(Kind::Unsupported, "the archive holds a device 0/0, which would delete a file").path(member.display())
                    );
                }
                Body::Device(kind, rustix::fs::makedev(member.device.0, member.device.1))
            }
        };
        destination.put(parent, name, new_of(&member, body, rules)?, Replace::Anything)?;
    }
    writer.flush().map_err(|error| Error::io("write(spool)", &error))
}

fn spool_content<S: crate::tar::reader::Stream>(reader: &mut Reader<S>, member: &Member, spool: &mut impl Write) -> Result<u64> {
    let mut content = reader.content(member);
    let mut buffer = vec![0; (member.size as usize).clamp(1, 256 << 10)];
    let mut total = 0;
    loop {
        let count = content.read(&mut buffer).map_err(|error| read_error(error, member))?;
        if count == 0 {
            return Ok(total);
        }
        spool.write_all(&buffer[..count]).map_err(|error| Error::io("write(spool)", &error))?;
        total += count as u64;
    }
}

fn read_error(error: std::io::Error, member: &Member) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error.path(member.display()),
        Err(error) => crate::tar::reader::stream_error(&error).path(member.display()),
    }
}

/// A member's path below the destination. Empty: the archive's own directory, or no name at all.
fn inner_path(member: &Member) -> Result<Vec<u8>> {
    let path = inside(&member.path).map_err(|error| error.path(member.display()))?;
    Ok(components(&path).collect::<Vec<_>>().join(&b'/'))
}

/// What a hard link's target is, as another name of it.
fn linked(destination: &mut Destination, top: Id, member: &Member) -> Result<New> {
    let target = Member { path: member.link.clone(), ..member.clone() };
    let path = inner_path(&target)?;
    let (directory, name) = split(&path);
    let found = match destination.locate(top, directory, true)? {
        Located::Directory(parent) if !name.is_empty() => destination.link_to(parent, name)?,
        _ => None,
    };
    found.ok_or_else(|| {
        Error::new(Kind::Corrupt, format!("the archive links to {:?}, which is not there", shown(&member.link))).path(member.display())
    })
}

fn new_of(member: &Member, body: Body, rules: &Rules) -> Result<New> {
    let id = |value: u64| {
        u32::try_from(value).ok().filter(|id| *id != u32::MAX).ok_or_else(|| {
            Error::new(Kind::Corrupt, format!("the archive holds the owner {value}, which is no user or group id")).path(member.display())
        })
    };
    let owner = match rules.chown {
        Some(owner) => owner,
        None => Owner { uid: id(member.uid)?, gid: id(member.gid)? },
    };
    let xattrs = member.xattrs.iter().filter(|(name, _)| is_allowed(name));
    let mut xattrs: Vec<_> = xattrs.map(|(name, value)| (name.clone(), portable(name, value).into_owned())).collect();
    xattrs.sort();
    let mtime = member.mtime.seconds.min(rules.latest);
    let xattrs = Attributes::Given(Arc::new(xattrs));
    Ok(New { body, mode: member.mode & 0o7777, uid: owner.uid, gid: owner.gid, mtime, xattrs, group: None })
}
