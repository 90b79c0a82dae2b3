//! Which devices a container's processes may open, whoever has made the node: the image, a volume, or they themselves.

use crate::container::plan::Plan;
use crate::container::system::DEVICES;
use crate::sys::bpf::{self, Instruction};
use crate::wire::error::Result;
use rustix::fd::OwnedFd;

/// A kind of device, its number (`None`: any), and what may be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `b` or `c`.
    pub kind: char,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    /// Of `r`, `w` and `m` (making a node).
    pub access: String,
}

impl Rule {
    /// As version 1 is told.
    pub fn text(&self) -> String {
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        format!("{} {}:{} {}", self.kind, number(self.major), number(self.minor), self.access)
    }
}

/// Whether `nodev` on all mounts would not do in place of rules: for those that could mount a file system without it, or
/// that were given a device for reading or writing alone.
pub fn are_necessary(plan: &Plan) -> bool {
    let restricted = plan.devices.iter().any(|device| !(device.access.contains('r') && device.access.contains('w')));
    restricted || plan.process.capabilities.has(crate::container::capabilities::SYS_ADMIN)
}

/// The rules of a container, or none if it may open all devices, or none that a user namespace does not let it.
pub fn rules(plan: &Plan) -> Result<Option<Vec<Rule>>> {
    if plan.privileged || plan.domain.nested {
        return Ok(None);
    }
    let rule = |kind: char, major: Option<u32>, minor: Option<u32>, access: &str| Rule { kind, major, minor, access: access.to_owned() };
    // Any node may be made; opening it is another matter.
    let mut rules = vec![rule('c', None, None, "m"), rule('b', None, None, "m")];
    rules.extend(DEVICES.iter().map(|(_, major, minor)| rule('c', Some(*major), Some(*minor), "rwm")));
    // console, ptmx, and the terminals of every devpts.
    rules.extend([rule('c', Some(5), Some(1), "rwm"), rule('c', Some(5), Some(2), "rwm"), rule('c', Some(136), None, "rwm")]);
    for device in &plan.devices {
        for (path, _) in device.expand()? {
            let (kind, major, minor) = crate::container::system::number_of(&path)?;
            rules.push(Rule { kind, major: Some(major), minor: Some(minor), access: device.access.clone() });
        }
    }
    Ok(Some(rules))
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

/// The first rule that allows it decides; there is none that forbids.
fn compile(rules: &[Rule]) -> Vec<Instruction> {
    use bpf::{and, exit, jump_not_equal, load, move_immediate, move_register, shift_right};
    // r1 is the context; r2 the kind, r3 the access, r4 the major and r5 the minor number.
    let mut program =
        vec![load(2, 1, ACCESS_TYPE), move_register(3, 2), and(2, 0xffff), shift_right(3, 16), load(4, 1, MAJOR), load(5, 1, MINOR)];
    for rule in rules {
        let kind = if rule.kind == 'b' { BLOCK } else { CHARACTER };
        let access = rule.access.chars().fold(0, |all, letter| {
            all | [('m', MAKE), ('r', READ), ('w', WRITE)].iter().find(|(known, _)| *known == letter).map_or(0, |(_, bit)| *bit)
        });
        let mut tests = vec![vec![jump_not_equal(2, kind, 0)]];
        // What is asked for beyond the rule's access must be nothing.
        tests.push(vec![move_register(6, 3), and(6, !access & 0x7), jump_not_equal(6, 0, 0)]);
        if let Some(major) = rule.major {
            tests.push(vec![jump_not_equal(4, major as i32, 0)]);
        }
        if let Some(minor) = rule.minor {
            tests.push(vec![jump_not_equal(5, minor as i32, 0)]);
        }
        let mut block: Vec<Instruction> = tests.into_iter().flatten().collect();
        block.extend([move_immediate(0, 1), exit()]);
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
        let rule = Rule { kind: 'c', major: Some(136), minor: None, access: "rwm".into() };
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
        let rule = |major, minor, access: &str| Rule { kind: 'c', major: Some(major), minor, access: access.into() };
        let open: OwnedFd = std::fs::File::open(&group).unwrap().into();
        let attached = attach(&open, &[rule(1, Some(3), "rw"), rule(1, Some(5), "r"), rule(136, None, "rwm")]);
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
