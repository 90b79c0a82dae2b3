//! What COPY chooses from a tree: sources, patterns, links, ignore files and `--exclude` become lists of nodes.

mod modes;
mod near;
mod walk;

use crate::error::{Error, Kind, Result};
use crate::overlay::{Entry, Stack};
use crate::pattern::{Component, Glob, PatternList, clean, has_wildcard};
use crate::wire::tree::Selection;
use rustix::fs::{FileType, Stat};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use walk::Filter;

/// One chosen file, directory, link or device.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it lies: relative to the tree's root, without links; empty for the root.
    pub path: Box<[u8]>,
    /// In which of the stack's layers.
    pub layer: u32,
    pub kind: FileType,
    /// Permission, set-id and sticky bits, as the copy has them.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub rdev: u64,
    pub nlink: u64,
    pub dev: u64,
    pub ino: u64,
    pub mtime: i64,
    pub mtime_nanoseconds: u32,
    pub ctime: i64,
    pub ctime_nanoseconds: u32,
}

/// What one source, or one match of its pattern, gives.
#[derive(Debug)]
pub struct Match {
    /// The name that it gets inside a destination directory: as it was written, links not followed.
    pub name: Vec<u8>,
    /// Its path as it was written or matched; empty for the root of the tree.
    pub listed: Vec<u8>,
    /// How much of each node's path leads to the source: the rest is relative to it.
    pub root: usize,
    /// `--parents`: every node is placed by its path below the pivot.
    pub parents: bool,
    /// In walk order. The first is the source itself, unless `parents`.
    pub nodes: Vec<Node>,
}

/// What a selection chooses.
#[derive(Debug)]
pub struct Chosen {
    pub stack: Stack,
    pub matches: Vec<Match>,
    /// Sources with a wildcard that matched nothing.
    pub unmatched: Vec<String>,
}

impl Match {
    /// A node's path below the source; empty for the source itself.
    pub fn relative<'a>(&self, node: &'a Node) -> &'a [u8] {
        node.path.get(self.root..).unwrap_or_default()
    }
}

impl Node {
    /// What an entry of a stack is.
    pub fn of(entry: &Entry) -> Self {
        Self::new(&entry.path, entry.layer, &entry.stat)
    }

    pub fn new(path: &Path, layer: usize, stat: &Stat) -> Self {
        Self {
            path: path.as_os_str().as_bytes().into(),
            layer: layer as u32,
            kind: FileType::from_raw_mode(stat.st_mode),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: stat.st_size as u64,
            rdev: stat.st_rdev as _,
            nlink: stat.st_nlink as _,
            dev: stat.st_dev as _,
            ino: stat.st_ino as _,
            mtime: stat.st_mtime as _,
            mtime_nanoseconds: stat.st_mtime_nsec as _,
            ctime: stat.st_ctime as _,
            ctime_nanoseconds: stat.st_ctime_nsec as _,
        }
    }
}

/// Finds everything that the selection names.
///
/// # Errors
/// `Kind::NotFound` for a source without a wildcard that does not exist, or that the ignore file excludes: then
/// with the line that does.
pub fn choose(selection: &Selection) -> Result<Chosen> {
    let stack = Stack::open(&selection.from)?;
    let ignore = PatternList::of_ignore_file(selection.ignore.as_deref().unwrap_or_default())?;
    let exclude = PatternList::of_flags(selection.exclude.as_deref().unwrap_or_default())?;
    let chooser = Chooser { stack: &stack, ignore: &ignore, exclude: &exclude, selection };
    let (mut matches, mut unmatched) = (Vec::new(), Vec::new());
    for source in &selection.sources {
        let found = if selection.parents { chooser.with_parents(source)? } else { chooser.matches(source)? };
        if found.is_empty() {
            unmatched.push(source.clone());
        }
        matches.extend(found);
    }
    Ok(Chosen { stack, matches, unmatched })
}

/// All that an overlay upper holds, whiteouts included, in walk order; the root first.
pub fn everything(upper: &Stack) -> Result<Vec<Node>> {
    let none = PatternList::default();
    let Some(root) = upper.root()? else { return Ok(Vec::new()) };
    walk::walk(upper, &root, &Filter { ignore: &none, exclude: &none, include: None, root: 0, whiteouts: true })
}

struct Chooser<'a> {
    stack: &'a Stack,
    ignore: &'a PatternList,
    exclude: &'a PatternList,
    selection: &'a Selection,
}

impl Chooser<'_> {
    fn is_pattern(&self, source: &str) -> bool {
        !self.selection.literal && has_wildcard(source)
    }

    /// The matches of one source. None: a wildcard that matched nothing.
    fn matches(&self, source: &str) -> Result<Vec<Match>> {
        let cleaned = clean(source);
        if !self.is_pattern(&cleaned) {
            let path = if self.selection.literal || !cleaned.contains('\\') { cleaned.into_bytes() } else { unescape(&cleaned)? };
            return match self.source(&path, false)? {
                Some(found) => Ok(vec![found]),
                None => Err(self.missing(source, &path)),
            };
        }
        let mut found = Vec::new();
        self.expand(&cleaned, &mut found)?;
        found.into_iter().filter_map(|path| self.source(&path, true).transpose()).collect()
    }

    /// Paths that a pattern matches. Links are followed before its first wildcard only, as in BuildKit.
    fn expand(&self, pattern: &str, found: &mut Vec<Vec<u8>>) -> Result<()> {
        let components: Vec<&str> = pattern.split('/').collect();
        let fixed = components.iter().take_while(|component| !has_wildcard(component)).count();
        let mut prefix = Vec::new();
        for component in &components[..fixed] {
            push_component(&mut prefix, &unescape(component)?);
        }
        let rest = components[fixed..].iter().map(|component| Component::new(component)).collect::<Result<Vec<_>>>()?;
        match self.stack.lookup(path(&prefix), true)? {
            Some(directory) if directory.is_directory() => self.expand_below(&directory, &prefix, &rest, found),
            _ => Ok(()),
        }
    }

    fn expand_below(&self, directory: &Entry, listed: &[u8], components: &[Component], found: &mut Vec<Vec<u8>>) -> Result<()> {
        let Some((component, rest)) = components.split_first() else { return Ok(()) };
        let entries = match component.literal() {
            Some(name) => self.stack.child(directory, OsStr::from_bytes(&name))?.into_iter().collect(),
            None => self.stack.list(directory)?,
        };
        for entry in entries {
            if !component.matches(entry.name.as_bytes()) {
                continue;
            }
            let mut listed = listed.to_vec();
            push_component(&mut listed, entry.name.as_bytes());
            if rest.is_empty() {
                found.push(listed);
            } else if entry.is_directory() {
                let real = entry.path.as_os_str().as_bytes();
                let verdict = self.ignore.judge_whole(real);
                if !self.ignore.is_excluded(verdict) || self.ignore.may_include_below(real, verdict) {
                    self.expand_below(&entry, &listed, rest, found)?;
                }
            }
        }
        Ok(())
    }

    /// What lies at a path, with everything below. `None`: nothing, or nothing that is not ignored.
    fn source(&self, listed: &[u8], matched: bool) -> Result<Option<Match>> {
        let name = listed.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
        // A wildcard's match is excluded by its own name: `COPY --exclude=*.txt * /`. What is named in full is wanted.
        if matched && self.exclude.is_excluded(self.exclude.judge_whole(&name)) {
            return Ok(None);
        }
        let entry = match self.stack.lookup(path(listed), true)? {
            // A wildcard also meets dangling links: these are copied as they are.
            None if matched => self.stack.lookup(path(listed), false)?,
            other => other,
        };
        let Some(entry) = entry else {
            // The empty tree (`FROM scratch`) has not even a root, but to copy all of it is no mistake.
            return Ok(listed.is_empty().then(|| Match { name, listed: Vec::new(), root: 0, parents: false, nodes: Vec::new() }));
        };
        if self.is_link_ignored(listed, &entry)? {
            return Ok(None);
        }
        let real = entry.path.as_os_str().as_bytes();
        let root = if real.is_empty() { 0 } else { real.len() + 1 };
        let filter = Filter { ignore: self.ignore, exclude: self.exclude, include: None, root, whiteouts: false };
        let nodes = match entry.kind() {
            FileType::Directory => walk::walk(self.stack, &entry, &filter)?,
            FileType::Socket if matched => Vec::new(),
            FileType::Socket => {
                let message = format!("{:?} is a socket, which is nothing without its process", String::from_utf8_lossy(listed));
                return Err(Error::new(Kind::Unsupported, message).hint("Name what is beside it, or leave the source out."));
            }
            _ if self.ignore.is_excluded(self.ignore.judge_whole(real)) => Vec::new(),
            _ => vec![Node::of(&entry)],
        };
        let nodes = self.normalised(nodes);
        Ok((!nodes.is_empty()).then(|| Match { name, listed: listed.to_vec(), root, parents: false, nodes }))
    }

    /// Whether a link that leads to the source is itself ignored: then it is not in the context.
    fn is_link_ignored(&self, listed: &[u8], entry: &Entry) -> Result<bool> {
        if self.ignore.is_empty() || entry.path.as_os_str().as_bytes() == listed {
            return Ok(false);
        }
        match self.stack.lookup(path(listed), false)? {
            Some(link) if link.kind() == FileType::Symlink => {
                Ok(self.ignore.is_excluded(self.ignore.judge_whole(link.path.as_os_str().as_bytes())))
            }
            _ => Ok(false),
        }
    }

    /// `--parents`: what the source matches below its pivot, with the directories between.
    fn with_parents(&self, source: &str) -> Result<Vec<Match>> {
        let (pivot, rest) = source.split_once("/./").unwrap_or(("", source));
        let (pivot, rest) = (clean(pivot), clean(rest));
        let is_pattern = self.is_pattern(&rest);
        let include = match rest.as_str() {
            "" => None,
            _ if self.selection.literal => Some(Glob::literal(rest.as_bytes())),
            _ => Some(Glob::new(&rest)?),
        };
        let mut directories = Vec::new();
        if self.is_pattern(&pivot) {
            self.expand(&pivot, &mut directories)?;
        } else {
            directories.push(pivot.into_bytes());
        }
        let mut found = Vec::new();
        for pivot in directories {
            let Some(entry) = self.stack.lookup(path(&pivot), true)?.filter(Entry::is_directory) else { continue };
            let real = entry.path.as_os_str().as_bytes();
            let root = if real.is_empty() { 0 } else { real.len() + 1 };
            let filter = Filter { ignore: self.ignore, exclude: self.exclude, include: include.as_ref(), root, whiteouts: false };
            let mut nodes = self.normalised(walk::walk(self.stack, &entry, &filter)?);
            // The pivot itself is not placed: what lies below it is.
            nodes.retain(|node| node.path.len() >= root.max(1));
            if !nodes.is_empty() {
                found.push(Match { name: Vec::new(), listed: pivot, root, parents: true, nodes });
            }
        }
        if found.is_empty() && !is_pattern && !self.is_pattern(source) {
            return Err(self.missing(source, clean(source).as_bytes()));
        }
        Ok(found)
    }

    fn normalised(&self, mut nodes: Vec<Node>) -> Vec<Node> {
        if self.selection.reset_owner {
            for node in &mut nodes {
                (node.uid, node.gid) = (0, 0);
                node.mode = modes::normal(node, self.selection.modes);
            }
        }
        nodes
    }

    fn missing(&self, source: &str, cleaned: &[u8]) -> Error {
        let verdict = self.ignore.judge_whole(cleaned);
        let is_ignored = self.ignore.is_excluded(verdict);
        let mut error = if is_ignored {
            Error::new(Kind::NotFound, format!("{source:?} is excluded by the ignore file"))
        } else {
            Error::new(Kind::NotFound, format!("{source:?} does not exist"))
        };
        error.ignored_by = self.ignore.line(verdict).filter(|_| is_ignored);
        let hidden = |path: &[u8]| self.ignore.is_excluded(self.ignore.judge_whole(path));
        match near::near(self.stack, cleaned, hidden).filter(|_| !is_ignored) {
            Some(meant) => error.path(source).hint(format!("Did you mean {meant}?")),
            None => error.path(source),
        }
    }
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn push_component(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// The path that a source without wildcards names: its backslashes escape.
fn unescape(source: &str) -> Result<Vec<u8>> {
    let mut path = Vec::new();
    for component in source.split('/') {
        push_component(&mut path, &Component::new(component)?.literal().unwrap_or_default());
    }
    Ok(path)
}

#[cfg(test)]
mod tests;
