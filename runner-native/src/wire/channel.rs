//! What the process inside tells its parent before it becomes the container's program: one packet a message,
//! then the end of the connection, which exec brings about by itself.

use crate::error::{Error, Kind, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "message", rename_all = "lowercase")]
pub enum Message {
    /// Mount points that were made in the root.
    Created {
        created: Vec<Created>,
    },
    /// The controlling side of the terminal comes with this.
    Terminal {},
    /// It did not work. Ends the conversation.
    Failed {
        error: Error,
    },
    /// The process that was made, with its descriptor.
    Child {
        pid: i32,
    },
    Warning {
        text: String,
    },
    /// Something of its network namespace comes with this.
    Socket {
        purpose: Socket,
    },
    /// All of its network namespace has come.
    Network {},
    /// The namespaces are there: [`Message::Go`] lets it go on.
    Made {},
    /// The root stands, and has not been entered: [`Message::Go`] lets it go on.
    Ready {},
    /// From outside: the process goes on.
    Go {},
    /// Where the filter asks, with this.
    Listener {},
    /// Everything is done but exec: the end that follows is the program's start.
    Confined {},
}

/// Something that was made in the root to mount on.
#[derive(Debug, Deserialize, Serialize)]
pub struct Created {
    /// Its directory: names from the root, none of them a link. Empty: the root.
    pub parent: String,
    pub name: String,
    pub directory: bool,
    pub inode: u64,
    /// What the directory was like before: times in nanoseconds.
    pub parent_before: Before,
}

/// What tells whether a directory of the upper differs from the lower's.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Before {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified: i64,
    pub modified_nanos: i64,
}

/// What a descriptor from inside is.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Socket {
    Namespace,
    Route,
    Filter,
    ResolverUdp,
    ResolverTcp,
}

pub struct Channel(OwnedFd);

/// The most that one message may have.
const MESSAGE_BYTES: usize = 128 << 10;

impl Channel {
    pub fn pair() -> Result<(Self, Self)> {
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|errno| Error::call("socketpair(AF_UNIX, SOCK_SEQPACKET)", errno))?;
        Ok((Self(one), Self(other)))
    }

    /// One that was connected elsewhere.
    pub fn of(socket: OwnedFd) -> Self {
        Self(socket)
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    pub fn send(&self, message: &Message, descriptor: Option<BorrowedFd<'_>>) -> Result<()> {
        let bytes = serde_json::to_vec(message).map_err(|error| Error::new(Kind::Io, error.to_string()))?;
        if bytes.len() > MESSAGE_BYTES {
            return Err(Error::new(Kind::TooLarge, "too much to tell the parent"));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = descriptor.as_slice();
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL).map_err(|errno| Error::call("sendmsg(…)", errno))?;
        Ok(())
    }

    pub fn parent_is_gone(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(rustix::net::recv(&self.0, &mut [0u8; 1][..], flags), Ok((_, 0)))
    }

    pub fn fail(&self, error: Error) {
        // A parent that is gone cannot be told.
        let _ = self.send(&Message::Failed { error }, None);
    }

    /// Stops until whoever makes the container says that it goes on.
    pub fn stop(&self, message: &Message) -> Result<()> {
        self.send(message, None)?;
        match self.receive()? {
            Some((Message::Go {}, _)) => Ok(()),
            _ => Err(Error::new(Kind::Cancelled, "the parent is gone")),
        }
    }

    /// The next message; `None` at the end.
    pub fn receive(&self) -> Result<Option<(Message, Option<OwnedFd>)>> {
        let mut bytes = vec![0; MESSAGE_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            match recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                // A peer that was killed with unread messages resets the connection: that is an end as well.
                Err(Errno::CONNRESET) => return Ok(None),
                other => break other.map_err(|errno| Error::call("recvmsg(…)", errno))?,
            }
        };
        if received.bytes == 0 {
            return Ok(None);
        }
        let descriptor = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        let message = serde_json::from_slice(&bytes[..received.bytes])
            .map_err(|error| Error::new(Kind::Io, format!("the process inside said something else: {error}")))?;
        Ok(Some((message, descriptor)))
    }
}
