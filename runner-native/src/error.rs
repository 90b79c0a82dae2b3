//! The one error: what failed, in which call, on what.

use rustix::io::Errno;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Why a job failed: the closed set that the host maps to its own codes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Request,
    Escape,
    Corrupt,
    DigestMismatch,
    SizeMismatch,
    TooLarge,
    NotFound,
    Exists,
    NotDirectory,
    NoUser,
    Permission,
    NoSpace,
    Unsupported,
    Isolation,
    CommandNotFound,
    CommandNotExecutable,
    State,
    Cancelled,
    Io,
}

/// A failure, as the host is told of it; and as processes of this program tell each other, so that nothing is lost on the way.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Error {
    pub kind: Kind,
    /// What failed, in lower case and without a full stop.
    pub message: String,
    /// The call as strace would print it: `openat2(5, "etc/passwd", O_NOFOLLOW)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// By its symbolic name.
    #[serde(default, serialize_with = "write_errno", deserialize_with = "read_errno", skip_serializing_if = "Option::is_none")]
    pub errno: Option<Errno>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// For a source that was not found: the line of the ignore file that excludes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored_by: Option<u32>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), operation: None, path: None, errno: None, hint: None, ignored_by: None }
    }

    /// A failed system call. The kind follows from the errno.
    pub fn call(operation: impl Into<String>, errno: impl Into<Errno>) -> Self {
        let (operation, errno) = (operation.into(), errno.into());
        let mut error = Self::new(kind_of(errno), said(&operation, errno));
        error.operation = Some(operation);
        error.errno = Some(errno);
        error
    }

    /// A failed operation of the standard library.
    pub fn io(operation: impl Into<String>, source: &std::io::Error) -> Self {
        if let Some(errno) = Errno::from_io_error(source) {
            return Self::call(operation, errno);
        }
        let mut error = Self::new(Kind::Io, source.to_string());
        error.operation = Some(operation.into());
        error
    }

    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts what was being done before the message: `cannot unpack layer: …`.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        if let Some(path) = &self.path {
            write!(f, " ({path:?})")?;
        }
        if let Some(operation) = &self.operation {
            write!(f, " in {operation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

fn kind_of(errno: Errno) -> Kind {
    match errno {
        Errno::NOENT => Kind::NotFound,
        Errno::EXIST => Kind::Exists,
        Errno::NOTDIR => Kind::NotDirectory,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => Kind::Permission,
        Errno::NOSPC | Errno::DQUOT => Kind::NoSpace,
        Errno::XDEV => Kind::Escape,
        Errno::FBIG | Errno::NAMETOOLONG => Kind::TooLarge,
        _ => Kind::Io,
    }
}

/// What a person reads: which file, and why. The call itself is told beside it, to those who ask for it.
fn said(operation: &str, errno: Errno) -> String {
    const LONGEST: usize = 100;
    let why = describe(errno);
    let name = operation.split('"').nth(1).unwrap_or_default();
    if name.is_empty() {
        return why;
    }
    let shown: String = name.chars().take(LONGEST).collect();
    if shown.len() < name.len() { format!("\"{shown}…\": {why}") } else { format!("\"{shown}\": {why}") }
}

fn describe(errno: Errno) -> String {
    let text = std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string();
    // "No such file or directory (os error 2)" → "no such file or directory"
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

#[expect(clippy::trivially_copy_pass_by_ref, clippy::ref_option, reason = "the form that serde calls")]
fn write_errno<S: Serializer>(errno: &Option<Errno>, serializer: S) -> Result<S::Ok, S::Error> {
    errno.map(errno_name).serialize(serializer)
}

fn read_errno<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Errno>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|name| errno_of(&name)))
}

/// The symbolic name of an errno: `ENOSPC`. One that has none here is `E` and its number.
fn errno_name(errno: Errno) -> String {
    let number = errno.raw_os_error();
    NAMES.iter().find(|(known, _)| *known == number).map_or_else(|| format!("E{number}"), |(_, name)| (*name).to_owned())
}

fn errno_of(name: &str) -> Option<Errno> {
    let known = NAMES.iter().find(|(_, known)| *known == name).map(|(number, _)| *number);
    known.or_else(|| name.strip_prefix('E')?.parse().ok()).map(Errno::from_raw_os_error)
}

const NAMES: &[(i32, &str)] = &[
    (libc::EPERM, "EPERM"),
    (libc::ENOENT, "ENOENT"),
    (libc::ESRCH, "ESRCH"),
    (libc::EINTR, "EINTR"),
    (libc::EIO, "EIO"),
    (libc::ENXIO, "ENXIO"),
    (libc::E2BIG, "E2BIG"),
    (libc::ENOEXEC, "ENOEXEC"),
    (libc::EBADF, "EBADF"),
    (libc::ECHILD, "ECHILD"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::EACCES, "EACCES"),
    (libc::EFAULT, "EFAULT"),
    (libc::ENOTBLK, "ENOTBLK"),
    (libc::EBUSY, "EBUSY"),
    (libc::EEXIST, "EEXIST"),
    (libc::EXDEV, "EXDEV"),
    (libc::ENODEV, "ENODEV"),
    (libc::ENOTDIR, "ENOTDIR"),
    (libc::EISDIR, "EISDIR"),
    (libc::EINVAL, "EINVAL"),
    (libc::ENFILE, "ENFILE"),
    (libc::EMFILE, "EMFILE"),
    (libc::ENOTTY, "ENOTTY"),
    (libc::ETXTBSY, "ETXTBSY"),
    (libc::EFBIG, "EFBIG"),
    (libc::ENOSPC, "ENOSPC"),
    (libc::ESPIPE, "ESPIPE"),
    (libc::EROFS, "EROFS"),
    (libc::EMLINK, "EMLINK"),
    (libc::EPIPE, "EPIPE"),
    (libc::EDOM, "EDOM"),
    (libc::ERANGE, "ERANGE"),
    (libc::EDEADLK, "EDEADLK"),
    (libc::ENAMETOOLONG, "ENAMETOOLONG"),
    (libc::ENOLCK, "ENOLCK"),
    (libc::ENOSYS, "ENOSYS"),
    (libc::ENOTEMPTY, "ENOTEMPTY"),
    (libc::ELOOP, "ELOOP"),
    (libc::ENODATA, "ENODATA"),
    (libc::EOVERFLOW, "EOVERFLOW"),
    (libc::ENOTSUP, "ENOTSUP"),
    (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    (libc::ECONNRESET, "ECONNRESET"),
    (libc::ETIMEDOUT, "ETIMEDOUT"),
    (libc::ESTALE, "ESTALE"),
    (libc::EDQUOT, "EDQUOT"),
    (libc::ECANCELED, "ECANCELED"),
    (libc::EUSERS, "EUSERS"),
    (libc::EPROTO, "EPROTO"),
    (libc::EILSEQ, "EILSEQ"),
    (libc::EADDRINUSE, "EADDRINUSE"),
    (libc::ENOBUFS, "ENOBUFS"),
    (libc::ENOTCONN, "ENOTCONN"),
    (libc::ECONNREFUSED, "ECONNREFUSED"),
    (libc::ENOTSOCK, "ENOTSOCK"),
    (libc::EMSGSIZE, "EMSGSIZE"),
    (libc::EKEYEXPIRED, "EKEYEXPIRED"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_as_it_was_written() {
        let whole =
            Error { ignored_by: Some(3), ..Error::call("openat(\"a\")", Errno::NOSPC).path("a").hint("Make room.").context("cannot copy") };
        for error in [whole, Error::new(Kind::DigestMismatch, "x"), Error::call("frob()", Errno::from_raw_os_error(4095))] {
            let text = serde_json::to_string(&error).unwrap();
            let read: Error = serde_json::from_str(&text).unwrap();
            assert_eq!(format!("{read:?}"), format!("{error:?}"));
        }
        let bare = serde_json::to_string(&Error::new(Kind::NotFound, "x")).unwrap();
        assert_eq!(bare, r#"{"kind":"not-found","message":"x"}"#);
    }
}
