//! Patterns of COPY (Go's `filepath.Match`) and of ignore files (moby's patternmatcher).
//!
//! Matching is a simulation of a nondeterministic automaton: its time is the product of the lengths of pattern
//! and path, whatever the pattern. Names are bytes; where they are UTF-8, `?` and classes match characters.

mod automaton;

use self::automaton::{Automaton, Token, bad, literals, tokens};
use crate::error::Result;
use crate::wire::tree::IgnorePattern;
use std::collections::HashMap;

/// One component of a COPY source: Go's `filepath.Match`, in which nothing matches a `/`.
#[derive(Clone, Debug)]
pub struct Component(Automaton);

impl Component {
    pub fn new(pattern: &str) -> Result<Self> {
        Ok(Self(Automaton::new(tokens(pattern, false)?, false)))
    }

    pub fn matches(&self, name: &[u8]) -> bool {
        self.0.matches(name)
    }

    /// The name, if only one matches.
    pub fn literal(&self) -> Option<Vec<u8>> {
        let mut name = Vec::new();
        for token in &self.0.tokens {
            let Token::Literal(code) = token else { return None };
            match char::from_u32(*code) {
                Some(character) => name.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
                None => name.push((*code - 0x11_0000) as u8),
            }
        }
        Some(name)
    }
}

/// Whether a COPY source is a pattern: it has `*`, `?` or `[` that no backslash escapes.
pub fn has_wildcard(source: &str) -> bool {
    let mut bytes = source.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

/// One pattern over whole paths, as moby's patternmatcher reads it.
#[derive(Clone, Debug)]
enum Matcher {
    Exact(Vec<u8>),
    /// `dir/**`: what lies below, not the directory itself.
    Prefix(Vec<u8>),
    /// `**/name` also matches `name`; `**name` is a plain suffix of the whole path.
    Suffix(Vec<u8>),
    Automaton(Automaton),
}

#[derive(Clone, Debug)]
pub struct Glob {
    matcher: Matcher,
    /// Each component until the first that has `**`; `None` if that cannot be told.
    components: Option<Vec<Automaton>>,
    open_ended: bool,
}

impl Glob {
    /// # Errors
    /// `Kind::Request` for a pattern that Go's `filepath.Match` calls malformed.
    pub fn new(pattern: &str) -> Result<Self> {
        let matcher = if let Some(suffix) = pattern.strip_prefix("**").filter(|suffix| is_plain(suffix)) {
            Matcher::Suffix(suffix.as_bytes().to_vec())
        } else if let Some(prefix) = pattern.strip_suffix("**").filter(|prefix| is_plain(prefix)) {
            Matcher::Prefix(prefix.as_bytes().to_vec())
        } else if is_plain(pattern) {
            Matcher::Exact(pattern.as_bytes().to_vec())
        } else {
            Matcher::Automaton(Automaton::new(tokens(pattern, true)?, true))
        };
        let mut open_ended = false;
        let mut components = Some(Vec::new());
        for component in pattern.split('/') {
            if component.contains("**") {
                open_ended = true;
                break;
            }
            match tokens(component, false) {
                Ok(tokens) => components.iter_mut().for_each(|list| list.push(Automaton::new(tokens.clone(), true))),
                // A class or an escape that holds a `/`.
                Err(_) => components = None,
            }
        }
        Ok(Self { matcher, components, open_ended })
    }

    /// Matches one path and nothing else.
    pub fn literal(path: &[u8]) -> Self {
        let components = path.split(|byte| *byte == b'/').map(|name| Automaton::new(literals(name), false)).collect();
        Self { matcher: Matcher::Exact(path.to_vec()), components: Some(components), open_ended: false }
    }

    pub fn matches(&self, path: &[u8]) -> bool {
        match &self.matcher {
            Matcher::Exact(exact) => path == exact,
            Matcher::Prefix(prefix) => path.starts_with(prefix),
            Matcher::Suffix(suffix) => path.ends_with(suffix) || (suffix.first() == Some(&b'/') && path == &suffix[1..]),
            Matcher::Automaton(automaton) => automaton.matches(path),
        }
    }

    /// Whether something below `directory` could match though the directory does not. May err on the side of yes.
    pub fn may_match_below(&self, directory: &[u8]) -> bool {
        let Some(components) = &self.components else { return true };
        if directory.is_empty() {
            return true;
        }
        let mut depth = 0;
        for name in directory.split(|byte| *byte == b'/') {
            match components.get(depth) {
                None => return self.open_ended,
                Some(component) if !component.matches(name) => return false,
                Some(_) => depth += 1,
            }
        }
        components.len() > depth || self.open_ended
    }
}

/// Whether a pattern is a plain path: then it is compared and not run.
fn is_plain(pattern: &str) -> bool {
    !pattern.contains(['*', '?', '[', ']', '\\'])
}

/// A list of patterns of which the last that matches a path, or any directory above it, decides.
#[derive(Debug, Default)]
pub struct PatternList {
    patterns: Vec<Pattern>,
    /// The last position of each plain path: these are looked up, not tried one by one.
    exact: HashMap<Vec<u8>, usize>,
    /// Positions of the others, last first.
    others: Vec<usize>,
    /// Positions of those with `!`.
    negated: Vec<usize>,
}

#[derive(Debug)]
struct Pattern {
    glob: Glob,
    negated: bool,
    line: u32,
}

/// Which pattern decides about a path: what its children start from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict(Option<u32>);

impl PatternList {
    pub fn of_ignore_file(patterns: &[IgnorePattern]) -> Result<Self> {
        let mut list = Self::default();
        for pattern in patterns {
            let glob =
                Glob::new(&pattern.pattern).map_err(|error| error.context(format_args!("line {} of the ignore file", pattern.line)))?;
            list.push(glob, pattern.negated, pattern.line);
        }
        Ok(list.indexed())
    }

    /// The patterns of `--exclude`: `!` negates; cleaned as a path.
    pub fn of_flags(patterns: &[String]) -> Result<Self> {
        let mut list = Self::default();
        for pattern in patterns {
            let trimmed = pattern.trim();
            let (negated, rest) = trimmed.strip_prefix('!').map_or((false, trimmed), |rest| (true, rest));
            if rest.is_empty() {
                return Err(bad(pattern, "it is empty"));
            }
            list.push(Glob::new(&clean(rest))?, negated, 0);
        }
        Ok(list.indexed())
    }

    fn push(&mut self, glob: Glob, negated: bool, line: u32) {
        self.patterns.push(Pattern { glob, negated, line });
    }

    fn indexed(mut self) -> Self {
        for (position, pattern) in self.patterns.iter().enumerate() {
            match &pattern.glob.matcher {
                Matcher::Exact(path) => {
                    self.exact.insert(path.clone(), position);
                }
                _ => self.others.push(position),
            }
            if pattern.negated {
                self.negated.push(position);
            }
        }
        self.others.reverse();
        self
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Judges a path whose parent directory has been judged to be `above`.
    pub fn judge(&self, path: &[u8], above: Verdict) -> Verdict {
        let mut best = above.0.map(|position| position as usize);
        if !self.exact.is_empty() {
            best = best.max(self.exact.get(path).copied());
        }
        for position in &self.others {
            if best.is_some_and(|best| best > *position) {
                break;
            }
            if self.patterns[*position].glob.matches(path) {
                best = Some(*position);
                break;
            }
        }
        Verdict(best.map(|position| position as u32))
    }

    /// Judges a path with all the directories above it. The root is never excluded.
    pub fn judge_whole(&self, path: &[u8]) -> Verdict {
        if path.is_empty() {
            return Verdict::default();
        }
        let mut verdict = Verdict::default();
        for (at, byte) in path.iter().enumerate() {
            if *byte == b'/' {
                verdict = self.judge(&path[..at], verdict);
            }
        }
        self.judge(path, verdict)
    }

    pub fn is_excluded(&self, verdict: Verdict) -> bool {
        verdict.0.is_some_and(|position| !self.patterns[position as usize].negated)
    }

    /// The line of the pattern that excludes.
    pub fn line(&self, verdict: Verdict) -> Option<u32> {
        verdict.0.map(|position| self.patterns[position as usize].line)
    }

    /// Whether an excluded directory may hold something that a later `!` pattern takes back.
    pub fn may_include_below(&self, directory: &[u8], verdict: Verdict) -> bool {
        let from = verdict.0.map_or(0, |position| position as usize + 1);
        self.negated
            .iter()
            .rev()
            .take_while(|position| **position >= from)
            .any(|position| self.patterns[*position].glob.may_match_below(directory))
    }
}

/// The shortest equivalent of a path, without a leading `/`, `.` or `..` (which stops at the root); empty for the root.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests;
