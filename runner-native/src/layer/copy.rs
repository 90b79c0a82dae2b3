//! COPY, ADD and WORKDIR: what goes where, with whose owner and mode.

use crate::error::{Error, Kind, Result};
use crate::layer::add::{self, Rules, is_archive};
use crate::layer::chmod::Chmod;
use crate::layer::create::{IndexWriter, create, create_indexed};
use crate::layer::destination::{Destination, Id, Located, Made, New, ROOT, Replace};
use crate::layer::item::{Attributes, Body, Content, Item, Origin};
use crate::layer::owner::{Owner, of_chown, of_workdir};
use crate::layer::place::TreeWriter;
use crate::layer::source::{Opener, shown};
use crate::overlay::Stack;
use crate::root::{open_directory, open_place};
use crate::select::{Chosen, Match, Node, choose};
use crate::tree;
use crate::trial;
use crate::wire::event::Events;
use crate::wire::layer::{LayerResult, MadeTree, TreeForm};
use crate::wire::place::Place;
use crate::wire::tree::{Copy, CopyItem, CopyResult, CopyRule};
use rustix::fs::{FileType, Mode, OFlags, openat};
use rustix::io::Errno;
use std::fs::File;
use std::sync::Arc;

pub fn copy(request: &Copy, events: &Events) -> Result<CopyResult> {
    // Files get the modes that were chosen for them.
    rustix::process::umask(Mode::empty());
    crate::sys::raise_open_files();
    let base = Arc::new(if request.link { Stack::of(Vec::new()) } else { Stack::lowers(&request.base)? });
    let mut copier = Copier::new(request, Arc::clone(&base))?;
    let mut unmatched = Vec::new();
    let sources = sources(&request.items, &mut unmatched)?;
    copier.several = sources.len() > 1;
    for source in &sources {
        copier.place(source)?;
    }
    if request.rule.is_none() && request.items.iter().any(|item| matches!(item, CopyItem::Select { selection } if selection.parents)) {
        // As in BuildKit it is made even if no pattern met anything.
        copier.destination.directory(ROOT, request.to.as_bytes())?;
    }
    let items = copier.destination.items();
    let entries = items.iter().filter(|item| !item.path.is_empty()).count() as u64;
    let (layer, tree) = write(request, &base, &items, events)?;
    Ok(CopyResult { layer, tree, entries, unmatched })
}

/// Writes layer and tree, as far as they were asked for.
fn write(request: &Copy, base: &Stack, items: &[Item], events: &Events) -> Result<(Option<LayerResult>, Option<MadeTree>)> {
    let Some(place) = &request.tree else {
        let plain = request.plain.as_ref().map(|place| TreeWriter::plain(open_directory(place)?)).transpose()?;
        return Ok((create(items, plain.as_ref(), request.layer.as_ref(), events)?, None));
    };
    let snapshot = open_directory(place)?;
    match &request.layer {
        Some(output) if trial::layer_form(request.form, &snapshot)? == TreeForm::Index => {
            let index = IndexWriter::new(snapshot, base, output)?;
            create_indexed(items, &index, output, events).map(|(layer, tree)| (Some(layer), Some(tree)))
        }
        output => {
            let upper = TreeWriter::upper(tree::create_tree(&snapshot)?)?;
            let layer = create(items, Some(&upper), output.as_ref(), events)?;
            let bytes = layer.as_ref().map_or(0, |layer| layer.uncompressed_size);
            Ok((layer, Some(MadeTree { form: TreeForm::Tree, bytes, why: None })))
        }
    }
}

/// Something to be placed.
enum Source<'a> {
    Match { stack: Arc<Stack>, found: Match, unpack: bool, ordinal: u64 },
    Inline { name: &'a str, content: &'a str, mode: u32 },
    File { name: &'a str, file: Arc<File>, mode: u32, mtime: Option<i64>, unpack: bool },
    Directory,
}

fn sources<'a>(items: &'a [CopyItem], unmatched: &mut Vec<String>) -> Result<Vec<Source<'a>>> {
    let mut sources = Vec::new();
    for item in items {
        match item {
            CopyItem::Select { selection } => {
                let Chosen { stack, matches, unmatched: none } = choose(selection)?;
                let stack = Arc::new(stack);
                unmatched.extend(none);
                for found in matches {
                    let ordinal = sources.len() as u64;
                    sources.push(Source::Match { stack: Arc::clone(&stack), found, unpack: selection.unpack, ordinal });
                }
            }
            CopyItem::Inline { name, content, mode } => sources.push(Source::Inline { name, content, mode: mode.unwrap_or(0o644) }),
            CopyItem::File { name, file, mode, mtime, unpack } => {
                let file = Arc::new(File::from(open_place(file, OFlags::RDONLY, Mode::empty())?));
                sources.push(Source::File { name, file, mode: *mode, mtime: *mtime, unpack: *unpack });
            }
            CopyItem::Directory {} => sources.push(Source::Directory),
        }
    }
    Ok(sources)
}

struct Copier<'a> {
    request: &'a Copy,
    destination: Destination,
    chown: Option<Owner>,
    chmod: Option<Chmod>,
    now: i64,
    /// No file's time is later.
    latest: i64,
    /// Several sources: none may be the destination itself.
    several: bool,
    /// Contents of archives.
    spool: Option<Arc<File>>,
}

impl<'a> Copier<'a> {
    fn new(request: &'a Copy, base: Arc<Stack>) -> Result<Self> {
        let chown = request.chown.as_deref().map(|text| of_chown(text, &base)).transpose().map_err(|error| {
            if request.link && error.kind == Kind::NoUser {
                error.hint("With --link the copy does not see the image: give numbers.")
            } else {
                error
            }
        })?;
        let user = request.user.as_deref().map(|text| of_workdir(text, &base)).transpose()?;
        let chmod = request.chmod.as_deref().map(Chmod::parse).transpose()?;
        let clock = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        let epochs = [request.epoch, request.layer.as_ref().and_then(|layer| layer.epoch)];
        let latest = epochs.into_iter().flatten().min().unwrap_or(i64::MAX);
        let now = clock.min(latest);
        let owner = chown.or(user).unwrap_or_default();
        let mode = chmod.as_ref().map_or(0o755, Chmod::of_made_directories);
        let made = Made { uid: owner.uid, gid: owner.gid, mode, mtime: now };
        let mut destination = Destination::new(base, made, latest)?;
        destination.makes_nothing_above(request.rule.is_some());
        Ok(Self { request, destination, chown, chmod, now, latest, several: false, spool: None })
    }

    /// Whether `to` says that it is a directory.
    fn names_directory(&self) -> bool {
        let to = &self.request.to;
        to.ends_with('/') || to.ends_with("/.") || to == "."
    }

    fn place(&mut self, source: &Source<'_>) -> Result<()> {
        match source {
            Source::Directory => self.destination.directory(ROOT, self.request.to.as_bytes()).map(|_| ()),
            Source::Inline { name, content, mode } => {
                let body = Body::File(Content::Bytes(content.as_bytes().into()));
                let new = self.item(body, *mode, self.now, Owner::default());
                self.file(name.as_bytes(), new)
            }
            Source::File { name, file, mode, mtime, unpack } => {
                if *unpack && self.unpack(file)? {
                    return Ok(());
                }
                if self.request.rule.is_some() {
                    return Err(Error::new(Kind::Corrupt, "what is to be unpacked is not a tar"));
                }
                let size = file.metadata().map_err(|error| Error::io("fstat()", &error))?.len();
                let body = Body::File(Content::Range { file: Arc::clone(file), offset: 0, size });
                let new = self.item(body, *mode, mtime.unwrap_or(self.now), Owner::default());
                self.file(name.as_bytes(), new)
            }
            Source::Match { stack, found, unpack, ordinal } => self.matched(stack, found, *unpack, *ordinal),
        }
    }

    fn matched(&mut self, stack: &Arc<Stack>, found: &Match, unpack: bool, ordinal: u64) -> Result<()> {
        let mut opener = Opener::new(stack);
        let to = self.request.to.as_bytes();
        if let (true, Some(_), [only]) = (found.parents, self.request.rule, &*found.nodes) {
            if only.kind != FileType::Directory {
                let new = self.new_of(stack, &mut opener, only, ordinal)?;
                return self.file(crate::layer::source::split(found.relative(only)).1, new);
            }
        }
        if found.parents {
            let top = self.destination.directory(ROOT, to)?;
            return self.below(stack, &mut opener, found, &found.nodes, top, ordinal);
        }
        let Some((first, rest)) = found.nodes.split_first() else {
            // An empty tree: a directory without anything in it.
            return self.destination.directory(ROOT, to).map(|_| ());
        };
        if first.kind != FileType::Directory {
            if unpack && first.kind == FileType::RegularFile {
                let file = File::from(opener.open(first.layer, &first.path, OFlags::RDONLY)?);
                if self.unpack(&file)? {
                    return Ok(());
                }
            }
            let new = self.new_of(stack, &mut opener, first, ordinal)?;
            return self.file(&found.name, new);
        }
        if let Some(rule) = self.request.rule {
            let new = self.new_of(stack, &mut opener, first, ordinal)?;
            let top = self.directory_as_cp(rule, found, new)?;
            return self.below(stack, &mut opener, found, rest, top, ordinal);
        }
        // The contents of a directory are copied. A destination that is not there is made as parents are, before anything
        // is copied: neither BuildKit nor buildah gives it the source's owner, mode or time.
        let top = match self.destination.locate(ROOT, to, true)? {
            Located::Directory(id) => id,
            Located::Missing { .. } => self.destination.directory(ROOT, to)?,
            Located::Other { .. } => return Err(self.no_directory(found)),
        };
        self.below(stack, &mut opener, found, rest, top, ordinal)
    }

    /// The directory that takes what is in the source.
    fn directory_as_cp(&mut self, rule: CopyRule, found: &Match, new: New) -> Result<Id> {
        match self.destination.locate(ROOT, self.request.to.as_bytes(), true)? {
            Located::Directory(id) if rule == CopyRule::Cp => self.destination.put_directory(id, found.name.clone(), new, Replace::Files),
            Located::Directory(id) => Ok(id),
            Located::Missing { parent, name } => self.destination.put_directory(parent, name, new, Replace::Files),
            Located::Other { .. } => Err(self.no_directory(found)),
        }
    }

    fn no_directory(&self, found: &Match) -> Error {
        let to = &self.request.to;
        let message = format!("cannot copy the directory {:?} to {to}: it is not a directory", shown(&found.listed));
        Error::new(Kind::NotDirectory, message).path(to.as_str())
    }

    /// Places nodes by their path below the source.
    fn below(&mut self, stack: &Arc<Stack>, opener: &mut Opener<'_>, found: &Match, nodes: &[Node], top: Id, ordinal: u64) -> Result<()> {
        // The directories that we are in, by their path.
        let mut way: Vec<(&[u8], Id)> = vec![(b"", top)];
        for node in nodes {
            let relative = found.relative(node);
            let (directory, name) = crate::layer::source::split(relative);
            while way.len() > 1 && way.last().is_some_and(|(path, _)| *path != directory) {
                way.pop();
            }
            let parent = way.last().map_or(top, |(_, id)| *id);
            let new = self.new_of(stack, opener, node, ordinal)?;
            if node.kind == FileType::Directory {
                let id = self.destination.put_directory(parent, name.to_vec(), new, Replace::Files)?;
                way.push((relative, id));
            } else {
                self.destination.put(parent, name.to_vec(), new, Replace::Files)?;
            }
        }
        Ok(())
    }

    /// Puts one file at the destination, or into it.
    fn file(&mut self, name: &[u8], new: New) -> Result<()> {
        let to = self.request.to.as_bytes();
        if self.names_directory() {
            let directory = self.destination.directory(ROOT, to)?;
            return self.destination.put(directory, name.to_vec(), new, Replace::Files).map(|_| ());
        }
        let (parent, name) = match self.destination.locate(ROOT, to, true)? {
            Located::Directory(id) => (id, name.to_vec()),
            Located::Missing { .. } | Located::Other { .. } if self.several => {
                let to = &self.request.to;
                return Err(Error::new(Kind::NotDirectory, format!("cannot copy several sources to {to}: it is not a directory"))
                    .path(to.as_str())
                    .hint(format!("Write {to}/ to make it one.")));
            }
            Located::Missing { parent, name } | Located::Other { parent, name } => (parent, name),
        };
        self.destination.put(parent, name, new, Replace::Files).map(|_| ())
    }

    fn new_of(&self, stack: &Arc<Stack>, opener: &mut Opener<'_>, node: &Node, ordinal: u64) -> Result<New> {
        let origin = Origin { stack: Arc::clone(stack), layer: node.layer, path: node.path.clone() };
        let mut xattrs = Attributes::none();
        let body = match node.kind {
            FileType::Directory => {
                xattrs = Attributes::Of(origin);
                Body::Directory { opaque: false }
            }
            FileType::RegularFile => {
                xattrs = Attributes::Of(origin.clone());
                Body::File(Content::Origin { origin, size: node.size })
            }
            FileType::Symlink => Body::Symlink(opener.read_link(node.layer, &node.path)?.into()),
            FileType::Fifo => Body::Fifo,
            kind => Body::Device(kind, node.rdev),
        };
        let mut new = self.item(body, node.mode, node.mtime, Owner { uid: node.uid, gid: node.gid });
        new.xattrs = xattrs;
        if node.kind == FileType::RegularFile && node.nlink > 1 {
            // Within one source, as in BuildKit. Layers of a tree have inodes of their own.
            new.group = Some((ordinal << 16 | u64::from(node.layer), node.dev, node.ino));
        }
        Ok(new)
    }

    /// Applies `--chown`, `--chmod` and the epoch.
    fn item(&self, body: Body, mode: u32, mtime: i64, owner: Owner) -> New {
        let Owner { uid, gid } = self.chown.unwrap_or(owner);
        let is_directory = matches!(body, Body::Directory { .. });
        let mode = match (&self.chmod, &body) {
            (Some(chmod), body) if !matches!(body, Body::Symlink(_)) => chmod.apply(mode, is_directory),
            _ => mode,
        };
        New { body, mode, uid, gid, mtime: mtime.min(self.latest), xattrs: Attributes::none(), group: None }
    }

    /// Unpacks an archive into the destination, which is a directory then. `false`: it is none.
    fn unpack(&mut self, file: &File) -> Result<bool> {
        if !is_archive(file)? {
            return Ok(false);
        }
        // No --chmod counts for an archive, and so not for the directories that it needs.
        let usual = self.destination.made();
        self.destination.make_directories(Made { mode: 0o755, ..usual });
        let top = self.destination.directory(ROOT, self.request.to.as_bytes())?;
        // Nor does --chown for those that lie in the archive and are not listed there.
        self.destination.make_directories(Made { uid: 0, gid: 0, mode: 0o755, ..usual });
        let spool = match &self.spool {
            Some(spool) => Arc::clone(spool),
            None => Arc::clone(self.spool.insert(Arc::new(spool_file(self.request)?))),
        };
        let rules = Rules { chown: self.chown, latest: self.latest };
        add::unpack(file, &mut self.destination, top, &rules, &spool)?;
        self.destination.make_directories(usual);
        Ok(true)
    }
}

/// A file without a name, beside what will be written.
fn spool_file(request: &Copy) -> Result<File> {
    let place = request.tree.clone().or_else(|| request.layer.as_ref().map(|layer| beside(&layer.blob))).or_else(|| request.plain.clone());
    let Some(place) = place else { return Err(Error::new(Kind::Request, "the copy has neither tree nor layer")) };
    let directory = open_directory(&place)?;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = match openat(&directory, ".", flags, Mode::from_raw_mode(0o600)) {
        // Not every file system has files without a name.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT) => {
            rustix::fs::memfd_create("spool", rustix::fs::MemfdFlags::CLOEXEC).map_err(|errno| Error::call("memfd_create()", errno))?
        }
        other => other.map_err(|errno| Error::call("openat(\".\", O_TMPFILE)", errno))?,
    };
    Ok(File::from(file))
}

/// The directory of a place.
fn beside(place: &Place) -> Place {
    let directory = place.path.as_deref().and_then(|path| path.rsplit_once('/')).map(|(directory, _)| directory.to_owned());
    Place { fd: place.fd, path: directory }
}
