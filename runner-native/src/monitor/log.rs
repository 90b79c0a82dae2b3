//! The log of a container, in Docker's json-file format: one line of JSON for each line that was written.

use crate::container::state;
use crate::error::{Error, Result};
use rustix::fd::BorrowedFd;
use rustix::fs::{Mode, OFlags, openat};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;

/// A longer line comes in pieces, of which only the last has a newline.
const LINE_BYTES: usize = 16 << 10;

pub struct Log {
    file: File,
    /// What was written without a newline so far, to stdout and to stderr.
    partial: [Vec<u8>; 2],
}

impl Log {
    pub fn open(directory: BorrowedFd<'_>) -> Result<Self> {
        let flags = OFlags::CREATE | OFlags::APPEND | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(directory, "log", flags, Mode::from_raw_mode(0o600))
            .map_err(|errno| Error::call("openat(…, \"log\", O_CREAT|O_APPEND)", errno))?;
        Ok(Self { file: file.into(), partial: [Vec::new(), Vec::new()] })
    }

    /// Takes what was written to a stream (1 or 2).
    pub fn write(&mut self, stream: i32, mut bytes: &[u8]) {
        let mut lines = String::new();
        let time = state::now();
        let partial = &mut self.partial[usize::from(stream == 2)];
        while !bytes.is_empty() {
            let room = LINE_BYTES - partial.len();
            let newline = bytes.iter().take(room).position(|byte| *byte == b'\n');
            let count = newline.map_or(room.min(bytes.len()), |at| at + 1);
            partial.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if newline.is_some() || partial.len() == LINE_BYTES {
                // A character that is cut in two goes with the next piece.
                let rest = if newline.is_some() { Vec::new() } else { partial.split_off(partial.len() - unfinished(partial)) };
                entry(&mut lines, partial, stream, &time);
                *partial = rest;
            }
        }
        self.put(&lines);
    }

    /// Writes what has no newline, at the end.
    pub fn finish(&mut self) {
        let mut lines = String::new();
        let time = state::now();
        for stream in [1, 2] {
            let partial = std::mem::take(&mut self.partial[stream - 1]);
            if !partial.is_empty() {
                entry(&mut lines, &partial, stream as i32, &time);
            }
        }
        self.put(&lines);
    }

    fn put(&mut self, lines: &str) {
        // A full disk must not stop the container: its log has a gap then.
        let _ = self.file.write_all(lines.as_bytes());
    }
}

fn entry(lines: &mut String, text: &[u8], stream: i32, time: &str) {
    let text = serde_json::Value::from(String::from_utf8_lossy(text));
    let stream = if stream == 2 { "stderr" } else { "stdout" };
    // Writing to a string does not fail.
    let _ = writeln!(lines, "{{\"log\":{text},\"stream\":\"{stream}\",\"time\":\"{time}\"}}");
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
        let mut log = Log::open(open.as_fd()).unwrap();
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
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(logged(|log| log.write(1, b"a\xffb\n")), [("stdout".to_owned(), "a\u{fffd}b\n".to_owned())]);
    }
}
