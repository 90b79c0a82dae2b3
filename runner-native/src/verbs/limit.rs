//! The verb `limit`: other limits for a container that runs.

use crate::cgroup::{self, Cgroup};
use crate::container::plan;
use crate::container::state::Directory;
use crate::error::Result;
use crate::wire::container::{ContainerState, Limit};

pub fn limit(request: &Limit) -> Result<()> {
    let directory = Directory::open(&request.container.directory)?;
    let (state, pid, _pidfd) = directory.process()?;
    let mut groups = Cgroup::of_container(&state).unwrap_or_else(|| Cgroup::from_text(""));
    let before = groups.clone();
    let name = format!("stave-limit-{pid}-{}", state.pid_start.unwrap_or_default());
    groups.change(&plan::resources_of(&request.resources), &name, &|| cgroup::processes(pid))?;
    if groups == before {
        return Ok(());
    }
    // Whoever removes its groups must know the new ones. One that has ended meanwhile is left as it is.
    directory.change(|state| ContainerState { cgroup: Some(groups.to_text()), ..state }).inspect_err(|_| {
        groups.remove();
    })
}
