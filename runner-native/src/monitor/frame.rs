//! What a monitor and those who are connected to its container say to each other: a letter, a length, bytes.

use crate::error::{Error, Kind, Result};
use crate::limit;
use crate::wire::container::RunResult;
use serde::{Deserialize, Serialize};

/// From a client: bytes for the container.
pub const INPUT: u8 = b'i';
/// From a client: its input has ended.
pub const INPUT_END: u8 = b'e';
/// From a client: the size of its terminal, rows and columns as two 16-bit numbers.
pub const RESIZE: u8 = b'r';
/// From a client: a signal for the container.
pub const SIGNAL: u8 = b's';
/// From the one in front: whoever started it is gone, so end the container.
pub const STOP: u8 = b'x';
/// From the one in front: the container goes on without it.
pub const LEAVE: u8 = b'd';
/// From the monitor: what the container wrote to stdout or stderr.
pub const OUTPUT: u8 = b'o';
pub const ERRORS: u8 = b'E';
/// From the monitor: a [`Notice`].
pub const NOTICE: u8 = b'n';

const HEAD: usize = 5;

/// What a monitor tells of the container.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "notice", rename_all = "lowercase")]
pub enum Notice {
    Started { pid: i32, terminal: bool },
    Warning { text: String },
    Failed { error: Error },
    Exited { result: RunResult },
}

pub fn push(buffer: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    buffer.push(kind);
    buffer.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    buffer.extend_from_slice(bytes);
}

pub fn push_notice(buffer: &mut Vec<u8>, notice: &Notice) {
    push(buffer, NOTICE, &serde_json::to_vec(notice).unwrap_or_default());
}

/// Takes the first whole frame out of what has come in.
pub fn take(buffer: &mut Vec<u8>) -> Result<Option<(u8, Vec<u8>)>> {
    let Some(head) = buffer.first_chunk::<HEAD>() else { return Ok(None) };
    let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if length > limit::FRAME {
        return Err(Error::new(Kind::Corrupt, "the other side of the connection speaks another language"));
    }
    if buffer.len() < HEAD + length {
        return Ok(None);
    }
    let kind = head[0];
    let bytes = buffer[HEAD..HEAD + length].to_vec();
    buffer.drain(..HEAD + length);
    Ok(Some((kind, bytes)))
}

/// The whole frames of what has come in, which stay there.
pub fn all(mut buffer: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = buffer.split_first_chunk::<HEAD>()?;
        let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize)?;
        buffer = rest;
        Some((head[0], bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_are_too_long_are_another_language() {
        let frame = |length: usize| {
            let mut bytes = Vec::new();
            push(&mut bytes, INPUT, &vec![0; length]);
            take(&mut bytes).map(|frame| frame.is_some())
        };
        assert!(frame(limit::FRAME).unwrap());
        assert!(frame(limit::FRAME + 1).is_err());
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let mut buffer = Vec::new();
        push(&mut buffer, INPUT, b"abc");
        push(&mut buffer, INPUT_END, b"");
        let mut arriving = Vec::new();
        let mut found = Vec::new();
        for byte in buffer {
            arriving.push(byte);
            while let Some(frame) = take(&mut arriving).unwrap() {
                found.push(frame);
            }
        }
        assert_eq!(found, [(INPUT, b"abc".to_vec()), (INPUT_END, Vec::new())]);
        assert!(take(&mut vec![OUTPUT, 255, 255, 255, 255]).is_err());
    }
}
