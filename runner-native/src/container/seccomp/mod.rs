//! The system call filter: the table, compiled to classic BPF as a binary search over number ranges.
//!
//! Numbers of one verdict that lie side by side collapse to one range, so the program is short and each call
//! passes some ten instructions. That matters: the kernel's work at loading grows with the program.

mod config;
mod export;
mod profile;
mod table;
mod unlisted;

use crate::container::capabilities::{self, Set};
use crate::error::Result;
use crate::sys::task::{self, Instruction};
use crate::wire::container::SeccompProfile;
use rustix::fd::OwnedFd;

pub use config::{ACTIONS, FLAGS, OPERATORS, from_config};
pub use export::to_config;

/// The architectures that a filter speaks about on this machine.
pub const NATIVE: &[&str] = if cfg!(target_arch = "aarch64") { &["SCMP_ARCH_AARCH64"] } else { &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"] };

/// When a system call is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Allow,
    /// With this capability.
    Needs(u32),
    NeedsEither(u32, u32),
    /// Without new namespaces, unless `SYS_ADMIN` is there.
    Clone,
    /// Its flags lie behind a pointer, which a filter cannot read: `ENOSYS` makes libraries fall back to clone.
    Clone3,
    /// All address families but two.
    Socket,
    /// All of 32-bit Linux's calls about sockets through one but the one that makes one: its family lies behind a pointer.
    /// `ENOSYS` makes libraries use `socket` itself.
    SocketCall,
    /// Only the harmless ones: Linux and 32-bit Linux, each with or without randomised addresses, and asking.
    Personality,
}

/// What the filter says of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Allow,
    Refuse,
    Unknown,
    Clone,
    Socket,
    SocketCall,
    Personality,
}

#[derive(Clone, Copy)]
enum Architecture {
    X86_64 = 0,
    I386 = 1,
    Aarch64 = 2,
}

const AUDIT_X86_64: u32 = 0xc000_003e;
const AUDIT_I386: u32 = 0x4000_0003;
const AUDIT_AARCH64: u32 = 0xc000_00b7;
/// Numbers of the x32 interface have this bit. No kernel that anyone runs has it enabled.
const X32_BIT: u32 = 0x4000_0000;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// All `CLONE_NEW*` but `NEWTIME`, whose bit is part of clone's exit signal.
const NEW_NAMESPACES: u32 = 0x7e02_0000;

/// Address families that `socket` may not ask for: they reach the kernel's cryptography, and the machine's hypervisor.
const REFUSED_FAMILIES: [u32; 2] = [libc::AF_ALG as u32, libc::AF_VSOCK as u32];

/// What `socketcall` is told to be `socket` (linux/net.h).
const SYS_SOCKET: u32 = 1;

// Offsets in seccomp_data; arguments are little-endian 64-bit words, of which the low half counts here.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENT_0: u32 = 16;

/// What a process may ask of the kernel.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Anything.
    None,
    Default,
    Own(Box<SeccompProfile>),
}

impl Filter {
    pub fn of_profile(profile: SeccompProfile) -> Self {
        Self::Own(Box::new(profile))
    }

    /// Loads it, for a process that will have these capabilities.
    pub fn load(&self, capabilities: Set) -> Result<Option<OwnedFd>> {
        match self {
            Self::None => Ok(None),
            Self::Default => task::load_seccomp(&compile(capabilities), 0),
            Self::Own(profile) => task::load_seccomp(&profile::compile(profile)?, profile.flags),
        }
    }
}

fn compile(capabilities: Set) -> Vec<Instruction> {
    assemble(|architecture| search(&ranges(architecture, capabilities), &|verdict| answer(*verdict)))
}

/// A program for the architectures of this machine, each with a part that begins with the number in the accumulator.
fn assemble(mut part: impl FnMut(Architecture) -> Vec<Instruction>) -> Vec<Instruction> {
    let mut program = vec![statement(LOAD, ARCH)];
    let architectures: &[(u32, Architecture)] = if cfg!(target_arch = "aarch64") {
        &[(AUDIT_AARCH64, Architecture::Aarch64)]
    } else {
        &[(AUDIT_X86_64, Architecture::X86_64), (AUDIT_I386, Architecture::I386)]
    };
    for (audit, architecture) in architectures {
        let mut body = vec![statement(LOAD, NUMBER)];
        if matches!(architecture, Architecture::X86_64) {
            body.extend([jump(JUMP_GE, X32_BIT, 0, 1), statement(RETURN, UNKNOWN)]);
        }
        body.extend(part(*architecture));
        program.extend([jump(JUMP_EQ, *audit, 1, 0), statement(JUMP, body.len() as u32)]);
        program.extend(body);
    }
    program.push(statement(RETURN, UNKNOWN));
    program
}

/// The verdicts in order of numbers: each holds from its start up to the next one's.
fn ranges(architecture: Architecture, capabilities: Set) -> Vec<(u32, Verdict)> {
    let known = table::SYSCALLS
        .iter()
        .filter_map(|(_, rule, numbers)| Some((u32::try_from(numbers[architecture as usize]).ok()?, verdict(*rule, capabilities))));
    // Newer than the table: a library that tries it must be able to fall back.
    cover(known.collect(), &Verdict::Refuse, Verdict::Unknown)
}

/// Ranges that cover all numbers: `between` the known ones, and `beyond` them.
fn cover<T: Clone + PartialEq>(mut known: Vec<(u32, T)>, between: &T, beyond: T) -> Vec<(u32, T)> {
    known.sort_unstable_by_key(|(number, _)| *number);
    let mut ranges: Vec<(u32, T)> = Vec::with_capacity(known.len());
    let mut add = |start: u32, verdict: T| {
        if ranges.last().is_none_or(|(_, last)| *last != verdict) {
            ranges.push((start, verdict));
        }
    };
    let mut next = 0;
    for (number, verdict) in known {
        if number > next {
            add(next, between.clone());
        }
        add(number, verdict);
        next = number + 1;
    }
    add(next, beyond);
    ranges
}

fn verdict(rule: Rule, capabilities: Set) -> Verdict {
    let either = |held: bool| if held { Verdict::Allow } else { Verdict::Refuse };
    match rule {
        Rule::Allow => Verdict::Allow,
        Rule::Needs(capability) => either(capabilities.has(capability)),
        Rule::NeedsEither(one, other) => either(capabilities.has(one) || capabilities.has(other)),
        Rule::Clone | Rule::Clone3 if capabilities.has(capabilities::SYS_ADMIN) => Verdict::Allow,
        Rule::Clone => Verdict::Clone,
        Rule::Clone3 => Verdict::Unknown,
        Rule::Socket => Verdict::Socket,
        Rule::SocketCall => Verdict::SocketCall,
        Rule::Personality => Verdict::Personality,
    }
}

/// A binary search for the number in the accumulator.
fn search<T>(ranges: &[(u32, T)], answer: &dyn Fn(&T) -> Vec<Instruction>) -> Vec<Instruction> {
    if let [(_, verdict)] = ranges {
        return answer(verdict);
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let (below, above) = (search(low, answer), search(high, answer));
    let middle = high[0].0;
    // A conditional jump reaches 255 instructions.
    let mut code = match u8::try_from(below.len()) {
        Ok(length) => vec![jump(JUMP_GE, middle, length, 0)],
        Err(_) => vec![jump(JUMP_GE, middle, 0, 1), statement(JUMP, below.len() as u32)],
    };
    code.extend(below);
    code.extend(above);
    code
}

fn answer(verdict: Verdict) -> Vec<Instruction> {
    let allow = statement(RETURN, ALLOW);
    let refuse = statement(RETURN, REFUSE);
    let argument = statement(LOAD, ARGUMENT_0);
    match verdict {
        Verdict::Allow => vec![allow],
        Verdict::Refuse => vec![refuse],
        Verdict::Unknown => vec![statement(RETURN, UNKNOWN)],
        Verdict::Clone => vec![argument, jump(JUMP_SET, NEW_NAMESPACES, 1, 0), allow, refuse],
        Verdict::Personality => {
            let allowed = [0, 0x8, 0x2_0000, 0x2_0008, u32::MAX];
            let mut code = vec![argument];
            for (index, value) in allowed.iter().enumerate() {
                code.push(jump(JUMP_EQ, *value, (allowed.len() - index) as u8, 0));
            }
            code.extend([refuse, allow]);
            code
        }
        Verdict::Socket => {
            let [one, other] = REFUSED_FAMILIES;
            vec![argument, jump(JUMP_EQ, one, 1, 0), jump(JUMP_EQ, other, 0, 1), refuse, allow]
        }
        Verdict::SocketCall => vec![argument, jump(JUMP_EQ, SYS_SOCKET, 0, 1), statement(RETURN, UNKNOWN), allow],
    }
}

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const JUMP_EQ: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const JUMP_GT: u32 = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
const JUMP_GE: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const JUMP_SET: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;

fn statement(code: u32, k: u32) -> Instruction {
    Instruction { code: code as u16, jt: 0, jf: 0, k }
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code: code as u16, jt, jf, k }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Runs a filter as the kernel would, with one and the same value as every argument.
    pub fn decide(program: &[Instruction], arch: u32, number: u32, argument: u64) -> u32 {
        let load = |offset: u32| match offset {
            NUMBER => number,
            ARCH => arch,
            _ if offset % 8 == 4 => (argument >> 32) as u32,
            _ => argument as u32,
        };
        let (mut a, mut at) = (0u32, 0usize);
        loop {
            let one = program[at];
            at += 1;
            let code = u32::from(one.code);
            let branch = |taken: bool| usize::from(if taken { one.jt } else { one.jf });
            match code {
                LOAD => a = load(one.k),
                RETURN => return one.k,
                JUMP => at += one.k as usize,
                JUMP_EQ => at += branch(a == one.k),
                JUMP_GE => at += branch(a >= one.k),
                JUMP_GT => at += branch(a > one.k),
                JUMP_SET => at += branch(a & one.k != 0),
                AND => a &= one.k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    /// The rule, read straight from the table.
    fn expected(architecture: usize, number: u32, argument: u32, set: Set) -> u32 {
        let row = table::SYSCALLS.iter().find(|(_, _, numbers)| i32::from(numbers[architecture]) == number as i32);
        let largest = table::SYSCALLS.iter().map(|(_, _, numbers)| numbers[architecture]).max().unwrap();
        let Some((_, rule, _)) = row else {
            return if number > largest as u32 { UNKNOWN } else { REFUSE };
        };
        let either = |held: bool| if held { ALLOW } else { REFUSE };
        let admin = set.has(capabilities::SYS_ADMIN);
        match *rule {
            Rule::Allow => ALLOW,
            Rule::Needs(capability) => either(set.has(capability)),
            Rule::NeedsEither(one, other) => either(set.has(one) || set.has(other)),
            Rule::Clone => either(admin || argument & NEW_NAMESPACES == 0),
            Rule::Clone3 => {
                if admin {
                    ALLOW
                } else {
                    UNKNOWN
                }
            }
            Rule::Socket => either(!REFUSED_FAMILIES.contains(&argument)),
            Rule::SocketCall => {
                if argument == SYS_SOCKET {
                    UNKNOWN
                } else {
                    ALLOW
                }
            }
            Rule::Personality => either([0, 8, 0x2_0000, 0x2_0008, u32::MAX].contains(&argument)),
        }
    }

    #[test]
    fn the_program_says_what_the_table_says() {
        for set in [Set(0), Set(0xa804_25fb), Set(u64::MAX >> 23), Set(1 << capabilities::SYSLOG)] {
            let program = compile(set);
            assert!(program.len() < 1200, "{} instructions", program.len());
            let architectures: &[(u32, usize)] =
                if cfg!(target_arch = "aarch64") { &[(AUDIT_AARCH64, 2)] } else { &[(AUDIT_X86_64, 0), (AUDIT_I386, 1)] };
            for (audit, architecture) in architectures {
                for number in 0..1200 {
                    for argument in [0, 1, 2, 8, 10, 12, 16, 17, 31, 32, 38, 40, 41, 44, 45, 46, 63, 64, 0x2_0000, 0x1000_0000, u32::MAX] {
                        let found = decide(&program, *audit, number, u64::from(argument));
                        assert_eq!(found, expected(*architecture, number, argument, set), "{audit:#x} {number} {argument:#x} {set:?}");
                    }
                }
            }
            assert_eq!(decide(&program, 0x4000_0028, 1, 0), UNKNOWN, "another architecture");
            #[cfg(target_arch = "x86_64")]
            assert_eq!(decide(&program, AUDIT_X86_64, X32_BIT | 1, 0), UNKNOWN, "x32");
        }
    }

    #[test]
    fn the_table_has_the_numbers_of_this_architecture() {
        let column = if cfg!(target_arch = "aarch64") { 2 } else { 0 };
        for (name, number) in [
            ("read", libc::SYS_read),
            ("openat2", libc::SYS_openat2),
            ("clone3", libc::SYS_clone3),
            ("mount", libc::SYS_mount),
            ("futex_waitv", libc::SYS_futex_waitv),
        ] {
            let row = table::SYSCALLS.iter().find(|(known, _, _)| *known == name).unwrap();
            assert_eq!(i64::from(row.2[column]), number, "{name}");
        }
        for refused in ["io_uring_setup", "userfaultfd", "keyctl", "add_key", "kexec_load", "pivot_root", "swapon"] {
            assert!(!table::SYSCALLS.iter().any(|(name, _, _)| *name == refused), "{refused}");
        }
    }
}
