use crate::elf;
use crate::error::{Error, Kind, Result};
use crate::limit;
use crate::overlay::{Entry, Stack};
use crate::pattern::{Glob, clean, has_wildcard};
use crate::wire::tree::{Read, ReadFile, ReadResult};
use base64::Engine;
use rustix::fs::{FileType, OFlags};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt;

/// Reads what exists of the asked paths, and what the patterns match.
pub fn read(request: &Read) -> Result<ReadResult> {
    let stack = Stack::open(&request.from)?;
    let mut reading =
        Reading { stack: &stack, max: request.max_bytes, left: limit::ANSWER, sections: &request.sections, files: Vec::new() };
    for asked in &request.paths {
        if has_wildcard(asked) {
            reading.pattern(&Glob::new(clean(asked).trim_start_matches('/'))?)?;
        } else if let Some(entry) = stack.lookup(asked, true)? {
            reading.file(asked.clone(), &entry)?;
        }
    }
    Ok(ReadResult { files: reading.files })
}

struct Reading<'a> {
    stack: &'a Stack,
    max: u64,
    left: u64,
    sections: &'a [String],
    files: Vec<ReadFile>,
}

impl Reading<'_> {
    fn pattern(&mut self, glob: &Glob) -> Result<()> {
        let mut todo: Vec<Entry> = self.stack.root()?.into_iter().collect();
        while let Some(directory) = todo.pop() {
            for entry in self.stack.list(&directory)? {
                let path = entry.path.as_os_str().as_bytes();
                if glob.matches(path) {
                    let name = entry.path.to_string_lossy().into_owned();
                    let target = if entry.kind() == FileType::Symlink && self.sections.is_empty() {
                        self.stack.lookup(&entry.path, true)?
                    } else {
                        Some(entry.clone())
                    };
                    if let Some(target) = target {
                        self.file(name, &target)?;
                    }
                }
                if entry.is_directory() && glob.may_match_below(path) {
                    todo.push(entry);
                }
            }
        }
        Ok(())
    }

    /// Adds a regular file; anything else is as good as missing.
    fn file(&mut self, path: String, entry: &Entry) -> Result<()> {
        if entry.kind() != FileType::RegularFile {
            return Ok(());
        }
        // What was a file a moment ago may be a pipe now.
        let file = std::fs::File::from(entry.open(OFlags::RDONLY | OFlags::NONBLOCK)?);
        let max = self.max.min(self.left);
        if !self.sections.is_empty() {
            if let Some(found) = elf::section(&file, self.sections, max)? {
                self.add(path, Some(found.name), &found.content);
            }
            return Ok(());
        }
        let mut content = Vec::new();
        file.take(max.saturating_add(1)).read_to_end(&mut content).map_err(|error| Error::io(format!("read({path:?})"), &error))?;
        if content.len() as u64 > max {
            return Err(Error::new(Kind::TooLarge, format!("the file has more than {max} bytes")).path(path));
        }
        self.add(path, None, &content);
        Ok(())
    }

    fn add(&mut self, path: String, section: Option<String>, content: &[u8]) {
        self.left -= content.len() as u64;
        self.files.push(ReadFile { path, section, base64: base64::engine::general_purpose::STANDARD.encode(content) });
    }
}
