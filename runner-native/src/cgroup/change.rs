//! Other limits for groups that are there.

use super::find::Hierarchies;
use super::limits::{Setting, settings};
use super::{Cgroup, Location, cannot_limit, check_names, write, write_all};
use crate::error::{Error, Kind, Result};
use crate::wire::config::Resources;

impl Cgroup {
    /// Changes the limits of groups that are there.
    ///
    /// # Errors
    /// `Kind::Isolation` if one cannot be set.
    pub fn update(&self, resources: &Resources) -> Result<()> {
        for setting in &settings(resources) {
            if !self.set(setting)? {
                let error = Error::new(Kind::Isolation, format!("the container has no {} control group", setting.controller));
                return Err(cannot_limit(setting.what, error));
            }
        }
        Ok(())
    }

    /// The same; where a group is missing it is made, under `name`, and all processes are put into it.
    ///
    /// # Errors
    /// `Kind::Isolation` if a limit cannot be set.
    pub fn change(&mut self, resources: &Resources, name: &str, processes: &dyn Fn() -> Result<Vec<i32>>) -> Result<()> {
        let mut missing = Vec::new();
        for setting in settings(resources) {
            if !self.set(&setting)? {
                missing.push(setting);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let members = processes()?;
        let mut added = Self { groups: Vec::new() };
        let made = added.make_for(&missing, name).and_then(|()| added.take_in(members, processes));
        if let Err(error) = made {
            added.remove();
            return Err(error);
        }
        self.groups.append(&mut added.groups);
        Ok(())
    }

    /// Sets it if there is a group for it, and says whether there is.
    fn set(&self, setting: &Setting) -> Result<bool> {
        let Some(group) = self.group_of(setting.controller) else { return Ok(false) };
        let files = if group.is_unified() { &setting.unified } else { &setting.legacy };
        check_names(files)?;
        // The outer one first: the inner one has no more than that.
        for directory in group.directories().collect::<Vec<_>>().into_iter().rev() {
            if let Some(above) = directory.parent().filter(|_| group.is_unified()) {
                // Where it is at work already, or not to be had, what is written next says so.
                let _ = write(above, "cgroup.subtree_control", &format!("+{}", super::unified_name(setting.controller)));
            }
            write_all(directory, files, &mut Vec::new()).map_err(|error| cannot_limit(setting.what, error))?;
        }
        Ok(true)
    }

    fn make_for(&mut self, missing: &[Setting], name: &str) -> Result<()> {
        let hierarchies = Hierarchies::find();
        let needed: Vec<&str> = missing.iter().map(|setting| setting.controller).collect();
        let location = Location::Beside(name.to_owned());
        missing.iter().try_for_each(|setting| self.apply(&hierarchies, setting, &needed, &location, &mut Vec::new()))
    }

    /// Those that are made while the others are moved are made where their parents are: once more, they are all in.
    fn take_in(&self, members: Vec<i32>, processes: &dyn Fn() -> Result<Vec<i32>>) -> Result<()> {
        let mut moved = Vec::new();
        let mut next = members;
        for _ in 0..8 {
            for pid in &next {
                // One that has ended is in no group.
                let _ = self.add(*pid);
            }
            moved.append(&mut next);
            next = processes()?.into_iter().filter(|pid| !moved.contains(pid)).collect();
            if next.is_empty() {
                break;
            }
        }
        Ok(())
    }
}
