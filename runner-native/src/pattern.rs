//! Patterns of COPY (Go's `filepath.Match`) and of ignore files (moby's patternmatcher).
//!
//! Matching is a simulation of a nondeterministic automaton: its time is the product of the lengths of pattern
//! and path, whatever the pattern. Names are bytes; where they are UTF-8, `?` and classes match characters.

use crate::error::{Error, Kind, Result};
use crate::protocol::IgnorePattern;
use std::collections::HashMap;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(u32),
    /// `?`
    One,
    /// `*`: any number of characters other than `/`.
    Star,
    Class {
        negated: bool,
        ranges: Vec<(u32, u32)>,
    },
    /// `**/` in the middle is these two: the entry, which may be skipped with its loop, and the loop up to a `/`.
    Directories,
    DirectoriesLoop,
    /// `**` at the end.
    Rest,
}

/// A sequence of tokens that must match the whole of a name.
#[derive(Clone, Debug)]
struct Automaton {
    tokens: Vec<Token>,
    /// Literal bytes that every match starts with: most names fail here.
    prefix: Vec<u8>,
    /// Whether a class may match `/`.
    classes_cross: bool,
}

impl Automaton {
    fn new(tokens: Vec<Token>, classes_cross: bool) -> Self {
        let mut prefix = Vec::new();
        for token in &tokens {
            match token {
                Token::Literal(code) if *code < 0x80 => prefix.push(*code as u8),
                _ => break,
            }
        }
        Self { tokens, prefix, classes_cross }
    }

    fn matches(&self, name: &[u8]) -> bool {
        if !name.starts_with(&self.prefix) {
            return false;
        }
        let words = self.tokens.len() / 64 + 1;
        if words <= 4 {
            self.simulate(name, &mut [0; 4][..words], &mut [0; 4][..words])
        } else {
            self.simulate(name, &mut vec![0; words], &mut vec![0; words])
        }
    }

    /// `now` and `next` are bit sets of positions in `tokens`, both empty.
    fn simulate(&self, name: &[u8], now: &mut [u64], next: &mut [u64]) -> bool {
        let (mut now, mut next) = (now, next);
        set(now, self.prefix.len());
        self.skip(now);
        let mut rest = &name[self.prefix.len()..];
        while !rest.is_empty() {
            let (code, length) = decode(rest);
            rest = &rest[length..];
            next.fill(0);
            let mut alive = false;
            for (word, bits) in now.iter().enumerate() {
                let mut bits = *bits;
                while bits != 0 {
                    let position = word * 64 + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    let Some(token) = self.tokens.get(position) else { continue };
                    let separator = code == u32::from(b'/');
                    let (stay, advance) = match token {
                        Token::Literal(literal) => (false, *literal == code),
                        Token::One => (false, !separator),
                        Token::Star => (!separator, false),
                        Token::Class { negated, ranges } => {
                            let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&code));
                            (false, inside != *negated && (self.classes_cross || !separator))
                        }
                        Token::Directories => (false, false),
                        Token::DirectoriesLoop => (true, separator),
                        Token::Rest => (true, false),
                    };
                    if stay {
                        set(next, position);
                    }
                    if advance {
                        set(next, position + 1);
                    }
                    alive |= stay || advance;
                }
            }
            if !alive {
                return false;
            }
            self.skip(next);
            std::mem::swap(&mut now, &mut next);
        }
        is_set(now, self.tokens.len())
    }

    /// Adds the positions that are reached without a character. Such steps only go forward: one pass is enough.
    fn skip(&self, states: &mut [u64]) {
        for (position, token) in self.tokens.iter().enumerate() {
            match token {
                Token::Star | Token::Rest if is_set(states, position) => set(states, position + 1),
                Token::Directories if is_set(states, position) => {
                    set(states, position + 1);
                    set(states, position + 2);
                }
                _ => {}
            }
        }
    }
}

fn set(states: &mut [u64], position: usize) {
    states[position / 64] |= 1 << (position % 64);
}

fn is_set(states: &[u64], position: usize) -> bool {
    states[position / 64] & (1 << (position % 64)) != 0
}

/// The first character; a byte that is no UTF-8 counts as a character of its own, above Unicode.
fn decode(bytes: &[u8]) -> (u32, usize) {
    let first = bytes[0];
    let length = match first {
        0..0x80 => return (u32::from(first), 1),
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let character = bytes.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(|text| text.chars().next());
    character.map_or((0x11_0000 + u32::from(first), 1), |character| (u32::from(character), length))
}

fn literals(mut name: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(name.len());
    while !name.is_empty() {
        let (code, length) = decode(name);
        tokens.push(Token::Literal(code));
        name = &name[length..];
    }
    tokens
}

fn bad(pattern: &str, why: &str) -> Error {
    Error::new(Kind::Request, format!("the pattern {pattern:?} is malformed: {why}"))
}

/// Reads a class behind its `[` (Go: `'[' [ '^' ] { character-range } ']'`), and says how long it is.
fn class(pattern: &str, bytes: &[u8]) -> Result<(Token, usize)> {
    let mut at = 0;
    let negated = bytes.first() == Some(&b'^');
    at += usize::from(negated);
    let mut ranges = Vec::new();
    let escaped = |at: &mut usize| -> Result<u32> {
        match bytes.get(*at) {
            None => return Err(bad(pattern, "a class has no end")),
            Some(b'-' | b']') => return Err(bad(pattern, "a class has no character where one must be")),
            Some(b'\\') => *at += 1,
            Some(_) => {}
        }
        let rest = bytes.get(*at..).filter(|rest| !rest.is_empty()).ok_or_else(|| bad(pattern, "a class has no end"))?;
        let (code, length) = decode(rest);
        *at += length;
        Ok(code)
    };
    loop {
        if bytes.get(at) == Some(&b']') && !ranges.is_empty() {
            return Ok((Token::Class { negated, ranges }, at + 1));
        }
        let low = escaped(&mut at)?;
        let mut high = low;
        if bytes.get(at) == Some(&b'-') {
            at += 1;
            high = escaped(&mut at)?;
        }
        ranges.push((low, high));
    }
}

fn tokens(pattern: &str, directories: bool) -> Result<Vec<Token>> {
    let bytes = pattern.as_bytes();
    let (mut tokens, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        match bytes[at] {
            b'*' if directories && bytes.get(at + 1) == Some(&b'*') => {
                at += 2;
                at += usize::from(bytes.get(at) == Some(&b'/'));
                if at == bytes.len() {
                    tokens.push(Token::Rest);
                } else {
                    tokens.extend([Token::Directories, Token::DirectoriesLoop]);
                }
            }
            b'*' => {
                at += 1;
                if tokens.last() != Some(&Token::Star) {
                    tokens.push(Token::Star);
                }
            }
            b'?' => {
                at += 1;
                tokens.push(Token::One);
            }
            b'[' => {
                let (token, length) = class(pattern, &bytes[at + 1..])?;
                at += 1 + length;
                tokens.push(token);
            }
            byte => {
                at += usize::from(byte == b'\\');
                let rest = bytes.get(at..).filter(|rest| !rest.is_empty()).ok_or_else(|| bad(pattern, "it ends in a backslash"))?;
                let (code, length) = decode(rest);
                at += length;
                tokens.push(Token::Literal(code));
            }
        }
    }
    Ok(tokens)
}

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
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn components_match_as_in_go() {
        let cases = [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*", ".hidden", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("a*b*c*d*e*", "axbxcxdxe", true),
            ("a*b*c*d*e*", "axbxcxdx", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("ab[!c]", "ab!", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "-", true),
            ("[[]", "[", true),
            ("**", "abc", true),
            ("a]", "a]", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(Component::new(pattern).unwrap().matches(name.as_bytes()), expected, "{pattern} ~ {name}");
        }
        for malformed in ["[]a]", "[-]", "[x-]", "[-x]", "[", "[^", "[^bc", "a[", "[a-b-c]", "\\", "a\\"] {
            assert!(Component::new(malformed).is_err(), "{malformed}");
        }
    }

    #[test]
    fn names_that_are_no_utf_8_match_byte_by_byte() {
        assert!(Component::new("a?b").unwrap().matches(b"a\xffb"));
        assert!(Component::new("a*").unwrap().matches(b"a\xff\xfe"));
        assert!(!Component::new("a?b").unwrap().matches(b"a\xff\xffb"));
    }

    #[test]
    fn globs_match_as_in_moby() {
        let cases = [
            ("**", "file", true),
            ("**", "dir/file", true),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir/deep/file", true),
            ("dir/**", "dir", false),
            ("**/file", "file", true),
            ("**/file", "dir/deep/file", true),
            ("**/file", "dir/afile", false),
            ("**file", "dir/afile", true),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/*", "dir/dir2/deep/file", false),
            ("**/*.txt", "file.txt", true),
            ("**/*.txt", "a/b/file.txt", true),
            ("**/*.txt", "a/b/file.txtx", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("a**b", "ab", true),
            ("a**b", "ax/b", true),
            ("a**", "abc/d", true),
            ("a*/**", "ab/c/d", true),
            ("a*/**", "ab", false),
            ("**/**/*.go", "x.go", true),
            ("**/a/**", "x/a/b", true),
            ("**/a/**", "x/a", false),
            ("*.py", "a.py", true),
            ("*.py", "dir/a.py", false),
            ("a.c", "abc", false),
            ("a+(b)|{c}^$", "a+(b)|{c}^$", true),
            ("[a-c]x", "bx", true),
            ("?", "/", false),
            ("abc\\*", "abc*", true),
            (".", "a", false),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(Glob::new(pattern).unwrap().matches(path.as_bytes()), expected, "{pattern} ~ {path}");
        }
    }

    fn list(patterns: &[&str]) -> PatternList {
        let patterns: Vec<IgnorePattern> = patterns
            .iter()
            .enumerate()
            .map(|(index, text)| IgnorePattern {
                pattern: text.trim_start_matches('!').to_owned(),
                negated: text.starts_with('!'),
                line: index as u32 + 1,
            })
            .collect();
        PatternList::of_ignore_file(&patterns).unwrap()
    }

    #[test]
    fn the_last_match_decides_and_parents_count() {
        let cases: &[(&[&str], &str, bool)] = &[
            (&["docs"], "docs", true),
            (&["docs"], "docs/a/b", true),
            (&["docs"], "docs2", false),
            (&["docs", "!docs/README.md"], "docs/README.md", false),
            (&["docs", "!docs/README.md"], "docs/other.md", true),
            (&["!docs/README.md", "docs"], "docs/README.md", true),
            (&["*", "!src/**"], "src/a.c", false),
            (&["*", "!src/**"], "src", true),
            (&["*", "!src"], "src/deep/a.c", false),
            (&["*", "!src"], "other/a.c", true),
            (&["**/*.o", "!keep/*.o"], "keep/a.o", false),
            (&["**/*.o", "!keep/*.o"], "keep/deep/a.o", true),
            (&["*.md", "!README*.md", "README-secret.md"], "README-secret.md", true),
            (&["*.md", "!README*.md", "README-secret.md"], "README-x.md", false),
            (&["a", "!a/b", "a/b/c"], "a/b/c/d", true),
            (&["a", "!a/b", "a/b/c"], "a/b/x", false),
        ];
        for (patterns, path, expected) in cases {
            let list = list(patterns);
            assert_eq!(list.is_excluded(list.judge_whole(path.as_bytes())), *expected, "{patterns:?} ~ {path}");
        }
    }

    #[test]
    fn a_walk_enters_excluded_directories_only_for_what_may_be_taken_back() {
        let below = |patterns: &[&str], directory: &str| {
            let list = list(patterns);
            list.may_include_below(directory.as_bytes(), list.judge_whole(directory.as_bytes()))
        };
        assert!(!below(&["dir"], "dir"));
        assert!(below(&["dir", "!dir/keep"], "dir"));
        assert!(!below(&["dir", "!other/keep"], "dir"));
        assert!(below(&["dir", "!**/keep"], "dir/deep"));
        assert!(below(&["*", "!src/*/x"], "src/any"));
        assert!(!below(&["*", "!src/*/x"], "src/any/x2"));
        assert!(!below(&["!dir/keep", "dir"], "dir"));
        assert!(below(&["*", "!a/**/z"], "a/b/c"));
    }

    #[test]
    fn the_line_that_excludes_is_known() {
        let list = list(&["a", "dir", "!dir/keep"]);
        let verdict = list.judge_whole(b"dir/x");
        assert_eq!(list.line(verdict), Some(2));
    }

    #[test]
    fn hostile_patterns_take_no_exponential_time() {
        let stars = "*a".repeat(400);
        let start = std::time::Instant::now();
        assert!(!Component::new(&stars).unwrap().matches("a".repeat(399).as_bytes()));
        let deep = "**/a/".repeat(100) + "b";
        assert!(!Glob::new(&deep).unwrap().matches("a/".repeat(300).as_bytes()));
        assert!(start.elapsed().as_secs() < 2);
    }

    /// The definition, tried in the obvious way.
    fn reference(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.first() {
            None => name.is_empty(),
            Some(b'*') => {
                reference(&pattern[1..], name) || (name.first().is_some_and(|byte| *byte != b'/') && reference(pattern, &name[1..]))
            }
            Some(b'?') => name.first().is_some_and(|byte| *byte != b'/') && reference(&pattern[1..], &name[1..]),
            Some(byte) => name.first() == Some(byte) && reference(&pattern[1..], &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_its_definition(pattern in "[ab*?/]{0,8}", name in "[ab/]{0,8}") {
            prop_assert_eq!(Component::new(&pattern).unwrap().matches(name.as_bytes()), reference(pattern.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn any_pattern_and_path_end(pattern in ".{0,300}", path in ".{0,300}") {
            if let Ok(glob) = Glob::new(&pattern) {
                glob.matches(path.as_bytes());
                glob.may_match_below(path.as_bytes());
            }
        }

        #[test]
        fn pruning_never_loses_a_match(pattern in "[ab*/]{1,8}", directory in "[ab]{1,2}(/[ab]{1,2}){0,2}", below in "[ab]{1,2}(/[ab]{1,2}){0,2}") {
            let glob = Glob::new(&clean(&pattern)).unwrap();
            let path = format!("{directory}/{below}");
            prop_assert!(!glob.matches(path.as_bytes()) || glob.matches(directory.as_bytes()) || glob.may_match_below(directory.as_bytes()));
        }
    }
}
