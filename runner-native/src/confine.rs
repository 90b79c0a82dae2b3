//! A second wall around the work on hostile data: the process gives up what it does not need.
//!
//! The first wall is that no name of a layer is ever resolved by the kernel outside its tree. Should that or a
//! decompressor fail, Landlock keeps the process from writing anywhere but in the trees that it was given, and
//! seccomp from everything but work on files: no sockets, no programs, no signals, no mounts, no namespaces.

use crate::error::Result;
use crate::sys::landlock::{self, Handled, Ruleset};
use crate::sys::task::{self, Instruction};
use rustix::fd::AsFd;

// linux/landlock.h
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_BLOCK: u64 = 1 << 11;
const MAKE_SYM: u64 = 1 << 12;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;

const READ: u64 = READ_FILE | READ_DIR;
const FILL: u64 =
    READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_CHAR | MAKE_DIR | MAKE_REG | MAKE_FIFO | MAKE_BLOCK | MAKE_SYM | REFER | TRUNCATE;

/// How many of the rights, from the lowest bit, each version of Landlock knows.
fn known_files(version: u32) -> u64 {
    let count = match version {
        0 => 0,
        1 => 13,
        2 => 14,
        3 | 4 => 15,
        _ => 16,
    };
    (1 << count) - 1
}

/// Confines this thread, and those that it starts, to filling the trees `filled` and reading the trees `read`. What this
/// kernel lacks of it is left out.
pub fn to_trees<F: AsFd, R: AsFd>(filled: &[F], read: &[R]) -> Result<()> {
    task::set_no_new_privileges()?;
    let version = landlock::version();
    if version > 0 {
        let files = known_files(version);
        let network = if version >= 4 { 0b11 } else { 0 };
        let scoped = if version >= 6 { 0b11 } else { 0 };
        let rules = Ruleset::new(&Handled { files, network, scoped })?;
        for tree in filled {
            rules.allow(tree, FILL & files)?;
        }
        for tree in read {
            rules.allow(tree, READ & files)?;
        }
        rules.restrict()?;
    }
    match task::load_seccomp(&filter(), 0).map(drop) {
        // A kernel without seccomp, or an emulator.
        Err(error) if matches!(error.errno, Some(rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL)) => Ok(()),
        other => other,
    }
}

/// Every system call that the work on trees makes.
const ALLOWED: &[libc::c_long] = &[
    // Files.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_getdents64,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_utimensat,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_fgetxattr,
    libc::SYS_lgetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_lsetxattr,
    libc::SYS_flistxattr,
    libc::SYS_llistxattr,
    libc::SYS_fremovexattr,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_ppoll,
    // Memory and threads.
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_tgkill,
    libc::SYS_prctl,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_prlimit64,
    libc::SYS_geteuid,
    libc::SYS_getegid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// `CLONE_NEW*`.
const NEW_NAMESPACES: u32 = 0x7e02_0000;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP_EQ: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// The filter, in classic BPF. The kernel remembers which numbers it always allows, so its length costs nothing.
fn filter() -> Vec<Instruction> {
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let missing = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    let code = |code, jt, jf, k| Instruction { code, jt, jf, k };
    let mut program = vec![
        code(LOAD, 0, 0, 4),
        code(JUMP_EQ, 1, 0, ARCHITECTURE),
        code(RETURN, 0, 0, refuse),
        code(LOAD, 0, 0, 0),
        // Its flags cannot be read by a filter; without it threads are made by clone.
        code(JUMP_EQ, 0, 1, libc::SYS_clone3 as u32),
        code(RETURN, 0, 0, missing),
        code(JUMP_EQ, 0, 4, libc::SYS_clone as u32),
        code(LOAD, 0, 0, 16),
        code(JUMP_SET, 1, 0, NEW_NAMESPACES),
        code(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        code(RETURN, 0, 0, refuse),
    ];
    for (index, number) in ALLOWED.iter().enumerate() {
        // To the last instruction: over what is left of the list, and the refusal.
        program.push(code(JUMP_EQ, (ALLOWED.len() - index) as u8, 0, *number as u32));
    }
    program.push(code(RETURN, 0, 0, refuse));
    program.push(code(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags, mkdirat, openat, symlinkat};
    use rustix::io::Errno;
    use std::fs::File;

    /// The filter ends with its last instruction reachable from every entry of the list.
    #[test]
    fn jumps_fit_a_byte() {
        assert!(ALLOWED.len() < 250);
    }

    #[test]
    fn a_confined_thread_can_fill_its_tree_and_nothing_else() {
        let own = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join("file"), "secret").unwrap();
        let (own_fd, other_fd) = (File::open(own.path()).unwrap(), File::open(other.path()).unwrap());
        let none: [&File; 0] = [];
        let confined = || {
            to_trees(&[&own_fd], &none).unwrap();
            // Threads can still be made.
            std::thread::spawn(|| ()).join().unwrap();
            mkdirat(&own_fd, "directory", Mode::RWXU).unwrap();
            symlinkat("/etc/passwd", &own_fd, "link").unwrap();
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            openat(&own_fd, "file", flags, Mode::RWXU).unwrap();
            // What the two walls keep out.
            assert_eq!(
                rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None).unwrap_err(),
                Errno::PERM
            );
            assert_eq!(std::process::Command::new("/bin/true").status().unwrap_err().raw_os_error(), Some(libc::EPERM));
            if landlock::version() > 0 {
                assert_eq!(openat(&other_fd, "new", flags, Mode::RWXU).unwrap_err(), Errno::ACCESS);
                assert_eq!(openat(&other_fd, "file", OFlags::RDONLY, Mode::empty()).unwrap_err(), Errno::ACCESS);
                assert_eq!(openat(&own_fd, "link", OFlags::RDONLY, Mode::empty()).unwrap_err(), Errno::ACCESS);
                assert_eq!(mkdirat(&other_fd, "directory", Mode::RWXU).unwrap_err(), Errno::ACCESS);
            }
        };
        std::thread::scope(|scope| scope.spawn(confined).join()).unwrap();
    }
}
