//! The walk below one directory: on several threads, in one order.

use super::Node;
use crate::error::{Error, Kind, Result};
use crate::overlay::{Entry, Stack, is_whiteout};
use crate::pattern::{Glob, PatternList, Verdict};
use rustix::fs::FileType;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Condvar, Mutex, PoisonError};

/// What a walk leaves out.
pub struct Filter<'a> {
    /// Judges paths from the root of the tree.
    pub ignore: &'a PatternList,
    /// Judges paths below the source.
    pub exclude: &'a PatternList,
    /// If any: only what it matches below the source, with all below that.
    pub include: Option<&'a Glob>,
    /// How much of a path leads to the source.
    pub root: usize,
    /// An overlay upper: whiteouts are what is looked for.
    pub whiteouts: bool,
}

/// Pending directories above which more threads are worth their start.
const WORTH_THREADS: usize = 4;
const MOST_THREADS: usize = 8;

/// The chosen nodes at and below `start`, directories before what they hold, names sorted by bytes. A directory
/// that is itself left out is there if something below it is chosen. Empty if nothing is.
pub fn walk(stack: &Stack, start: &Entry, filter: &Filter<'_>) -> Result<Vec<Node>> {
    let real = start.path.as_os_str().as_bytes();
    let ignored = filter.ignore.judge_whole(real);
    let state = State { ignored, excluded: Verdict::default(), included: filter.include.is_none() };
    let is_chosen = !filter.ignore.is_excluded(ignored) && state.included;
    let work = Work { stack, filter, queue: Mutex::default(), changed: Condvar::new() };
    if may_hold(filter, real, &[], &state) {
        work.run(start.clone(), state)?;
    }
    let queue = work.queue.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut listings = queue.listings;
    let mut nodes = vec![Node::of(start)];
    let found = listings.first_mut().and_then(Option::take).is_some_and(|children| gather(children, &mut listings, &mut nodes));
    if !found && !is_chosen {
        nodes.clear();
    }
    Ok(nodes)
}

/// What is known of a directory when its children are judged.
#[derive(Clone, Copy)]
struct State {
    ignored: Verdict,
    excluded: Verdict,
    included: bool,
}

/// Whether something below a directory can be chosen.
fn may_hold(filter: &Filter<'_>, real: &[u8], relative: &[u8], state: &State) -> bool {
    (!filter.ignore.is_excluded(state.ignored) || filter.ignore.may_include_below(real, state.ignored))
        && (!filter.exclude.is_excluded(state.excluded) || filter.exclude.may_include_below(relative, state.excluded))
        && (state.included || filter.include.is_none_or(|include| include.may_match_below(relative)))
}

struct Listed {
    node: Node,
    is_chosen: bool,
    /// Where in `listings` its children are.
    children: Option<usize>,
}

#[derive(Default)]
struct Queue {
    pending: Vec<(usize, Entry, State)>,
    listings: Vec<Option<Vec<Listed>>>,
    busy: usize,
    failure: Option<Error>,
}

struct Work<'a> {
    stack: &'a Stack,
    filter: &'a Filter<'a>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Work<'_> {
    fn run(&self, start: Entry, state: State) -> Result<()> {
        {
            let mut queue = self.lock();
            queue.listings.push(None);
            queue.pending.push((0, start, state));
        }
        let threads = crate::compress::threads().min(MOST_THREADS);
        // Few directories are walked faster than threads are started.
        self.work(if threads > 1 { WORTH_THREADS } else { usize::MAX });
        if !self.lock().pending.is_empty() {
            std::thread::scope(|scope| {
                for _ in 1..threads {
                    scope.spawn(|| self.work(usize::MAX));
                }
                self.work(usize::MAX);
            });
        }
        match self.lock().failure.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Lists directories until none is left, or until more than `limit` wait.
    fn work(&self, limit: usize) {
        loop {
            let (index, directory, state) = {
                let mut queue = self.lock();
                loop {
                    if queue.failure.is_some() || queue.pending.len() > limit {
                        return;
                    }
                    // The last one: depth first keeps few directories open.
                    if let Some(next) = queue.pending.pop() {
                        queue.busy += 1;
                        break next;
                    }
                    if queue.busy == 0 {
                        return;
                    }
                    queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
            };
            let listed = self.list(&directory, state);
            let mut queue = self.lock();
            queue.busy -= 1;
            match listed {
                Err(error) => queue.failure = Some(error),
                Ok(listed) => {
                    let mut children = Vec::with_capacity(listed.len());
                    for (node, is_chosen, below) in listed {
                        let children_at = below.map(|(entry, state)| {
                            let at = queue.listings.len();
                            queue.listings.push(None);
                            queue.pending.push((at, entry, state));
                            at
                        });
                        children.push(Listed { node, is_chosen, children: children_at });
                    }
                    queue.listings[index] = Some(children);
                }
            }
            drop(queue);
            self.changed.notify_all();
        }
    }

    #[allow(clippy::type_complexity)] // a child, whether it is chosen, and what to list below it
    fn list(&self, directory: &Entry, above: State) -> Result<Vec<(Node, bool, Option<(Entry, State)>)>> {
        let filter = self.filter;
        let mut listed = Vec::new();
        for entry in self.stack.list(directory)? {
            let kind = entry.kind();
            // A socket is nothing without its process; a whiteout in a plain directory would hide a file.
            if kind == FileType::Socket || (is_whiteout(&entry.stat) && !filter.whiteouts) {
                continue;
            }
            let real = entry.path.as_os_str().as_bytes();
            let relative = real.get(filter.root..).unwrap_or_default();
            if real.len() > MOST_PATH {
                return Err(Error::new(Kind::TooLarge, "a path is longer than 4,000 bytes").path(entry.path.to_string_lossy()));
            }
            let state = State {
                ignored: if filter.ignore.is_empty() { above.ignored } else { filter.ignore.judge(real, above.ignored) },
                excluded: if filter.exclude.is_empty() { above.excluded } else { filter.exclude.judge(relative, above.excluded) },
                included: above.included || filter.include.is_some_and(|include| include.matches(relative)),
            };
            let is_chosen = state.included && !filter.ignore.is_excluded(state.ignored) && !filter.exclude.is_excluded(state.excluded);
            let enter = kind == FileType::Directory && may_hold(filter, real, relative, &state);
            if is_chosen || enter {
                let node = Node::of(&entry);
                listed.push((node, is_chosen, enter.then_some((entry, state))));
            }
        }
        Ok(listed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longest path that is opened later on.
const MOST_PATH: usize = 4000;

/// Puts what was listed in walk order, without directories in which nothing is chosen.
fn gather(children: Vec<Listed>, listings: &mut [Option<Vec<Listed>>], nodes: &mut Vec<Node>) -> bool {
    let mut any = false;
    for Listed { node, is_chosen, children } in children {
        let at = nodes.len();
        nodes.push(node);
        let below = children.and_then(|index| listings[index].take());
        let found = below.is_some_and(|below| gather(below, listings, nodes));
        if found || is_chosen {
            any = true;
        } else {
            nodes.truncate(at);
        }
    }
    any
}
