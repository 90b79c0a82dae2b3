//! Which memory a container gets, on machines with several nodes (set_mempolicy(2)).

use super::{number_list, request};
use crate::error::Result;
use crate::wire::config;

/// Modes, by the numbers of `MPOL_*` in linux/mempolicy.h.
pub const MODES: &[(&str, u32)] = &[
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

pub const FLAGS: &[(&str, u32)] =
    &[("MPOL_F_NUMA_BALANCING", 1 << 13), ("MPOL_F_RELATIVE_NODES", 1 << 14), ("MPOL_F_STATIC_NODES", 1 << 15)];

/// What is asked of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// With its flags.
    pub mode: u32,
    pub nodes: Vec<u32>,
}

impl Policy {
    pub fn new(policy: &config::MemoryPolicy) -> Result<Self> {
        let find = |known: &[(&str, u32)], name: &str| known.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        let wrong = |what: &str, text: &str| request(format!("invalid memory policy {what}: {text:?}"));
        let kind = find(MODES, &policy.mode).ok_or_else(|| wrong("mode", &policy.mode))?;
        let mut mode = kind;
        for flag in &policy.flags {
            mode |= find(FLAGS, flag).ok_or_else(|| wrong("flag", flag))?;
        }
        let nodes =
            if policy.nodes.is_empty() { Vec::new() } else { number_list(&policy.nodes).map_err(|_| wrong("node", &policy.nodes))? };
        // MPOL_DEFAULT and MPOL_LOCAL are about no node in particular.
        if matches!(kind, 0 | 4) && !nodes.is_empty() {
            return Err(request(format!("invalid memory policy: {} mode requires 0 nodes but got {}", policy.mode, nodes.len())));
        }
        Ok(Self { mode, nodes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_the_kernels_and_nothing_else() {
        let of = |mode: &str, nodes: &str, flags: &[&str]| {
            let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
            Policy::new(&config::MemoryPolicy { mode: mode.to_owned(), nodes: nodes.to_owned(), flags })
        };
        assert_eq!(of("MPOL_BIND", "0-1,3", &["MPOL_F_STATIC_NODES"]).unwrap(), Policy { mode: 2 | 1 << 15, nodes: vec![0, 1, 3] });
        assert_eq!(of("MPOL_DEFAULT", "", &[]).unwrap(), Policy { mode: 0, nodes: Vec::new() });
        for (mode, nodes, flags, said) in [
            ("", "0", &[][..], "invalid memory policy mode"),
            ("BIND", "0", &[], "invalid memory policy mode"),
            ("MPOL_BIND", "0", &["STATIC"], "invalid memory policy flag"),
            ("MPOL_BIND", "0-9876543210", &[], "invalid memory policy node"),
            ("MPOL_DEFAULT", "0-7", &[], "mode requires 0 nodes but got 8"),
        ] {
            assert!(of(mode, nodes, flags).unwrap_err().message.contains(said), "{mode} {nodes}");
        }
    }
}
