//! Netlink messages: headers, attributes, and a conversation with the kernel. See netlink(7).

use crate::error::{Error, Kind, Result};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};

pub const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
pub const ACK: u16 = libc::NLM_F_ACK as u16;
pub const CREATE: u16 = libc::NLM_F_CREATE as u16;
pub const EXCL: u16 = libc::NLM_F_EXCL as u16;
pub const APPEND: u16 = libc::NLM_F_APPEND as u16;
pub const DUMP: u16 = libc::NLM_F_DUMP as u16;
const NESTED: u16 = libc::NLA_F_NESTED as u16;
const TYPE_MASK: u16 = 0x3fff;
const HEADER_BYTES: usize = 16;
/// More than the kernel sends at once.
const RECEIVE_BYTES: usize = 64 << 10;

/// Which part of the kernel is spoken to.
#[derive(Clone, Copy)]
pub enum Family {
    Route,
    Filter,
}

/// Opens a socket to the kernel, for the network namespace that this thread is in.
pub fn open(family: Family) -> Result<OwnedFd> {
    let protocol = match family {
        // Number zero, which rustix has no name for.
        Family::Route => None,
        Family::Filter => Some(netlink::NETFILTER),
    };
    socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)
        .map_err(|errno| Error::call("socket(AF_NETLINK, SOCK_RAW)", errno))
}

/// One message, or several in a row, that are being written.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
    /// Where the message that is being written begins.
    start: usize,
}

impl Writer {
    /// Begins a message. `head` is the fixed part that the kind of message has.
    pub fn begin(&mut self, kind: u16, flags: u16, sequence: u32, head: &[u8]) -> &mut Self {
        self.start = self.bytes.len();
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(head);
        self.pad();
        self.end()
    }

    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = 4 + value.len() as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
        self.end()
    }

    /// A text with the zero byte that ends it.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// A number as rtnetlink has it: in the machine's own order.
    pub fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// A number as nfnetlink has it: in network order.
    pub fn big(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// An attribute that holds others, after `head` where it begins with something else.
    pub fn nest(&mut self, kind: u16, head: &[u8], inside: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.bytes.len();
        self.attribute(kind | NESTED, head);
        inside(self);
        let length = (self.bytes.len() - at) as u16;
        self.bytes[at..at + 2].copy_from_slice(&length.to_ne_bytes());
        self.end()
    }

    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The length of the message that is being written is always right.
    fn end(&mut self) -> &mut Self {
        let length = (self.bytes.len() - self.start) as u32;
        self.bytes[self.start..self.start + 4].copy_from_slice(&length.to_ne_bytes());
        self
    }
}

/// Sends one message that asks for an acknowledgement, and waits for it.
pub fn ask(socket: impl AsFd, message: &[u8]) -> Result<(), Errno> {
    exchange(socket, message, |_, _| {})
}

/// Sends messages and hears all answers: to the end of a dump, or to the acknowledgement.
/// `each` gets what is not about the conversation itself: kind and payload.
pub fn exchange(socket: impl AsFd, message: &[u8], mut each: impl FnMut(u16, &[u8])) -> Result<(), Errno> {
    while let Err(errno) = send(&socket, message, SendFlags::empty()) {
        if errno != Errno::INTR {
            return Err(errno);
        }
    }
    let mut buffer = vec![0; RECEIVE_BYTES];
    loop {
        let count = match recv(&socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((count, _)) => count,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        };
        for (kind, payload) in Messages(&buffer[..count]) {
            match i32::from(kind) {
                libc::NLMSG_DONE => return Ok(()),
                libc::NLMSG_ERROR => {
                    let code = i32::from_ne_bytes(payload.get(..4).and_then(|code| code.try_into().ok()).unwrap_or_default());
                    return if code == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(-code)) };
                }
                _ => each(kind, payload),
            }
        }
    }
}

/// Sends a batch of which only the last message asks for an acknowledgement; the first that is refused answers too.
///
/// # Errors
/// The first refusal.
pub fn batch(socket: impl AsFd, messages: &[u8]) -> Result<(), Errno> {
    exchange(socket, messages, |_, _| {})
}

/// The messages of what was received: kind and payload.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = u32::from_ne_bytes(self.0.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(self.0.get(4..6)?.try_into().ok()?);
        let payload = self.0.get(HEADER_BYTES..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    }
}

/// The attributes of a payload: kind without its flags, and value.
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(self.0.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(self.0.get(2..4)?.try_into().ok()?) & TYPE_MASK;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

impl<'a> Attributes<'a> {
    pub fn find(self, wanted: u16) -> Option<&'a [u8]> {
        let mut attributes = self;
        attributes.find_map(|(kind, value)| (kind == wanted).then_some(value))
    }
}

/// A text as attributes have it.
pub fn text_of(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
}

pub fn number_of(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.get(..4)?.try_into().ok()?))
}

/// A refusal of the kernel, in the words of what was asked for.
pub fn refused(what: impl Into<String>, errno: Errno) -> Error {
    let error = Error::call(what, errno);
    match errno {
        Errno::PERM | Errno::ACCESS => Error { kind: Kind::Isolation, ..error },
        Errno::OPNOTSUPP | Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT => Error { kind: Kind::Unsupported, ..error },
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut writer = Writer::default();
        writer.begin(16, REQUEST, 7, &[1, 2, 3]).text(3, "eth0").nest(18, &[], |inside| {
            inside.text(1, "veth").number(2, 0x0102_0304);
        });
        let bytes = writer.take();
        assert_eq!(bytes.len() % 4, 0);
        let (kind, payload) = Messages(&bytes).next().unwrap();
        assert_eq!(kind, 16);
        assert_eq!(text_of(Attributes(&payload[4..]).find(3).unwrap()), "eth0");
        let nested = Attributes(&payload[4..]).find(18).unwrap();
        assert_eq!(text_of(Attributes(nested).find(1).unwrap()), "veth");
        assert_eq!(number_of(Attributes(nested).find(2).unwrap()), Some(0x0102_0304));
        assert!(Messages(&bytes).nth(1).is_none());
    }

    #[test]
    fn broken_messages_end_the_reading() {
        for bytes in [&[][..], &[0; 3], &[0; 16], &[255; 64], &[20, 0, 0, 0, 1, 0, 0, 0]] {
            assert_eq!(Messages(bytes).count(), 0);
        }
        for bytes in [&[][..], &[1, 0, 0, 0], &[3, 0, 1, 0], &[255, 255, 0, 0]] {
            assert_eq!(Attributes(bytes).count(), 0);
        }
    }
}
