//! Hooks: programs of the host's administrator, at certain moments of a container's life.

use crate::container::plan::Plan;
use crate::error::{Error, Kind, Result};
use crate::wire::config::{Config, Hook};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The state that the specification defines: what hooks read, and what `state` shows.
pub fn state_of(config: &Config, id: &str, bundle: &str, status: &str, pid: i32) -> serde_json::Map<String, serde_json::Value> {
    let mut state = serde_json::Map::new();
    state.insert("ociVersion".into(), config.oci_version.clone().into());
    state.insert("id".into(), id.into());
    state.insert("pid".into(), pid.into());
    state.insert("status".into(), status.into());
    state.insert("bundle".into(), bundle.into());
    if !config.annotations.is_empty() {
        state.insert("annotations".into(), serde_json::json!(config.annotations));
    }
    state
}

/// Runs hooks in order, each with the state on its standard input, and nothing of our environment.
///
/// # Errors
/// `Kind::Io` for the first that fails or takes too long.
pub fn run(name: &str, hooks: &[Hook], state: &str) -> Result<()> {
    for (index, hook) in hooks.iter().enumerate() {
        let fail = |why: String| Error::new(Kind::Io, format!("error running {name} hook #{index}: {why}")).path(&hook.path);
        one(hook, state).map_err(fail)?;
    }
    Ok(())
}

fn one(hook: &Hook, state: &str) -> Result<(), String> {
    use std::os::unix::process::CommandExt;
    if !hook.path.starts_with('/') {
        return Err(format!("the path {:?} is not absolute", hook.path));
    }
    let mut command = Command::new(&hook.path);
    if let Some((name, arguments)) = hook.args.split_first() {
        command.arg0(name).args(arguments);
    }
    command.env_clear().envs(hook.env.iter().filter_map(|variable| variable.split_once('=')));
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("cannot start {:?}: {error}", hook.path))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read it is none the worse.
        let _ = stdin.write_all(state.as_bytes());
    }
    let until = hook.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds.max(0) as u64));
    while let Some(until) = until {
        match child.try_wait() {
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it took longer than {} s", hook.timeout.unwrap_or_default()));
            }
            _ => break,
        }
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{}, stderr: {}", output.status.code().map_or("killed".to_owned(), |code| format!("exit status {code}")), said.trim()))
}

/// Runs hooks from within the container's process, which knows of its own number only what it is inside.
pub fn run_inside(name: &str, hooks: &[Hook], plan: &Plan, status: &str) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    let state = state_of(&plan.config, &plan.id, &plan.bundle, status, std::process::id() as i32);
    run(name, hooks, &serde_json::Value::Object(state).to_string())
}
