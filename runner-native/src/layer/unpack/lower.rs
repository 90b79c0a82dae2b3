//! What lies below a layer that is being made: layers of the same job, for which it waits, above those that are there.

use super::{Place, Work, clone, poisoned};
use crate::erofs;
use crate::error::Result;
use crate::layer::extract::Below;
use crate::layer::index::Merged;
use crate::overlay::Stack;
use rustix::fd::OwnedFd;
use std::sync::OnceLock;
use std::thread::Scope;

/// The layers below one of the job's.
pub(super) struct Lower<'scope, 'env, 'a, View> {
    work: &'scope Work<'a>,
    scope: &'scope Scope<'scope, 'env>,
    index: usize,
    view: OnceLock<View>,
}

impl<'scope, 'env, 'a, View> Lower<'scope, 'env, 'a, View> {
    pub fn of(work: &'scope Work<'a>, scope: &'scope Scope<'scope, 'env>, index: usize) -> Self {
        Self { work, scope, index, view: OnceLock::new() }
    }
}

impl<View> Lower<'_, '_, '_, View> {
    fn any(&self) -> bool {
        self.index > 0 || !self.work.job.lowers.is_empty()
    }

    fn view(&self, make: impl FnOnce() -> Result<View>) -> Result<&View> {
        if let Some(view) = self.view.get() {
            return Ok(view);
        }
        let waits = self.work.progress.lock().map_err(|_| poisoned())?.done[..self.index].iter().any(|&done| !done);
        if waits {
            // While this thread waits another one takes its place, so that the layers below are sure to be worked on.
            self.work.employ(self.scope);
            self.work.wait_below(self.index)?;
        }
        let view = make()?;
        Ok(self.view.get_or_init(|| view))
    }

    fn lowers(&self) -> impl Iterator<Item = Result<OwnedFd>> {
        self.work.job.lowers.iter().map(clone)
    }
}

impl Below<Stack> for Lower<'_, '_, '_, Stack> {
    fn any(&self) -> bool {
        self.any()
    }

    fn view(&self) -> Result<&Stack> {
        self.view(|| {
            let made = self.work.places[..self.index].iter().rev().filter_map(|place| match place {
                Place::Tree(tree) => Some(clone(tree)),
                Place::Index { .. } => None,
            });
            Ok(Stack::of(made.chain(self.lowers()).collect::<Result<_>>()?))
        })
    }
}

impl Below<Merged> for Lower<'_, '_, '_, Merged> {
    fn any(&self) -> bool {
        self.any()
    }

    fn view(&self) -> Result<&Merged> {
        self.view(|| {
            let tables = self.work.tables.lock().map_err(|_| poisoned())?[..self.index].iter().rev().cloned().collect::<Option<_>>();
            let tables = tables.ok_or_else(|| erofs::inexpressible("a layer below it is not indexed"))?;
            Ok(Merged::new(tables, Stack::of(self.lowers().collect::<Result<_>>()?)))
        })
    }
}
