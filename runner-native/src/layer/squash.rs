//! What several layers change together, as one: the view with them is compared with the view of what is below them.
//!
//! Only directories that one of them takes part in are looked at. What they made and removed again leaves no trace;
//! what they hide of the lower layers stays hidden.

use crate::error::{Error, Result};
use crate::layer::create::create;
use crate::layer::diff::Differ;
use crate::layer::item::{Attributes, Body, Item, Origin};
use crate::overlay::{Entry, Stack};
use crate::select::Node;
use crate::wire::event::Events;
use crate::wire::layer::{LayerOutput, LayerResult};
use rustix::fs::OFlags;
use std::cmp::Ordering;
use std::iter::Peekable;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::vec::IntoIter;

/// Makes a layer of the `uppers` topmost layers of `all`; the others are `lowers`.
pub fn squash(all: Stack, uppers: usize, lowers: &Stack, layer: &LayerOutput, events: &Events) -> Result<LayerResult> {
    let items = changes(all, uppers, lowers, layer.epoch)?;
    create(&items, None, Some(layer), events)?.ok_or_else(|| Error::new(crate::error::Kind::Io, "no layer was made"))
}

/// A directory that we are in: what is left of it, above and below, by name.
struct Level {
    above: Peekable<IntoIter<Entry>>,
    below: Peekable<IntoIter<Entry>>,
    node: Node,
    /// Where its item is, if nothing about the directory itself has changed.
    kept_by_children: Option<usize>,
}

fn changes(all: Stack, uppers: usize, lowers: &Stack, epoch: Option<i64>) -> Result<Vec<Item>> {
    let all = Arc::new(all);
    let mut differ = Differ::new(&all);
    let mut items: Vec<Item> = Vec::new();
    let clamped = |mtime: i64| epoch.map_or(mtime, |epoch| mtime.min(epoch));
    let enter = |directory: &Entry, below: Option<&Entry>, kept_by_children| -> Result<Level> {
        let below = below.map_or_else(|| Ok(Vec::new()), |below| lowers.list(below))?;
        Ok(Level {
            above: all.list(directory)?.into_iter().peekable(),
            below: below.into_iter().peekable(),
            node: Node::of(directory),
            kept_by_children,
        })
    };
    let Some(root) = all.root()? else { return Ok(items) };
    let mut way = vec![enter(&root, lowers.root()?.as_ref(), None)?];
    while let Some(level) = way.last_mut() {
        let (above, below) = match (level.above.peek(), level.below.peek()) {
            (None, None) => {
                if level.kept_by_children.is_some_and(|at| at + 1 == items.len()) {
                    items.pop();
                }
                way.pop();
                continue;
            }
            (Some(_), None) => (level.above.next(), None),
            (None, Some(_)) => (None, level.below.next()),
            (Some(above), Some(below)) => match above.name.cmp(&below.name) {
                Ordering::Less => (level.above.next(), None),
                Ordering::Equal => (level.above.next(), level.below.next()),
                Ordering::Greater => (None, level.below.next()),
            },
        };
        let Some(entry) = above else {
            if let Some(hidden) = below {
                let path = hidden.path.as_os_str().as_bytes().into();
                let (mode, uid, gid, mtime) = (0, level.node.uid, level.node.gid, clamped(level.node.mtime));
                items.push(Item { path, body: Body::Whiteout, mode, uid, gid, mtime, xattrs: Attributes::none() });
            }
            continue;
        };
        if entry.layer >= uppers {
            continue;
        }
        let node = Node::of(&entry);
        let origin = Origin { stack: Arc::clone(&all), layer: node.layer, path: node.path.clone() };
        let mut next = None;
        let (body, xattrs) = if entry.is_directory() {
            let below = below.filter(Entry::is_directory);
            let opaque = below.is_some() && entry.lowest() < uppers;
            let below = below.filter(|_| !opaque);
            let unchanged = match &below {
                Some(below) => Differ::is_same_directory(&node, &entry.open(OFlags::RDONLY | OFlags::DIRECTORY)?, below)?,
                None => false,
            };
            next = Some(enter(&entry, below.as_ref(), unchanged.then_some(items.len()))?);
            (Body::Directory { opaque }, Attributes::Of(origin))
        } else {
            match differ.body(&node, &origin, below.as_ref(), items.len())? {
                Some(made) => made,
                None => continue,
            }
        };
        let mtime = clamped(node.mtime);
        items.push(Item { path: node.path, body, mode: node.mode, uid: node.uid, gid: node.gid, mtime, xattrs });
        way.extend(next);
    }
    Ok(items)
}
