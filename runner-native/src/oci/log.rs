//! Where a runtime says what is wrong: on standard error, and in the file that its caller reads.

use crate::container::state;
use std::fs::OpenOptions;
use std::io::Write;

/// What `--log` and `--log-format` ask for.
#[derive(Debug, Default)]
pub struct Log {
    path: Option<String>,
    json: bool,
    debug: bool,
}

impl Log {
    pub fn new(path: Option<&str>, format: Option<&str>, debug: bool) -> Self {
        // crun names the kind of destination before its path.
        let path = path.map(|path| path.strip_prefix("file:").unwrap_or(path).to_owned()).filter(|path| !path.is_empty());
        Self { path, json: format == Some("json"), debug }
    }

    /// Only where `--debug` asks for it.
    pub fn debug(&self, message: &str) {
        if self.debug {
            self.write("debug", message);
        }
    }

    pub fn warning(&self, message: &str) {
        self.write("warning", message);
    }

    /// To the file, and for people to standard error as well.
    pub fn error(&self, message: &str) {
        self.write("error", message);
        if self.path.is_some() {
            eprintln!("{message}");
        }
    }

    fn write(&self, level: &str, message: &str) {
        let time = state::now();
        let line = if self.json {
            serde_json::json!({ "level": level, "msg": message, "time": time }).to_string()
        } else {
            format!("time={time:?} level={level} msg={message:?}")
        };
        let file = self.path.as_ref().map(|path| OpenOptions::new().append(true).create(true).open(path));
        match file {
            Some(Ok(mut file)) => {
                // One call, so that lines of several processes stay whole.
                let _ = file.write_all(format!("{line}\n").as_bytes());
            }
            Some(Err(error)) => eprintln!("cannot open the log file {:?}: {error}", self.path.as_deref().unwrap_or_default()),
            None => eprintln!("{line}"),
        }
    }
}
