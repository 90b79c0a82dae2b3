//! The automaton that a pattern becomes, and how the text of one is read.

use crate::error::{Error, Kind, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
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
pub struct Automaton {
    pub tokens: Vec<Token>,
    /// Literal bytes that every match starts with: most names fail here.
    prefix: Vec<u8>,
    /// Whether a class may match `/`.
    classes_cross: bool,
}

impl Automaton {
    pub fn new(tokens: Vec<Token>, classes_cross: bool) -> Self {
        let mut prefix = Vec::new();
        for token in &tokens {
            match token {
                Token::Literal(code) if *code < 0x80 => prefix.push(*code as u8),
                _ => break,
            }
        }
        Self { tokens, prefix, classes_cross }
    }

    pub fn matches(&self, name: &[u8]) -> bool {
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
    pub fn simulate(&self, name: &[u8], now: &mut [u64], next: &mut [u64]) -> bool {
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
    pub fn skip(&self, states: &mut [u64]) {
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
pub fn decode(bytes: &[u8]) -> (u32, usize) {
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

pub fn literals(mut name: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(name.len());
    while !name.is_empty() {
        let (code, length) = decode(name);
        tokens.push(Token::Literal(code));
        name = &name[length..];
    }
    tokens
}

pub fn bad(pattern: &str, why: &str) -> Error {
    Error::new(Kind::Request, format!("the pattern {pattern:?} is malformed: {why}")).hint("Write \\[ for an ordinary bracket.")
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

pub fn tokens(pattern: &str, directories: bool) -> Result<Vec<Token>> {
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
