//! Making a container of a bundle, up to where its program starts.

use crate::cgroup::devices::{self, Rule};
use crate::cgroup::{Cgroup, Location, Wish};
use crate::container::capabilities::SYS_ADMIN;
use crate::container::hooks;
use crate::container::mounts::Mounts;
use crate::container::namespaces;
use crate::container::pivot;
use crate::container::plan::{Beside, IdMap, Ids, Plan, Source};
use crate::container::process::Stdio;
use crate::container::start::{self, Given, Maker, Moment, Started};
use crate::error::{Error, Kind, Result};
use crate::mount::clone_tree;
use crate::oci::Call;
use crate::oci::bundle::Bundle;
use crate::oci::console;
use crate::oci::store::{Container, Place, Record};
use crate::root;
use crate::sys::mount::set_id_map;
use crate::sys::{self, process};
use crate::userns::Maps;
use crate::wire::config::{DeviceRule, IdMapping, Resources};
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use serde_json::Value;

/// A container that was made.
pub struct Made {
    pub container: Container,
    pub started: Started,
}

/// How its maker goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Its program waits for `start`, and the maker is gone by then.
    Waits,
    /// It starts at once, and the maker is gone.
    Detached,
    /// It starts at once, and the maker waits for its end.
    Attended,
}

/// `create`.
pub fn create(call: &Call<'_>) -> Result<()> {
    make(call, Manner::Waits).map(drop)
}

/// Makes the container, and takes away what was made if that fails.
pub fn make(call: &Call<'_>, manner: Manner) -> Result<Made> {
    let id = call.id();
    let mut bundle = Bundle::read(call.words.get("bundle").unwrap_or("."), call.words.get("config"))?;
    if !bundle.unknown.is_empty() {
        call.log.warning(&format!("ignoring unknown or unavailable capabilities: {}", bundle.unknown.join(" ")));
    }
    pass_sockets(&mut bundle, call.listen_fds);
    let beside = Beside {
        id: id.to_owned(),
        no_new_keyring: call.words.has("no-new-keyring"),
        preserve_fds: call.preserve_fds,
        outlives: manner != Manner::Attended,
        ..Beside::default()
    };
    let mut plan = bundle.plan(beside)?;
    let terminal = terminal_socket(call, &plan, manner)?;
    let place = call.store.make(id)?;
    let mut record = Record::new(id, &bundle.path, bundle.config.clone());
    record.own_processes = plan.namespaces.new & libc::CLONE_NEWPID != 0;
    let made = make_in(call, &mut plan, &place, &mut record, manner).and_then(|started| {
        let told = tell(call, &record, &started, terminal.as_ref());
        if told.is_err() {
            let _ = crate::sys::task::signal_process(&started.pidfd, libc::SIGKILL);
            crate::sys::task::reap(started.pid, true);
        }
        told.map(|()| started)
    });
    match made {
        Ok(started) => Ok(Made { container: Container { place, record }, started }),
        Err(error) => {
            plan.cgroup.iter().for_each(Cgroup::remove);
            run_poststop(call, &record);
            place.remove()?;
            Err(error)
        }
    }
}

/// Sockets of systemd are named to the program, which is the first process for itself.
fn pass_sockets(bundle: &mut Bundle, count: u32) {
    if let Some(process) = bundle.config.process.as_mut().filter(|_| count > 0) {
        process.env.extend([format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()]);
    }
}

/// Where the terminal goes, which must fit to how it is watched.
fn terminal_socket(call: &Call<'_>, plan: &Plan, manner: Manner) -> Result<Option<OwnedFd>> {
    let wrong = |message: &str| Err(Error::new(Kind::Request, message));
    let stays = manner == Manner::Attended;
    match call.words.get("console-socket").filter(|path| !path.is_empty()) {
        None if plan.process.terminal && !stays => wrong("cannot allocate tty if the runtime will detach without setting console socket"),
        Some(_) if !plan.process.terminal || stays => wrong("cannot use console socket if the runtime will not detach or allocate tty"),
        socket => socket.map(console::connect_to).transpose(),
    }
}

fn make_in(call: &Call<'_>, plan: &mut Plan, place: &Place, record: &mut Record, manner: Manner) -> Result<Started> {
    plan.cgroup = make_cgroup(call, plan)?;
    record.cgroup = plan.cgroup.as_ref().map(Cgroup::to_text).unwrap_or_default();
    let gate = if manner == Manner::Waits { Some(open_gate(place)?) } else { None };
    let root = if copies_outside(plan) { Some(pivot::copy_root(plan)?) } else { None };
    let mounts = Mounts::of_copies(copy_binds(plan, root.is_some())?);
    let stdio = if plan.process.terminal { Stdio::default() } else { streams()? };
    let given = Given { plan, root: root.as_ref(), mounts, stdio, gate };
    let mut at = |moment: Moment, pid: i32| attend(moment, pid, plan, record);
    let maker = Maker { patience: &mut |_| true, network: None, at: &mut at };
    let started = start::start(given, maker).map_err(|failed| failed.error)?;
    for text in &started.warnings {
        call.log.warning(text);
    }
    record.pid = started.pid;
    record.pid_start = process::start_time(started.pid).unwrap_or_default();
    place.write(record)?;
    Ok(started)
}

/// Whether mounts can be copied here: by root, where the container's mounts are not another's.
fn copies_outside(plan: &Plan) -> bool {
    let has_mounts = plan.namespaces.joined.iter().any(|(flag, _)| *flag == libc::CLONE_NEWNS);
    !has_mounts && sys::capability::capabilities().is_ok_and(|(effective, _)| effective >> SYS_ADMIN & 1 == 1)
}

/// Copies of what is bound, where it must be made outside: a user inside may not reach it, and only so is it shared.
fn copy_binds(plan: &Plan, possible: bool) -> Result<Vec<Option<OwnedFd>>> {
    let has_users = plan.namespaces.new & libc::CLONE_NEWUSER != 0;
    let copy = |mount: &crate::container::plan::Mount| {
        let Source::Bind(path) = &mount.source else { return Ok(None) };
        let is_shared = mount.options.propagation.iter().any(|(flag, _)| *flag == libc::MS_SHARED);
        if mount.id_map.is_some() && !possible {
            return Err(Error::new(Kind::Unsupported, format!("mount of {:?}: only root can make id-mapped mounts", mount.destination)));
        }
        if !possible || mount.options.remount || !(has_users || is_shared || mount.id_map.is_some()) {
            return Ok(None);
        }
        let tree = root::host(path).and_then(|open| clone_tree(open, mount.options.recursive));
        let tree = tree.and_then(|tree| mount.id_map.as_ref().map_or(Ok(()), |map| show_as(&tree, map)).map(|()| tree));
        tree.map(Some).map_err(|error| error.context(format!("error mounting {path:?} to rootfs at {:?}", mount.destination)))
    };
    plan.mounts.iter().map(copy).collect()
}

/// Shows the owners in a tree as others.
fn show_as(tree: &OwnedFd, map: &IdMap) -> Result<()> {
    let namespace = match &map.ids {
        Ids::Maps { uids, gids } => Maps::of(lines(uids), lines(gids)).namespace()?,
        Ids::OfNamespace(path) => start::open_namespace(libc::CLONE_NEWUSER, path)?,
    };
    set_id_map(tree, namespace, map.recursive)
}

fn lines(maps: &[IdMapping]) -> Vec<[u32; 3]> {
    maps.iter().map(|map| [map.container, map.host, map.size]).collect()
}

/// The caller's streams. One that is closed stays so.
pub fn streams() -> Result<Stdio> {
    let copy = |number: i32| {
        if !sys::is_open(number) {
            return Ok(None);
        }
        rustix::io::fcntl_dupfd_cloexec(sys::standard(number), 3)
            .map(Some)
            .map_err(|errno| Error::call(format!("fcntl({number}, F_DUPFD_CLOEXEC)"), errno))
    };
    Ok(Stdio { stdin: copy(0)?, stdout: copy(1)?, stderr: copy(2)? })
}

fn open_gate(place: &Place) -> Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|errno| Error::call("socket(AF_UNIX, SOCK_SEQPACKET)", errno))?;
    bind(&socket, &place.gate()?).map_err(|errno| Error::call("bind(gate)", errno))?;
    listen(&socket, 1).map_err(|errno| Error::call("listen(…)", errno))?;
    Ok(socket)
}

/// Makes the control groups, or none if the caller wants none.
fn make_cgroup(call: &Call<'_>, plan: &Plan) -> Result<Option<Cgroup>> {
    if call.global.get("cgroup-manager") == Some("disabled") {
        return Ok(None);
    }
    let linux = &plan.config.linux;
    let path = if linux.cgroups_path.trim_matches('/').is_empty() { call.id() } else { linux.cgroups_path.as_str() };
    let resources = linux.resources.clone().unwrap_or_default();
    let rules = rules(&resources)?;
    let limits_devices = !namespaces::nested() && !opens_everything(&resources);
    let is_root = rustix::process::geteuid().is_root() && !namespaces::nested();
    let wish = Wish {
        location: Location::At(path.to_owned()),
        resources: &resources,
        rules: Some(rules.as_slice()).filter(|_| !namespaces::nested()),
        nested: plan.process.capabilities.bounding.has(SYS_ADMIN) && limits_devices,
        forgiving: match call.global.get("rootless") {
            Some("true") => true,
            Some("false") => false,
            _ => !is_root,
        },
    };
    let (cgroup, warnings) = Cgroup::create(&wish)?;
    for warning in warnings {
        call.log.warning(&warning);
    }
    if let Some(members) = cgroup.as_ref().map(Cgroup::members).filter(|members| !members.is_empty()) {
        return Err(Error::new(Kind::State, format!("container's cgroup is not empty: {} process(es) found", members.len())));
    }
    Ok(cgroup)
}

/// The rules of the bundle, and after them what every container may open.
fn rules(resources: &Resources) -> Result<Vec<Rule>> {
    let standard = devices::standard();
    let mut rules = Vec::with_capacity(resources.devices.len() + standard.len());
    for rule in resources.devices.iter().chain(&standard) {
        let is_numbered = [rule.major, rule.minor].into_iter().flatten().any(|number| number != -1);
        if is_numbered && matches!(rule.kind.as_str(), "" | "a") {
            // Of all kinds the kernel heeds no number: it would be all devices.
            for kind in ["b", "c"] {
                rules.push(Rule::new(&DeviceRule { kind: kind.to_owned(), ..rule.clone() })?);
            }
        } else {
            rules.push(Rule::new(rule)?);
        }
    }
    Ok(rules)
}

/// Whether the last word on all devices is that they are open.
fn opens_everything(resources: &Resources) -> bool {
    let all = |rule: &&DeviceRule| {
        matches!(rule.kind.as_str(), "" | "a") && [rule.major, rule.minor].into_iter().flatten().all(|number| number == -1)
    };
    resources.devices.iter().rev().find(all).is_some_and(|rule| rule.allow)
}

/// What the process inside waits for.
fn attend(moment: Moment, pid: i32, plan: &Plan, record: &Record) -> Result<()> {
    match moment {
        Moment::Made => {
            let linux = &plan.config.linux;
            Maps::of(lines(&linux.uid_mappings), lines(&linux.gid_mappings)).apply(pid)?;
            if let Some(cgroup) = &plan.cgroup {
                cgroup.add(pid)?;
            }
            plan.process.oom_score_adj.map_or(Ok(()), |adjustment| {
                let path = format!("/proc/{pid}/oom_score_adj");
                std::fs::write(&path, adjustment.to_string()).map_err(|error| Error::io(format!("write({path:?}, {adjustment})"), &error))
            })
        }
        Moment::Ready => {
            let state = Value::Object(hooks::state_of(&plan.config, &plan.id, &plan.bundle, "creating", pid)).to_string();
            hooks::run("prestart", &plan.config.hooks.prestart, &state)?;
            hooks::run("createRuntime", &plan.config.hooks.create_runtime, &state)
        }
        Moment::Filtered(listener) => hand_listener(pid, plan, record, &listener),
    }
}

/// Sends the filter's listener to the agent that the configuration names (specification: "seccomp notify").
fn hand_listener(pid: i32, plan: &Plan, record: &Record, listener: &OwnedFd) -> Result<()> {
    let seccomp = plan.config.linux.seccomp.clone().unwrap_or_default();
    let state = hooks::state_of(&plan.config, &record.id, &record.bundle, "creating", pid);
    let message = serde_json::json!({
        "ociVersion": plan.config.oci_version, "fds": ["seccompFd"], "pid": pid, "metadata": seccomp.listener_metadata, "state": state,
    });
    let socket = console::connect_to(&seccomp.listener_path).map_err(|error| error.context("cannot reach the seccomp agent"))?;
    console::send(&socket, message.to_string().as_bytes(), listener.as_fd())
}

/// Tells the caller of what was made: its terminal, its process.
fn tell(call: &Call<'_>, record: &Record, started: &Started, terminal: Option<&OwnedFd>) -> Result<()> {
    if let (Some(socket), Some(controlling)) = (terminal, &started.terminal) {
        console::send(socket, b"/dev/ptmx", controlling.as_fd())?;
    }
    if let Some(path) = call.words.get("pidfd-socket").filter(|path| !path.is_empty()) {
        console::send(console::connect_to(path)?, b"pidfd", started.pidfd.as_fd())?;
    }
    call.words.get("pid-file").filter(|path| !path.is_empty()).map_or(Ok(()), |path| write_pid(path, record.pid))
}

/// Writes a process's number in one step: whoever sees the file finds the number in it.
pub fn write_pid(path: &str, pid: i32) -> Result<()> {
    let path = std::path::Path::new(path);
    let name = path.file_name().ok_or_else(|| Error::new(Kind::Request, format!("{} is no file", path.display())))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    let beside = path.with_file_name(hidden);
    let call = |what: &str, error: &std::io::Error| Error::io(format!("{what}({:?})", path.display()), error);
    std::fs::write(&beside, pid.to_string()).map_err(|error| call("write", &error))?;
    std::fs::rename(&beside, path).map_err(|error| call("rename", &error))
}

/// Runs the hooks of a container that is gone; one that fails is told, and is the end of nothing.
pub fn run_poststop(call: &Call<'_>, record: &Record) {
    let state = Value::Object(record.state("stopped")).to_string();
    for hook in &record.config.hooks.poststop {
        if let Err(error) = hooks::run("poststop", std::slice::from_ref(hook), &state) {
            call.log.warning(&error.to_string());
        }
    }
}
