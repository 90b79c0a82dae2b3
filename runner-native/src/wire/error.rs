//! The one error: what failed, in which call, on what.

use serde::Serialize;
use std::fmt;

/// Why a job failed: the closed set that the host maps to its own codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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

/// A failure, as the host is told of it.
#[derive(Debug)]
pub struct Error {
    pub kind: Kind,
    /// What failed, in lower case and without a full stop.
    pub message: String,
    /// The call as strace would print it: `openat2(5, "etc/passwd", O_NOFOLLOW)`.
    pub operation: Option<String>,
    pub path: Option<String>,
    pub errno: Option<rustix::io::Errno>,
    pub hint: Option<String>,
    /// For a source that was not found: the line of the ignore file that excludes it.
    pub ignored_by: Option<u32>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), operation: None, path: None, errno: None, hint: None, ignored_by: None }
    }

    /// A failed system call. The kind follows from the errno.
    pub fn call(operation: impl Into<String>, errno: impl Into<rustix::io::Errno>) -> Self {
        let (operation, errno) = (operation.into(), errno.into());
        let mut error = Self::new(kind_of(errno), said(&operation, errno));
        error.operation = Some(operation);
        error.errno = Some(errno);
        error
    }

    /// A failed operation of the standard library.
    pub fn io(operation: impl Into<String>, source: &std::io::Error) -> Self {
        if let Some(errno) = rustix::io::Errno::from_io_error(source) {
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

fn kind_of(errno: rustix::io::Errno) -> Kind {
    use rustix::io::Errno;
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
fn said(operation: &str, errno: rustix::io::Errno) -> String {
    const LONGEST: usize = 100;
    let why = describe(errno);
    let name = operation.split('"').nth(1).unwrap_or_default();
    if name.is_empty() {
        return why;
    }
    let shown: String = name.chars().take(LONGEST).collect();
    if shown.len() < name.len() { format!("\"{shown}…\": {why}") } else { format!("\"{shown}\": {why}") }
}

fn describe(errno: rustix::io::Errno) -> String {
    let text = std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string();
    // "No such file or directory (os error 2)" → "no such file or directory"
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

/// The symbolic name of an errno, for the host: `ENOSPC`.
pub fn errno_name(errno: rustix::io::Errno) -> String {
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
    let number = errno.raw_os_error();
    NAMES.iter().find(|(known, _)| *known == number).map_or_else(|| format!("E{number}"), |(_, name)| (*name).to_owned())
}
