//! The log of a container: Docker's json-file format, one line of JSON for each line that was written, or that of Kubernetes.

use crate::container::state;
use crate::error::{Error, Result};
use crate::root;
use crate::wire::log::{LogFormat, LogOptions};
use base64::Engine;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, renameat, unlinkat};
use std::fs::File;
use std::io::Write;

/// A longer line comes in pieces, of which only the last has a newline.
const LINE_BYTES: usize = 16 << 10;

pub struct Log {
    file: File,
    directory: OwnedFd,
    name: String,
    format: LogFormat,
    /// What is in the file.
    size: u64,
    /// How much one file may have, and how many there may be.
    limit: Option<(u64, u32)>,
    /// What was written without a newline so far, to stdout and to stderr.
    partial: [Vec<u8>; 2],
}

impl Log {
    /// Opens it in a container's directory, or where the options say.
    pub fn open(directory: BorrowedFd<'_>, options: &LogOptions) -> Result<Self> {
        let (directory, name) = match &options.place {
            Some(place) => (root::open_directory(&place.directory)?, place.name.clone()),
            None => (directory.try_clone_to_owned().map_err(|error| Error::io("dup(…)", &error))?, "log".to_owned()),
        };
        let file = open(&directory, &name)?;
        let size = fstat(&file).map_err(|errno| Error::call("fstat(…)", errno))?.st_size as u64;
        let limit = options.max_bytes.map(|bytes| (bytes, options.max_files.unwrap_or(1).max(1)));
        Ok(Self { file, directory, name, format: options.format, size, limit, partial: [Vec::new(), Vec::new()] })
    }

    /// Takes what was written to a stream (1 or 2).
    pub fn write(&mut self, stream: i32, mut bytes: &[u8]) {
        let mut lines = Vec::new();
        let time = state::now();
        let number = usize::from(stream == 2);
        while !bytes.is_empty() {
            let partial = &mut self.partial[number];
            let room = LINE_BYTES - partial.len();
            let newline = bytes.iter().take(room).position(|byte| *byte == b'\n');
            let count = newline.map_or(room.min(bytes.len()), |at| at + 1);
            partial.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if newline.is_some() || partial.len() == LINE_BYTES {
                // A character that is cut in two goes with the next piece.
                let rest = if newline.is_some() { Vec::new() } else { partial.split_off(partial.len() - unfinished(partial)) };
                let piece = std::mem::replace(partial, rest);
                self.entry(&mut lines, &piece, stream, &time);
            }
        }
        self.put(&lines);
    }

    /// Writes what has no newline, at the end.
    pub fn finish(&mut self) {
        let mut lines = Vec::new();
        let time = state::now();
        for stream in [1, 2] {
            let partial = std::mem::take(&mut self.partial[stream - 1]);
            if !partial.is_empty() {
                self.entry(&mut lines, &partial, stream as i32, &time);
            }
        }
        self.put(&lines);
    }

    fn entry(&mut self, lines: &mut Vec<u8>, text: &[u8], stream: i32, time: &str) {
        let stream = if stream == 2 { "stderr" } else { "stdout" };
        match self.format {
            LogFormat::JsonFile => json_entry(lines, text, stream, time),
            LogFormat::K8sFile => {
                let (tag, text) = text.strip_suffix(b"\n").map_or(("P", text), |line| ("F", line));
                lines.extend_from_slice(format!("{time} {stream} {tag} ").as_bytes());
                lines.extend_from_slice(text);
                lines.push(b'\n');
            }
        }
        if self.limit.is_some_and(|(bytes, _)| self.size + lines.len() as u64 >= bytes) {
            self.put(lines);
            lines.clear();
            self.rotate();
        }
    }

    fn put(&mut self, lines: &[u8]) {
        // A full disk must not stop the container: its log has a gap then.
        if self.file.write_all(lines).is_ok() {
            self.size += lines.len() as u64;
        }
    }

    /// Puts the file aside, as `NAME.1`, and begins another; the oldest goes.
    fn rotate(&mut self) {
        let files = self.limit.map_or(1, |(_, files)| files);
        let older = |number: u32| if number == 0 { self.name.clone() } else { format!("{}.{number}", self.name) };
        for number in (1..files).rev() {
            let _ = renameat(&self.directory, older(number - 1), &self.directory, older(number));
        }
        if files == 1 {
            let _ = unlinkat(&self.directory, &*self.name, AtFlags::empty());
        }
        // Where there can be no other file, it goes on in the one that it has.
        if let Ok(file) = open(&self.directory, &self.name) {
            self.file = file;
            self.size = 0;
        }
    }
}

fn open(directory: impl AsFd, name: &str) -> Result<File> {
    let flags = OFlags::CREATE | OFlags::APPEND | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::from_raw_mode(0o600))
        .map(File::from)
        .map_err(|errno| Error::call(format!("openat(…, {name:?}, O_CREAT|O_APPEND)"), errno))
}

/// What is no text is in it a second time, as it is: readers of Docker's format pass over that.
fn json_entry(lines: &mut Vec<u8>, text: &[u8], stream: &str, time: &str) {
    let raw = match std::str::from_utf8(text) {
        Ok(_) => String::new(),
        Err(_) => format!("\"bytes\":\"{}\",", base64::engine::general_purpose::STANDARD.encode(text)),
    };
    let text = serde_json::Value::from(String::from_utf8_lossy(text));
    lines.extend_from_slice(format!("{{{raw}\"log\":{text},\"stream\":\"{stream}\",\"time\":\"{time}\"}}\n").as_bytes());
}

/// How many bytes at the end begin a character that is not whole.
fn unfinished(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.len() - error.valid_up_to(),
        // Damaged somewhere: only the end counts.
        Err(error) => unfinished(&bytes[error.valid_up_to() + error.error_len().unwrap_or(1)..]),
        Ok(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::os::fd::AsFd;

    fn logged(write: impl FnOnce(&mut Log)) -> Vec<(String, String)> {
        let directory = tempfile::tempdir().unwrap();
        let open = File::open(directory.path()).unwrap();
        let mut log = Log::open(open.as_fd(), &LogOptions::default()).unwrap();
        write(&mut log);
        log.finish();
        let text = std::fs::read_to_string(directory.path().join("log")).unwrap();
        text.lines()
            .map(|line| {
                let entry: Value = serde_json::from_str(line).unwrap();
                assert!(entry["time"].as_str().unwrap().ends_with('Z'));
                (entry["stream"].as_str().unwrap().to_owned(), entry["log"].as_str().unwrap().to_owned())
            })
            .collect()
    }

    #[test]
    fn streams_keep_their_lines_apart() {
        let entries = logged(|log| {
            log.write(1, b"one\ntw");
            log.write(2, b"bad\n");
            log.write(1, b"o\n\nthree");
        });
        let expected = [("stdout", "one\n"), ("stderr", "bad\n"), ("stdout", "two\n"), ("stdout", "\n"), ("stdout", "three")];
        assert_eq!(entries, expected.map(|(stream, text)| (stream.to_owned(), text.to_owned())));
    }

    #[test]
    fn a_long_line_comes_in_pieces_that_are_whole_characters() {
        let line = "é".repeat(20_000) + "\n";
        let entries = logged(|log| log.write(1, &[b"x", line.as_bytes()].concat()));
        assert!(entries.len() >= 3);
        assert!(entries.iter().all(|(_, text)| text.len() <= LINE_BYTES && !text.contains('\u{fffd}')));
        assert_eq!(entries.iter().map(|(_, text)| text.as_str()).collect::<String>(), format!("x{line}"));
    }

    #[test]
    fn bytes_that_are_no_text_are_there_as_they_are_too() {
        let directory = tempfile::tempdir().unwrap();
        let open = File::open(directory.path()).unwrap();
        let mut log = Log::open(open.as_fd(), &LogOptions::default()).unwrap();
        log.write(1, b"a\xffb\n");
        let text = std::fs::read_to_string(directory.path().join("log")).unwrap();
        let entry: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((entry["log"].as_str(), entry["bytes"].as_str()), (Some("a\u{fffd}b\n"), Some("Yf9iCg==")));
    }

    #[test]
    fn a_file_that_is_full_is_put_aside_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let open = File::open(directory.path()).unwrap();
        let options = LogOptions { format: LogFormat::K8sFile, max_bytes: Some(90), max_files: Some(3), ..LogOptions::default() };
        let mut log = Log::open(open.as_fd(), &options).unwrap();
        for number in 0..10 {
            log.write(1, format!("line {number}\n").as_bytes());
        }
        log.write(2, b"rest");
        log.finish();
        let lines = |name: &str| -> Vec<String> {
            let text = std::fs::read_to_string(directory.path().join(name)).unwrap_or_default();
            text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
        };
        assert_eq!(lines("log.2"), ["stdout F line 6", "stdout F line 7"]);
        assert_eq!(lines("log.1"), ["stdout F line 8", "stdout F line 9"]);
        assert_eq!(lines("log"), ["stderr P rest"]);
        assert!(!directory.path().join("log.3").exists());
    }
}
