//! `ps`: the processes of a container.

use crate::cgroup;
use crate::error::{Error, Kind, Result};
use crate::oci::Call;
use crate::oci::store::Status;
use std::process::{Command, Stdio};

pub fn ps(call: &Call<'_>) -> Result<()> {
    let container = call.store.find(call.id())?;
    if container.status() == Status::Stopped {
        return Err(Error::new(Kind::State, "container not running"));
    }
    let members = match container.record.cgroup() {
        Some(cgroup) => cgroup.members(),
        None => cgroup::processes(container.record.pid)?,
    };
    match call.words.get("format") {
        None | Some("table") => print!("{}", table(&call.words.operands[1..], &members)?),
        Some("json") => println!("{}", serde_json::json!(members)),
        Some(other) => return Err(Error::new(Kind::Request, format!("invalid format option {other:?}: it is table or json"))),
    }
    Ok(())
}

/// The lines of the host's `ps` that are about these processes.
fn table(arguments: &[String], members: &[i32]) -> Result<String> {
    let usual = ["-ef".to_owned()];
    let arguments = if arguments.is_empty() { &usual[..] } else { arguments };
    let output = Command::new("ps").args(arguments).stdin(Stdio::null()).output().map_err(|error| Error::io("execve(\"ps\")", &error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Error::new(Kind::Io, format!("ps failed: {}", said.trim())));
    }
    filter(&String::from_utf8_lossy(&output.stdout), members)
        .ok_or_else(|| Error::new(Kind::Request, "couldn't find PID field in the output of ps"))
}

/// The head and the lines whose column `PID` is among these. `None`: there is no such column.
fn filter(text: &str, members: &[i32]) -> Option<String> {
    let mut lines = text.lines();
    let head = lines.next()?;
    let column = head.split_ascii_whitespace().position(|title| title == "PID")?;
    let is_member =
        |line: &&str| line.split_ascii_whitespace().nth(column).and_then(|pid| pid.parse().ok()).is_some_and(|pid| members.contains(&pid));
    Some(std::iter::once(head).chain(lines.filter(is_member)).flat_map(|line| [line, "\n"]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_chosen_by_their_column() {
        let text = "UID   PID PPID CMD\nroot   12    1 sh 13\nroot   13   12 12\nann     1    0 12\n";
        assert_eq!(filter(text, &[13]).unwrap(), "UID   PID PPID CMD\nroot   13   12 12\n");
        assert_eq!(filter("COMMAND\nsh\n", &[1]), None);
    }
}
