//! Device filters of control groups (version 2): a small eBPF program each.

use crate::error::{Error, Result};
use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use rustix::io::Errno;

/// One instruction of eBPF (`struct bpf_insn`): operation, registers, offset, immediate.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: source << 4 | destination, offset, immediate }
}

/// `destination = *(u32 *)(source + offset)`
pub const fn load(destination: u8, source: u8, offset: i16) -> Instruction {
    instruction(0x61, destination, source, offset, 0)
}

pub const fn move_register(destination: u8, source: u8) -> Instruction {
    instruction(0xbf, destination, source, 0, 0)
}

pub const fn move_immediate(destination: u8, value: i32) -> Instruction {
    instruction(0xb7, destination, 0, 0, value)
}

pub const fn and(destination: u8, mask: i32) -> Instruction {
    instruction(0x57, destination, 0, 0, mask)
}

pub const fn shift_right(destination: u8, bits: i32) -> Instruction {
    instruction(0x77, destination, 0, 0, bits)
}

const JUMP_NOT_EQUAL: u8 = 0x55;
const JUMP_EQUAL: u8 = 0x15;

pub const fn jump_equal(register: u8, value: i32, offset: i16) -> Instruction {
    instruction(JUMP_EQUAL, register, 0, offset, value)
}

pub const fn jump_not_equal(register: u8, value: i32, offset: i16) -> Instruction {
    instruction(JUMP_NOT_EQUAL, register, 0, offset, value)
}

pub const fn exit() -> Instruction {
    instruction(0x95, 0, 0, 0, 0)
}

/// Lets a conditional jump skip this many instructions; others stay as they are.
pub fn aim(instruction: &mut Instruction, offset: i16) {
    if matches!(instruction.code, JUMP_NOT_EQUAL | JUMP_EQUAL) {
        instruction.offset = offset;
    }
}

const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

#[repr(C)]
#[derive(Default)]
struct LoadAttributes {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

#[repr(C)]
struct AttachAttributes {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

pub fn load_device_filter(program: &[Instruction]) -> Result<OwnedFd> {
    let attributes = LoadAttributes {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..LoadAttributes::default()
    };
    // SAFETY: the kernel reads the attributes, the instructions and the license, which live until the call returns.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, std::ptr::from_ref(&attributes), size_of::<LoadAttributes>()) };
    if fd < 0 {
        return Err(Error::call(format!("bpf(BPF_PROG_LOAD, BPF_PROG_TYPE_CGROUP_DEVICE, {} instructions)", program.len()), last()));
    }
    // SAFETY: a new descriptor, which is ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

pub fn attach_device_filter(group: impl AsFd, program: impl AsFd) -> Result<()> {
    let attributes = AttachAttributes {
        target: group.as_fd().as_raw_fd() as u32,
        program: program.as_fd().as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: the kernel reads the attributes.
    let outcome = unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, std::ptr::from_ref(&attributes), size_of::<AttachAttributes>()) };
    if outcome < 0 { Err(Error::call("bpf(BPF_PROG_ATTACH, BPF_CGROUP_DEVICE)", last())) } else { Ok(()) }
}

fn last() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
