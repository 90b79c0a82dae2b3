use crate::error::{Error, Result};
use crate::layer::digest::{Listing, list};
use crate::layer::stat_cache::StatCache;
use crate::root::open_directory;
use crate::select::{Chosen, choose};
use crate::sha256::hex;
use crate::tree;
use crate::wire::place::Place;
use crate::wire::tree::{Digest, DigestResult, DigestedSelection};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, mkdirat, openat, renameat};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;

pub fn digest(request: &Digest) -> Result<DigestResult> {
    let listings = request.listings.as_ref().map(open_listings).transpose()?;
    // One cache a tree: several selections of one context share it.
    let mut caches: HashMap<(u64, u64), StatCache> = HashMap::new();
    let mut selections = Vec::with_capacity(request.selections.len());
    for asked in &request.selections {
        let chosen = choose(&asked.selection)?;
        if asked.sizes {
            selections.push(sizes(chosen));
            continue;
        }
        let cache = match (&request.stat_cache, chosen.stack.layers().first()) {
            (Some(place), Some(root)) if !chosen.stack.layers().iter().any(tree::is_mounted) => {
                Some(cache_of(&mut caches, place, root.as_fd())?)
            }
            _ => None,
        };
        let listing = list(&chosen, asked.without.as_deref().unwrap_or_default(), cache)?;
        let name = hex(&listing.digest());
        if let Some(directory) = &listings {
            keep(directory, &name, &listing)?;
        }
        let digest = format!("sha256:{name}");
        let Listing { entries, bytes, .. } = listing;
        selections.push(DigestedSelection { digest, entries, bytes, unmatched: chosen.unmatched });
    }
    for cache in caches.into_values() {
        cache.save();
    }
    Ok(DigestResult { selections })
}

/// How much there is, from what the walk has seen: no file is opened. A file of several names counts once.
fn sizes(chosen: Chosen) -> DigestedSelection {
    let (mut entries, mut bytes, mut linked) = (0, 0, HashSet::new());
    for node in chosen.matches.iter().flat_map(|found| &found.nodes) {
        entries += 1;
        if node.kind == FileType::RegularFile && (node.nlink < 2 || linked.insert((node.dev, node.ino))) {
            bytes += node.size;
        }
    }
    DigestedSelection { digest: String::new(), entries, bytes, unmatched: chosen.unmatched }
}

fn cache_of<'a>(
    caches: &'a mut HashMap<(u64, u64), StatCache>,
    place: &Place,
    root: rustix::fd::BorrowedFd<'_>,
) -> Result<&'a mut StatCache> {
    use std::collections::hash_map::Entry;
    let stat = rustix::fs::fstat(root).map_err(|errno| Error::call("fstat(root)", errno))?;
    match caches.entry((stat.st_dev as _, stat.st_ino as _)) {
        Entry::Occupied(known) => Ok(known.into_mut()),
        Entry::Vacant(vacant) => Ok(vacant.insert(StatCache::open(open_directory(place)?, root)?)),
    }
}

/// The directory `sha256` of the listings.
fn open_listings(place: &Place) -> Result<OwnedFd> {
    let directory = open_directory(place)?;
    match mkdirat(&directory, "sha256", Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(Error::call("mkdirat(\"sha256\")", errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(&directory, "sha256", flags, Mode::empty()).map_err(|errno| Error::call("openat(\"sha256\")", errno))
}

fn keep(directory: &OwnedFd, name: &str, listing: &Listing) -> Result<()> {
    if rustix::fs::statat(directory, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| stat.st_size as usize == listing.text.len())
    {
        return Ok(());
    }
    let temporary = format!("{name}.{}", std::process::id());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(directory, temporary.as_str(), flags, Mode::from_raw_mode(0o600))
        .map_err(|errno| Error::call(format!("openat({temporary:?}, O_CREAT)"), errno))?;
    File::from(file).write_all(&listing.text).map_err(|error| Error::io("write(listing)", &error))?;
    renameat(directory, temporary.as_str(), directory, name).map_err(|errno| Error::call(format!("renameat({name:?})"), errno))
}
