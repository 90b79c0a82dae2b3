//! A filter written out in the words of the runtime specification.

use super::table::SYSCALLS;
use super::{ACTIONS, Filter, NATIVE, NEW_NAMESPACES, OPERATORS, REFUSED_FAMILIES, Rule, SYS_SOCKET};
use crate::container::capabilities::{self, Set};
use crate::wire::config::{Seccomp, Syscall, SyscallArg};
use crate::wire::container::{SeccompAction, SeccompProfile};

/// As a `config.json` has it, for a process with these capabilities; `None` where it forbids nothing.
pub fn to_config(filter: &Filter, capabilities: Set) -> Option<Seccomp> {
    match filter {
        Filter::None => None,
        Filter::Default => Some(of_table(capabilities)),
        Filter::Own(profile) => Some(of_profile(profile)),
    }
}

fn with(names: &[&str], action: &str, errno: Option<i32>, args: Vec<SyscallArg>) -> Syscall {
    Syscall {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action: action.to_owned(),
        errno_ret: errno.map(|errno| errno as u32),
        args,
    }
}

fn first(op: &str, value: u32) -> SyscallArg {
    SyscallArg { index: 0, value: value.into(), value_two: 0, op: op.to_owned() }
}

fn of_table(capabilities: Set) -> Seccomp {
    const ALLOW: &str = "SCMP_ACT_ALLOW";
    const ERRNO: &str = "SCMP_ACT_ERRNO";
    let admin = capabilities.has(capabilities::SYS_ADMIN);
    let mut allowed: Vec<&str> = Vec::new();
    let mut special = Vec::new();
    for (name, rule, _) in SYSCALLS {
        match *rule {
            Rule::Allow => allowed.push(name),
            Rule::Needs(capability) if capabilities.has(capability) => allowed.push(name),
            Rule::NeedsEither(one, other) if capabilities.has(one) || capabilities.has(other) => allowed.push(name),
            Rule::Needs(_) | Rule::NeedsEither(..) => {}
            Rule::Clone | Rule::Clone3 if admin => allowed.push(name),
            Rule::Clone => {
                let none = SyscallArg { index: 0, value: NEW_NAMESPACES.into(), value_two: 0, op: "SCMP_CMP_MASKED_EQ".to_owned() };
                special.push(with(&[name], ALLOW, None, vec![none]));
            }
            Rule::Clone3 => special.push(with(&[name], ERRNO, Some(libc::ENOSYS), Vec::new())),
            Rule::Socket => {
                // What lies below, between and above those that are refused: of conditions on one argument one is enough.
                let [low, high] = REFUSED_FAMILIES;
                special.push(with(&[name], ALLOW, None, vec![first("SCMP_CMP_LT", low)]));
                special.extend((low + 1..high).map(|family| with(&[name], ALLOW, None, vec![first("SCMP_CMP_EQ", family)])));
                special.push(with(&[name], ALLOW, None, vec![first("SCMP_CMP_GT", high)]));
            }
            Rule::SocketCall => {
                // libseccomp makes a rule of its own for the call that is left out here, of those of `socket`, and takes no second.
                special.push(with(&[name], ALLOW, None, vec![first("SCMP_CMP_NE", SYS_SOCKET)]));
            }
            Rule::Personality => {
                let harmless = [0, 0x8, 0x2_0000, 0x2_0008, u32::MAX];
                special.extend(harmless.map(|domain| with(&[name], ALLOW, None, vec![first("SCMP_CMP_EQ", domain)])));
            }
        }
    }
    let mut syscalls = vec![with(&allowed, ALLOW, None, Vec::new())];
    syscalls.extend(special);
    Seccomp {
        default_action: ERRNO.to_owned(),
        default_errno_ret: Some(libc::EPERM as u32),
        architectures: NATIVE.iter().map(|name| (*name).to_owned()).collect(),
        syscalls,
        ..Seccomp::default()
    }
}

fn of_profile(profile: &SeccompProfile) -> Seccomp {
    let action = |action: SeccompAction| {
        let known = ACTIONS.iter().find(|(_, known)| *known == action);
        known.map_or_else(String::new, |(name, _)| (*name).to_owned())
    };
    let operator = |name: &str| {
        let known = OPERATORS.iter().find(|(_, known)| *known == name);
        known.map_or_else(String::new, |(name, _)| (*name).to_owned())
    };
    let syscalls = profile.rules.iter().map(|rule| Syscall {
        names: rule.names.clone(),
        action: action(rule.action),
        errno_ret: rule.errno.map(u32::from),
        args: rule
            .conditions
            .iter()
            .map(|condition| {
                // Under a mask the mask comes first.
                let (value, value_two) = condition.mask.map_or((condition.value, 0), |mask| (mask, condition.value));
                SyscallArg { index: condition.index, value, value_two, op: operator(&condition.operator) }
            })
            .collect(),
    });
    Seccomp {
        default_action: action(profile.default_action),
        default_errno_ret: profile.default_errno.map(u32::from),
        architectures: NATIVE
            .iter()
            .filter(|name| !(profile.without_compat && **name == "SCMP_ARCH_X86"))
            .map(|name| (*name).to_owned())
            .collect(),
        syscalls: syscalls.collect(),
        ..Seccomp::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::decide;
    use super::super::{compile, from_config, profile};
    use super::*;

    /// Both say the same of every call that is in the table; of a newer one the specification's words have one answer alone.
    #[test]
    fn what_is_written_out_decides_as_the_filter_does() {
        for set in [Set(0), Set(0xa804_25fb), Set(u64::MAX >> 23)] {
            let written = to_config(&Filter::Default, set).unwrap();
            let Some(Filter::Own(read)) = from_config(&written).unwrap() else { panic!("it forbids something") };
            let (own, again) = (compile(set), profile::compile(&read).unwrap());
            let architectures: &[(u32, usize)] =
                if cfg!(target_arch = "aarch64") { &[(0xc000_00b7, 2)] } else { &[(0xc000_003e, 0), (0x4000_0003, 1)] };
            for (audit, column) in architectures {
                for (name, _, numbers) in SYSCALLS {
                    let Ok(number) = u32::try_from(numbers[*column]) else { continue };
                    for argument in [0, 1, 2, 8, 37, 38, 39, 40, 41, 63, 0x2_0000, 0x2_0008, 0x1000_0000, u32::MAX] {
                        // Here libseccomp decides, see above.
                        if *name == "socketcall" && argument == SYS_SOCKET {
                            continue;
                        }
                        let (one, other) = (decide(&own, *audit, number, argument.into()), decide(&again, *audit, number, argument.into()));
                        assert_eq!(one, other, "{name} {argument:#x} {set:?}");
                    }
                }
            }
        }
        assert_eq!(to_config(&Filter::None, Set(0)), None);
    }
}
