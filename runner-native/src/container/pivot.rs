//! Making a root that is mounted the root of a process.

use crate::container::dev::Nodes;
use crate::container::hooks;
use crate::container::mounts::Mounts;
use crate::container::plan::Plan;
use crate::container::system::{self, System};
use crate::container::targets::Targets;
use crate::container::tty;
use crate::error::{Error, Result};
use crate::mount::{attach, clone_tree, protect};
use crate::sys::mount::set_attributes;
use crate::wire::channel::{Channel, Message};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};

/// Mounts everything and makes it the root. Gives the container's side of its terminal, if it has one.
pub fn enter(plan: &Plan, root: Option<&OwnedFd>, mounts: Mounts, channel: &Channel) -> Result<Option<OwnedFd>> {
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|errno| Error::call("mount(\"/\", MS_SLAVE|MS_REC)", errno))?;
    let own;
    let root = if let Some(root) = root {
        root
    } else {
        own = copy_root(plan)?;
        &own
    };
    // What must be attached somewhere goes on top of the old root, which is out of sight and goes away as a whole.
    let old = openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::call("openat(\"/\")", errno))?;
    mounts.stage(&old)?;
    let nodes = Nodes::new(plan, old.as_fd())?;
    // Hooks that come into this namespace look for the root where the configuration has it.
    attach(root, place_of_root(plan).unwrap_or(old))?;
    let mut targets = Targets::new(root.as_fd())?;
    let made = system::mount(plan, &nodes, mounts, &mut targets);
    channel.send(&Message::Created { created: std::mem::take(&mut targets.created) }, None)?;
    let system = made?;
    let terminal = open_terminal(plan, &system, channel)?;
    if plan.stops() {
        channel.stop(&Message::Ready {})?;
    }
    hooks::run_inside("createContainer", &plan.config.hooks.create_container, plan, "creating")?;
    system.set_sysctls(&plan.config.linux.sysctl)?;
    system::cover(root.as_fd(), &plan.config.linux.masked_paths, &plan.config.linux.readonly_paths)?;

    rustix::process::fchdir(root).map_err(|errno| Error::call("fchdir(root)", errno))?;
    rustix::process::pivot_root(".", ".").map_err(|errno| Error::call("pivot_root(\".\", \".\")", errno))?;
    leave_old_root(root)?;
    rustix::process::chdir("/").map_err(|errno| Error::call("chdir(\"/\")", errno))?;
    if let Some((flag, below)) = plan.propagation {
        set_attributes(root, 0, 0, flag, below)?;
    }
    if plan.config.root.as_ref().is_some_and(|root| root.readonly) {
        protect(root, false)?;
    }
    Ok(terminal)
}

/// Where a `config.json` has its root, if this process may go there.
fn place_of_root(plan: &Plan) -> Option<OwnedFd> {
    let path = plan.config.root.as_ref().map(|root| root.path.as_str()).filter(|path| path.starts_with('/'))?;
    crate::root::host(path).ok()
}

/// The directory of the root with all that is mounted in it, attached to nothing, and what is mounted in it from now on
/// shows nowhere else.
///
/// # Errors
/// Of the kernel: `EPERM` outside a mount namespace that is this user's.
pub fn copy_root(plan: &Plan) -> Result<OwnedFd> {
    let path = plan.config.root.as_ref().map_or("", |root| root.path.as_str());
    let root = clone_tree(crate::root::host(path)?, true).map_err(|error| error.context("cannot mount the root file system"))?;
    set_attributes(&root, plan.domain.attributes(), 0, libc::MS_SLAVE, true)?;
    Ok(root)
}

fn open_terminal(plan: &Plan, system: &System, channel: &Channel) -> Result<Option<OwnedFd>> {
    if plan.process.terminal { tty::open(system, plan.process.terminal_size, channel).map(Some) } else { Ok(None) }
}

/// Takes the old root away, and what was put on it, all of which now lies on top of the new one. Not counted but looked
/// at: as long as `..` of the root leads anywhere else, there is something left.
fn leave_old_root(root: &OwnedFd) -> Result<()> {
    let ours = mount_id(root.as_fd())?;
    loop {
        let above = openat(CWD, "/..", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::call("openat(\"/..\")", errno))?;
        if mount_id(above.as_fd())? == ours {
            return Ok(());
        }
        unmount(".", UnmountFlags::DETACH).map_err(|errno| Error::call("umount2(\".\", MNT_DETACH)", errno))?;
    }
}

fn mount_id(fd: BorrowedFd<'_>) -> Result<u64> {
    let stat = statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map_err(|errno| Error::call("statx(STATX_MNT_ID)", errno))?;
    Ok(stat.stx_mnt_id)
}
