//! Which devices a container's processes may open, whoever has made the node: the image, a volume, or they themselves.

use crate::error::{Error, Kind, Result};
use crate::sys::bpf::{self, Instruction};
use crate::wire::config::{Device, DeviceRule};
use rustix::fd::OwnedFd;

/// A kind of device, its number (`None`: any), and what may, or may not, be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub allow: bool,
    /// `b`, `c`, or `a` for both.
    pub kind: char,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    /// Of `r`, `w` and `m` (making a node).
    pub access: String,
}

impl Rule {
    /// # Errors
    /// `Kind::Request` for what is none.
    pub fn new(rule: &DeviceRule) -> Result<Self> {
        let wrong = |why: &str| Error::new(Kind::Request, format!("a device rule {why}"));
        let kind = match rule.kind.as_str() {
            "" | "a" => 'a',
            "c" | "u" => 'c',
            "b" => 'b',
            other => return Err(wrong(&format!("has the type {other:?}, which is none of a, b and c"))),
        };
        if !rule.access.chars().all(|letter| "rwm".contains(letter)) {
            return Err(wrong(&format!("has the access {:?}, which must be of r, w and m", rule.access)));
        }
        // -1 is what Docker writes for any.
        let number = |number: Option<i64>| match number {
            None | Some(-1) => Ok(None),
            Some(number) => u32::try_from(number).map(Some).map_err(|_| wrong(&format!("has the number {number}"))),
        };
        let access = if rule.access.is_empty() { "rwm".to_owned() } else { rule.access.clone() };
        Ok(Self { allow: rule.allow, kind, major: number(rule.major)?, minor: number(rule.minor)?, access })
    }

    /// As version 1 is told.
    pub fn text(&self) -> String {
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        format!("{} {}:{} {}", self.kind, number(self.major), number(self.minor), self.access)
    }
}

fn allow(kind: &str, major: Option<i64>, minor: Option<i64>, access: &str) -> DeviceRule {
    DeviceRule { allow: true, kind: kind.to_owned(), major, minor, access: access.to_owned() }
}

/// What every container may open, and nodes that it may make: opening those is another matter.
pub fn standard() -> Vec<DeviceRule> {
    let mut rules = vec![allow("c", None, None, "m"), allow("b", None, None, "m")];
    // null, zero, full, random, urandom, tty, console, ptmx.
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)] {
        rules.push(allow("c", Some(major), Some(minor), "rwm"));
    }
    // The terminals of every devpts.
    rules.push(allow("c", Some(136), None, "rwm"));
    rules
}

/// Whether `nodev` on all mounts would not do in place of rules: for those that could mount a file system without it, or
/// that were given a device for reading or writing alone.
pub fn are_necessary(devices: &[(Device, String)], may_mount: bool) -> bool {
    devices.iter().any(|(_, access)| !(access.contains('r') && access.contains('w'))) || may_mount
}

/// The rules of a container with these devices, each with its access.
pub fn rules(devices: &[(Device, String)]) -> Vec<DeviceRule> {
    let mut rules = vec![DeviceRule { access: "rwm".to_owned(), ..DeviceRule::default() }];
    rules.extend(standard());
    rules.extend(devices.iter().map(|(device, access)| allow(&device.kind, Some(device.major), Some(device.minor), access)));
    rules
}

// struct bpf_cgroup_dev_ctx: access_type (access << 16 | kind), major, minor; kinds and accesses of linux/bpf.h.
const ACCESS_TYPE: i16 = 0;
const MAJOR: i16 = 4;
const MINOR: i16 = 8;
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;
const MAKE: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;

/// Attaches a program with these rules to a group of version 2.
pub fn attach(group: &OwnedFd, rules: &[Rule]) -> Result<()> {
    let program = bpf::load_device_filter(&compile(rules))?;
    bpf::attach_device_filter(group, &program)
}

/// The last rule that speaks of it decides; where none does, it is forbidden.
fn compile(rules: &[Rule]) -> Vec<Instruction> {
    use bpf::{and, exit, jump_not_equal, load, move_immediate, move_register, shift_right};
    // r1 is the context; r2 the kind, r3 the access, r4 the major and r5 the minor number.
    let mut program =
        vec![load(2, 1, ACCESS_TYPE), move_register(3, 2), and(2, 0xffff), shift_right(3, 16), load(4, 1, MAJOR), load(5, 1, MINOR)];
    for rule in rules.iter().rev() {
        let access = rule.access.chars().fold(0, |all, letter| {
            all | [('m', MAKE), ('r', READ), ('w', WRITE)].iter().find(|(known, _)| *known == letter).map_or(0, |(_, bit)| *bit)
        });
        let mut block = Vec::new();
        if rule.kind != 'a' {
            block.push(jump_not_equal(2, if rule.kind == 'b' { BLOCK } else { CHARACTER }, 0));
        }
        if rule.allow {
            // What is asked for beyond the rule's access must be nothing.
            block.extend([move_register(6, 3), and(6, !access & 0x7), jump_not_equal(6, 0, 0)]);
        } else {
            // One forbidden thing forbids all: the jump goes to the rule before where nothing of it is asked for.
            block.extend([move_register(6, 3), and(6, access), bpf::jump_equal(6, 0, 0)]);
        }
        block.extend(rule.major.map(|major| jump_not_equal(4, major as i32, 0)));
        block.extend(rule.minor.map(|minor| jump_not_equal(5, minor as i32, 0)));
        block.extend([move_immediate(0, i32::from(rule.allow)), exit()]);
        let length = block.len();
        for (index, instruction) in block.iter_mut().enumerate() {
            bpf::aim(instruction, (length - index - 1) as i16);
        }
        program.extend(block);
    }
    program.extend([move_immediate(0, 0), exit()]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn rules_are_written_as_version_1_reads_them() {
        let rule = Rule { allow: true, kind: 'c', major: Some(136), minor: None, access: "rwm".into() };
        assert_eq!(rule.text(), "c 136:* rwm");
    }

    #[test]
    fn version_2_keeps_the_rules() {
        let Some(mount) = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
            .into_iter()
            .find(|mount| std::path::Path::new(mount).join("cgroup.procs").exists())
        else {
            eprintln!("skipped, because cgroup version 2 is not mounted");
            return;
        };
        let group = std::path::Path::new(mount).join(format!("stave-test-{}", std::process::id()));
        if let Err(error) = std::fs::create_dir(&group) {
            eprintln!("skipped, because no control group can be made: {error}");
            return;
        }
        let rule = |allow, major, minor, access: &str| Rule { allow, kind: 'c', major: Some(major), minor, access: access.into() };
        let open: OwnedFd = std::fs::File::open(&group).unwrap().into();
        let attached = attach(
            &open,
            &[rule(true, 1, None, "rw"), rule(false, 1, Some(5), "w"), rule(false, 1, Some(7), "r"), rule(true, 136, None, "rwm")],
        );
        // A shell in the group tries: /dev/null both ways, /dev/zero both ways, /dev/full.
        let script = "echo 0 > $0/cgroup.procs; : < /dev/null && : > /dev/null && echo null; : < /dev/zero && echo zero; (: > /dev/zero) 2>/dev/null || echo refused; (: < /dev/full) 2>/dev/null || echo refused";
        let output = std::process::Command::new("sh").args(["-c", script]).arg(&group).output().unwrap();
        for _ in 0..200 {
            if std::fs::remove_dir(&group).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        match attached {
            Err(error) if matches!(error.errno, Some(Errno::PERM | Errno::NOSYS)) => {
                eprintln!("skipped, because programs cannot be loaded: {error}");
            }
            other => {
                other.unwrap();
                assert_eq!(String::from_utf8_lossy(&output.stdout), "null\nzero\nrefused\nrefused\n");
            }
        }
    }
}
