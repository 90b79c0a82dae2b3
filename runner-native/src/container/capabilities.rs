//! Capabilities by name, as sets of bits.

use crate::error::{Error, Kind, Result};
use crate::sys::capability;
use crate::wire::config::Capabilities;

macro_rules! capabilities {
    ($($name:ident = $bit:literal),* $(,)?) => {
        $(#[allow(dead_code)] pub const $name: u32 = $bit;)*
        /// All that Linux knows, by name without `CAP_`.
        const NAMES: &[(&str, u32)] = &[$((stringify!($name), $bit)),*];
    };
}

capabilities! {
    CHOWN = 0, DAC_OVERRIDE = 1, DAC_READ_SEARCH = 2, FOWNER = 3, FSETID = 4, KILL = 5, SETGID = 6, SETUID = 7, SETPCAP = 8,
    LINUX_IMMUTABLE = 9, NET_BIND_SERVICE = 10, NET_BROADCAST = 11, NET_ADMIN = 12, NET_RAW = 13, IPC_LOCK = 14, IPC_OWNER = 15,
    SYS_MODULE = 16, SYS_RAWIO = 17, SYS_CHROOT = 18, SYS_PTRACE = 19, SYS_PACCT = 20, SYS_ADMIN = 21, SYS_BOOT = 22, SYS_NICE = 23,
    SYS_RESOURCE = 24, SYS_TIME = 25, SYS_TTY_CONFIG = 26, MKNOD = 27, LEASE = 28, AUDIT_WRITE = 29, AUDIT_CONTROL = 30, SETFCAP = 31,
    MAC_OVERRIDE = 32, MAC_ADMIN = 33, SYSLOG = 34, WAKE_ALARM = 35, BLOCK_SUSPEND = 36, AUDIT_READ = 37, PERFMON = 38, BPF = 39,
    CHECKPOINT_RESTORE = 40,
}

/// A set of capabilities, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set(pub u64);

impl Set {
    pub fn has(self, capability: u32) -> bool {
        self.0 >> capability & 1 == 1
    }

    /// What is in another as well.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What this process may give away: its own permitted set.
    pub fn permitted() -> Result<Self> {
        Ok(Self(capability::capabilities()?.1))
    }
}

/// The sets of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    pub bounding: Set,
    pub effective: Set,
    pub permitted: Set,
    pub inheritable: Set,
    pub ambient: Set,
}

/// The sets that the specification's words name.
///
/// # Errors
/// `Kind::Request` for a name that Linux does not know.
pub fn sets(names: &Capabilities) -> Result<Sets> {
    Ok(Sets {
        bounding: parse(&names.bounding)?,
        effective: parse(&names.effective)?,
        permitted: parse(&names.permitted)?,
        inheritable: parse(&names.inheritable)?,
        ambient: parse(&names.ambient)?,
    })
}

/// The names, with `CAP_`, of a set.
pub fn names_of(set: Set) -> Vec<String> {
    NAMES.iter().filter(|(_, bit)| set.has(*bit)).map(|(name, _)| format!("CAP_{name}")).collect()
}

/// The names of all that Linux knows.
pub fn all_names() -> Vec<String> {
    names_of(Set(u64::MAX))
}

/// Whether Linux knows a capability of this name.
pub fn is_known(name: &str) -> bool {
    parse(&[name.to_owned()]).is_ok()
}

/// Reads names, with or without `CAP_`, in either case; `ALL` is every one.
///
/// # Errors
/// `Kind::Request` for a name that Linux does not know.
pub fn parse(names: &[String]) -> Result<Set> {
    let mut set = 0;
    for name in names {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if bare == "ALL" {
            set |= NAMES.iter().fold(0, |all, (_, bit)| all | 1 << bit);
            continue;
        }
        let Some((_, bit)) = NAMES.iter().find(|(known, _)| *known == bare) else {
            return Err(Error::new(Kind::Request, format!("unknown capability {name:?}")));
        };
        set |= 1 << bit;
    }
    Ok(Set(set))
}

impl Sets {
    /// As far as they are within another.
    #[must_use]
    pub fn within(self, limit: Set) -> Self {
        let both = |set: Set| set.within(limit);
        Self {
            bounding: both(self.bounding),
            effective: both(self.effective),
            permitted: both(self.permitted),
            inheritable: both(self.inheritable),
            ambient: both(self.ambient),
        }
    }
}

/// Lets a program that is executed keep these.
pub fn raise_ambient(set: Set) -> Result<()> {
    (0..64).filter(|capability| set.has(*capability)).try_for_each(capability::raise_ambient)
}

/// Takes everything else out of the bounding set, for good.
pub fn bound(set: Set) -> Result<()> {
    for capability in 0..64 {
        match capability::in_bounding(capability) {
            None => break,
            Some(true) if !set.has(capability) => capability::drop_bounding(capability)?,
            Some(_) => {}
        }
    }
    capability::clear_ambient();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_every_spelling() {
        let set = parse(&["CAP_CHOWN".into(), "net_raw".into(), "Cap_Sys_Admin".into()]).unwrap();
        assert_eq!(set, Set(1 << CHOWN | 1 << NET_RAW | 1 << SYS_ADMIN));
        assert_eq!(parse(&["ALL".into()]).unwrap(), Set((1 << 41) - 1));
        assert_eq!(parse(&["CAP_NOTHING".into()]).unwrap_err().kind, Kind::Request);
    }
}
