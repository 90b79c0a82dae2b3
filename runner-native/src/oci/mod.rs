//! An OCI runtime on the command line of runc and crun, for podman, containerd, CRI-O, Docker and BuildKit.

mod arguments;
mod bundle;
mod commands;
mod console;
mod delete;
mod events;
mod exec;
mod features;
mod kill;
mod log;
mod make;
mod ps;
mod run;
mod show;
mod spec;
mod start;
mod store;
mod update;
mod wording;

use crate::container::sealed;
use crate::error::{Error, Kind, Result};
use crate::oci::arguments::{Asked, Words};
use crate::oci::log::Log;
use crate::oci::store::Store;
use crate::sys;
use std::process::ExitCode;

/// The names under which this program is a runtime.
const NAMES: &[&str] = &["stave-runtime", "runc", "crun"];

/// Whether the program was called as a runtime.
pub fn is_called(program: &str) -> bool {
    NAMES.contains(&program.rsplit('/').next().unwrap_or_default())
}

/// A command, with all that it needs to know.
pub struct Call<'a> {
    pub name: &'static str,
    pub store: Store,
    pub global: &'a Words,
    pub words: &'a Words,
    pub log: Log,
    /// How many descriptors from 3 on the caller passes to the container, and how many of those are sockets of systemd.
    pub preserve_fds: u32,
    pub listen_fds: u32,
}

impl Call<'_> {
    /// The id that the command is about.
    pub fn id(&self) -> &str {
        self.words.operands.first().map_or("", String::as_str)
    }
}

/// Does what the command line asks for.
pub fn main(arguments: &[String]) -> ExitCode {
    let asked = match arguments::parse(arguments) {
        Ok(asked) => asked,
        Err(failed) => {
            let (global, error) = *failed;
            log_of(&global).error(&error.message);
            return ExitCode::FAILURE;
        }
    };
    if let Some(text) = answer(&asked) {
        print!("{text}");
        return ExitCode::SUCCESS;
    }
    let Asked { global, command: Some((command, words)) } = &asked else { return ExitCode::FAILURE };
    match perform(command.name, global, words) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            let starts = matches!(command.name, "create" | "run" | "start" | "exec");
            log_of(global).error(&if starts { wording::of_start(command.name, &error) } else { wording::of(&error) });
            // Of exec every status below is the program's own.
            if command.name == "exec" { ExitCode::from(255) } else { ExitCode::FAILURE }
        }
    }
}

/// What is only to be said.
fn answer(asked: &Asked) -> Option<String> {
    if asked.global.has("version") {
        let version = env!("CARGO_PKG_VERSION");
        return Some(format!("stave-runtime version {version}\nspec: {}\n", bundle::VERSIONS.1));
    }
    match &asked.command {
        None => Some(arguments::help(None)),
        Some((command, words)) if asked.global.has("help") || words.has("help") => Some(arguments::help(Some(command))),
        Some(_) => None,
    }
}

fn log_of(global: &Words) -> Log {
    Log::new(global.get("log"), global.get("log-format"), global.has("debug") || global.get("log-level") == Some("debug"))
}

fn perform(name: &'static str, global: &Words, words: &Words) -> Result<u8> {
    if matches!(name, "create" | "run" | "exec") {
        // What goes into containers must not be found there and changed.
        sealed::ensure()?;
    }
    check_global(global)?;
    let listen_fds = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    let preserve_fds = preserved(words, listen_fds)?;
    sys::close_on_exec_from(3 + preserve_fds);
    let call = Call { name, store: Store::open(global.get("root")), global, words, log: log_of(global), preserve_fds, listen_fds };
    call.log.debug(&format!(
        "{name} {}: version {}, process {}",
        call.words.operands.join(" "),
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    ));
    match name {
        "create" => make::create(&call)?,
        "start" => start::start(&call)?,
        "run" => return run::run(&call),
        "exec" => return exec::exec(&call),
        "state" => show::state(&call)?,
        "list" => show::list(&call)?,
        "kill" => kill::kill(&call)?,
        "pause" => kill::pause(&call)?,
        "resume" => kill::resume(&call)?,
        "delete" => delete::delete(&call)?,
        "ps" => ps::ps(&call)?,
        "update" => update::update(&call)?,
        "events" => events::events(&call)?,
        "spec" => spec::spec(&call)?,
        "features" => show::print(&features::features()),
        other => return Err(Error::new(Kind::Unsupported, format!("{other} is not supported"))),
    }
    Ok(0)
}

fn check_global(global: &Words) -> Result<()> {
    let wrong = |message: String| Err(Error::new(Kind::Request, message));
    if global.has("systemd-cgroup") || global.get("cgroup-manager") == Some("systemd") {
        return Err(Error::new(Kind::Unsupported, "control groups of systemd are not supported")
            .hint("Let the caller use the file system: podman --cgroup-manager cgroupfs, containerd SystemdCgroup = false."));
    }
    match global.get("cgroup-manager") {
        None | Some("cgroupfs" | "disabled") => {}
        Some(other) => return wrong(format!("unknown cgroup manager {other:?}")),
    }
    match global.get("log-format") {
        None | Some("text" | "json") => Ok(()),
        Some(other) => wrong(format!("invalid log-format {other:?}: it is text or json")),
    }
}

/// How many descriptors are passed on, all of which must be open: else others would come into their places.
fn preserved(words: &Words, listen_fds: u32) -> Result<u32> {
    let wrong = |message: String| Error::new(Kind::Request, message);
    let given = match words.get("preserve-fds") {
        None => 0,
        Some(text) => text.parse::<u16>().map_err(|_| wrong(format!("invalid value {text:?} for --preserve-fds")))?,
    };
    let count = u32::from(given).saturating_add(listen_fds);
    for fd in 3..count.saturating_add(3) {
        if !sys::is_open(fd as i32) {
            return Err(wrong(format!("descriptor {fd} is to be passed on, but is not open")));
        }
    }
    Ok(count)
}
