//! A filter of a user's own: rules by name, compiled to the same search over numbers as the default filter.

use super::table::SYSCALLS;
use super::unlisted::UNLISTED;
use super::{AND, Architecture, JUMP_EQ, JUMP_GE, JUMP_GT, LOAD, RETURN, UNKNOWN, assemble, cover, jump, search, statement};
use crate::error::{Error, Kind, Result};
use crate::sys::task::Instruction;
use crate::wire::container::{SeccompAction, SeccompCondition, SeccompProfile, SeccompRule};

/// The most instructions that the kernel takes (BPF_MAXINSNS).
const MOST: usize = 4096;

/// Names that no architecture here has are passed over, as other runtimes do: profiles are written for many kernels.
pub fn compile(profile: &SeccompProfile) -> Result<Vec<Instruction>> {
    let default = value(profile.default_action, profile.default_errno);
    // A call newer than the table must look like one that the kernel does not have, or libraries do not fall back.
    let beyond = if profile.default_action == SeccompAction::Errno { UNKNOWN } else { default };
    let blocks = names().map(|(name, numbers)| Ok((numbers, block(&profile.rules, name, default)?))).collect::<Result<Vec<_>>>()?;
    let program = assemble(|architecture: Architecture| {
        // As libseccomp does with an architecture that is not in its list.
        if profile.without_compat && matches!(architecture, Architecture::I386) {
            return vec![statement(RETURN, libc::SECCOMP_RET_KILL_THREAD)];
        }
        let known = blocks.iter().filter_map(|(numbers, block)| Some((u32::try_from(numbers[architecture as usize]).ok()?, block.clone())));
        let plain = |value| Block(vec![statement(RETURN, value)]);
        search(&cover(known.collect(), &plain(default), plain(beyond)), &|block| block.0.clone())
    });
    if program.len() > MOST {
        return Err(invalid(&format!("it makes {} instructions, and the kernel takes {MOST}", program.len())));
    }
    Ok(program)
}

/// What a filter says of one call. Equal ones of calls that lie side by side become one.
#[derive(Clone)]
struct Block(Vec<Instruction>);

impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        let fields = |block: &Self| block.0.iter().map(|one| (one.code, one.jt, one.jf, one.k)).collect::<Vec<_>>();
        fields(self) == fields(other)
    }
}

fn names() -> impl Iterator<Item = (&'static str, [i16; 3])> {
    SYSCALLS.iter().map(|(name, _, numbers)| (*name, *numbers)).chain(UNLISTED.iter().copied())
}

/// The first rule that holds, or the default.
fn block(rules: &[SeccompRule], name: &str, default: u32) -> Result<Block> {
    let mut code = Vec::new();
    for rule in rules.iter().filter(|rule| rule.names.iter().any(|named| named == name)) {
        code.extend(conditional(&rule.conditions, value(rule.action, rule.errno))?);
        if rule.conditions.is_empty() {
            return Ok(Block(code));
        }
    }
    code.push(statement(RETURN, default));
    Ok(Block(code))
}

fn value(action: SeccompAction, errno: Option<u16>) -> u32 {
    let data = u32::from(errno.unwrap_or(libc::EPERM as u16));
    match action {
        SeccompAction::Allow => libc::SECCOMP_RET_ALLOW,
        SeccompAction::Log => libc::SECCOMP_RET_LOG,
        SeccompAction::Trace => libc::SECCOMP_RET_TRACE | data,
        SeccompAction::Errno => libc::SECCOMP_RET_ERRNO | data,
        SeccompAction::Trap => libc::SECCOMP_RET_TRAP,
        SeccompAction::KillThread => libc::SECCOMP_RET_KILL_THREAD,
        SeccompAction::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        SeccompAction::Notify => libc::SECCOMP_RET_USER_NOTIF,
    }
}

/// Where a comparison goes on.
#[derive(Clone, Copy)]
enum To {
    /// The next instruction.
    Next,
    /// The condition holds.
    Holds,
    /// It does not, and so the rule does not.
    Fails,
}

#[derive(Clone, Copy)]
enum Step {
    Plain(Instruction),
    Compare(u32, u32, To, To),
}

/// Returns `verdict` if all conditions hold; else goes on behind itself.
fn conditional(conditions: &[SeccompCondition], verdict: u32) -> Result<Vec<Instruction>> {
    let parts = conditions.iter().map(compare).collect::<Result<Vec<_>>>()?;
    let length: usize = parts.iter().map(Vec::len).sum::<usize>() + 1;
    let mut code = Vec::with_capacity(length);
    for part in parts {
        let end = code.len() + part.len();
        for step in part {
            let next = code.len() + 1;
            let aim = |to| {
                let target = match to {
                    To::Next => next,
                    To::Holds => end,
                    To::Fails => length,
                };
                u8::try_from(target - next).map_err(|_| invalid(&format!("a rule with {} conditions is too long", conditions.len())))
            };
            code.push(match step {
                Step::Plain(instruction) => instruction,
                Step::Compare(code, k, then, otherwise) => jump(code, k, aim(then)?, aim(otherwise)?),
            });
        }
    }
    code.push(statement(RETURN, verdict));
    Ok(code)
}

/// An argument has 64 bits, and the accumulator 32: first the high half, and where that does not decide, the low one.
fn compare(condition: &SeccompCondition) -> Result<Vec<Step>> {
    use Step::{Compare, Plain};
    use To::{Fails, Holds, Next};
    if condition.index > 5 {
        return Err(invalid(&format!("a system call has no argument {}", condition.index)));
    }
    let offset = 16 + 8 * condition.index;
    let (low, high) = (Plain(statement(LOAD, offset)), Plain(statement(LOAD, offset + 4)));
    let (low_value, high_value) = (condition.value as u32, (condition.value >> 32) as u32);
    let ordered = |code, above, below, holds, fails| {
        vec![
            high,
            Compare(JUMP_GT, high_value, above, Next),
            Compare(JUMP_EQ, high_value, Next, below),
            low,
            Compare(code, low_value, holds, fails),
        ]
    };
    Ok(match condition.operator.as_str() {
        "eq" => vec![high, Compare(JUMP_EQ, high_value, Next, Fails), low, Compare(JUMP_EQ, low_value, Holds, Fails)],
        "ne" => vec![high, Compare(JUMP_EQ, high_value, Next, Holds), low, Compare(JUMP_EQ, low_value, Fails, Holds)],
        "gt" => ordered(JUMP_GT, Holds, Fails, Holds, Fails),
        "ge" => ordered(JUMP_GE, Holds, Fails, Holds, Fails),
        "lt" => ordered(JUMP_GE, Fails, Holds, Fails, Holds),
        "le" => ordered(JUMP_GT, Fails, Holds, Fails, Holds),
        "masked-eq" => {
            let mask = condition.mask.unwrap_or(u64::MAX);
            let and = |mask| Plain(statement(AND, mask));
            vec![
                high,
                and((mask >> 32) as u32),
                Compare(JUMP_EQ, high_value, Next, Fails),
                low,
                and(mask as u32),
                Compare(JUMP_EQ, low_value, Holds, Fails),
            ]
        }
        other => return Err(invalid(&format!("there is no comparison {other:?}"))),
    })
}

fn invalid(why: &str) -> Error {
    Error::new(Kind::Request, format!("cannot use the seccomp profile: {why}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::decide;
    use super::super::{AUDIT_AARCH64, AUDIT_X86_64};
    use super::*;
    use serde_json::json;

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const ERRNO: u32 = libc::SECCOMP_RET_ERRNO;

    fn machine() -> (u32, usize) {
        if cfg!(target_arch = "aarch64") { (AUDIT_AARCH64, 2) } else { (AUDIT_X86_64, 0) }
    }

    fn number(name: &str) -> u32 {
        names().find(|(known, _)| *known == name).unwrap().1[machine().1] as u32
    }

    fn program(profile: serde_json::Value) -> Vec<Instruction> {
        compile(&serde_json::from_value(profile).unwrap()).unwrap()
    }

    #[test]
    fn names_decide_and_the_rest_is_the_default() {
        let program = program(json!({
            "defaultAction": "errno", "defaultErrno": 7,
            "rules": [
                { "names": ["read", "io_uring_setup", "of_another_kernel"], "action": "allow" },
                { "names": ["mkdirat"], "action": "errno", "errno": 5 },
                { "names": ["ptrace"], "action": "kill-process" },
            ],
        }));
        let verdict = |name| decide(&program, machine().0, number(name), 0);
        assert_eq!(verdict("read"), ALLOW);
        assert_eq!(verdict("io_uring_setup"), ALLOW);
        assert_eq!(verdict("mkdirat"), ERRNO | 5);
        assert_eq!(verdict("ptrace"), libc::SECCOMP_RET_KILL_PROCESS);
        assert_eq!(verdict("write"), ERRNO | 7);
        assert_eq!(decide(&program, machine().0, 1000, 0), ERRNO | libc::ENOSYS as u32);
    }

    #[test]
    fn conditions_compare_all_64_bits() {
        let values = [0, 1, 5, 6, 7, u64::from(u32::MAX), 1 << 32, (1 << 32) + 5, (1 << 32) + 6, (1 << 32) + 7, u64::MAX];
        for against in [0u64, 6, u64::from(u32::MAX), (1 << 32) + 6, u64::MAX] {
            for (operator, holds) in [
                ("eq", (|a, b| a == b) as fn(u64, u64) -> bool),
                ("ne", |a, b| a != b),
                ("lt", |a, b| a < b),
                ("le", |a, b| a <= b),
                ("gt", |a, b| a > b),
                ("ge", |a, b| a >= b),
                ("masked-eq", |a, b| a & 0x1_0000_0006 == b),
            ] {
                let condition = json!({ "index": 1, "operator": operator, "value": against, "mask": 0x1_0000_0006u64 });
                // Twice the same condition, behind another rule: jumps lead over both.
                let program = program(json!({
                    "defaultAction": "errno",
                    "rules": [
                        { "names": ["read"], "action": "log", "conditions": [{ "index": 0, "operator": "eq", "value": 42 }] },
                        { "names": ["read"], "action": "allow", "conditions": [condition, condition] },
                    ],
                }));
                for value in values {
                    let wanted = if holds(value, against) { ALLOW } else { ERRNO | 1 };
                    assert_eq!(decide(&program, machine().0, number("read"), value), wanted, "{value:#x} {operator} {against:#x}");
                }
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |condition: serde_json::Value| {
            let profile =
                json!({ "defaultAction": "allow", "rules": [{ "names": ["read"], "action": "errno", "conditions": [condition] }] });
            compile(&serde_json::from_value(profile).unwrap()).unwrap_err().message
        };
        assert!(refused(json!({ "index": 6, "operator": "eq", "value": 0 })).contains("no argument 6"));
        assert!(refused(json!({ "index": 0, "operator": "like", "value": 0 })).contains("like"));
    }
}
