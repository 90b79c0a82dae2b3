//! Errors in the words that callers of runtimes look for: podman, for one, tells from them whether it ends with 126 or 127.

use crate::error::{Error, Kind};
use rustix::io::Errno;

/// The message of a container that could not be made or started.
pub fn of_start(command: &str, error: &Error) -> String {
    match error.kind {
        // It is about the request or about another container, not about this one's process.
        Kind::Request | Kind::NotFound | Kind::Exists | Kind::State | Kind::Unsupported => of(error),
        _ if command == "exec" => format!("exec failed: unable to start container process: {}", of(error)),
        _ => format!("{command} failed: unable to start container process: {}", of(error)),
    }
}

/// The message of an error; of a command that cannot be executed, in Go's words.
pub fn of(error: &Error) -> String {
    let program = error.path.as_deref().unwrap_or_default();
    match error.kind {
        Kind::CommandNotFound if !program.contains('/') => format!("exec: {program:?}: executable file not found in $PATH"),
        Kind::CommandNotFound => format!("exec: {program:?}: stat {program}: no such file or directory"),
        Kind::CommandNotExecutable if error.message.ends_with("is a directory") => format!("exec: {program:?}: is a directory"),
        Kind::CommandNotExecutable if error.errno == Some(Errno::NOEXEC) => format!("exec {program}: exec format error"),
        Kind::CommandNotExecutable if matches!(error.errno, Some(Errno::ACCESS | Errno::PERM)) => {
            format!("exec: {program:?}: permission denied")
        }
        _ => match &error.hint {
            Some(hint) => format!("{error}. {hint}"),
            None => error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_find_the_words_that_they_look_for() {
        let error = |kind, path: &str, errno| of(&Error { errno, ..Error::new(kind, "x is what it is").path(path) });
        assert_eq!(error(Kind::CommandNotFound, "nothing", None), "exec: \"nothing\": executable file not found in $PATH");
        assert!(error(Kind::CommandNotFound, "/nothing", Some(Errno::NOENT)).ends_with("no such file or directory"));
        assert!(error(Kind::CommandNotExecutable, "/etc/passwd", Some(Errno::ACCESS)).ends_with("permission denied"));
        assert!(error(Kind::CommandNotExecutable, "/text", Some(Errno::NOEXEC)).ends_with("exec format error"));
        let directory = Error::new(Kind::CommandNotExecutable, "command \"/etc\" is a directory").path("/etc");
        assert!(of(&directory).ends_with("is a directory"));
        assert_eq!(of(&Error::new(Kind::State, "no").hint("Do.")), "no. Do.");
    }
}
