//! The request descriptor stays open as a lifeline: its end means that the parent is gone or has cancelled, and its bytes
//! are signals for the container, one each. They do not come as signals of ours: of two that are equal and pending, the
//! kernel keeps one, and a key that the terminal has sent to all of us would swallow the one that the parent passes on.

use crate::wire::stream::{Got, read};
use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

static ANSWERED: AtomicBool = AtomicBool::new(false);

/// The job is done and its answer is on its way: the parent may let go of the lifeline now, and the exit status stays its own.
pub fn answered() {
    ANSWERED.store(true, Ordering::Release);
}

/// What a parent has sent since the request.
pub enum Said {
    Signals(Vec<u8>),
    Nothing,
    /// It is gone, or has cancelled.
    End,
}

/// Reads what there is, for jobs that have a container.
pub fn hear(control: &File) -> Said {
    match read(control) {
        Got::Bytes(signals) => Said::Signals(signals),
        Got::Nothing => Said::Nothing,
        Got::End => Said::End,
    }
}

/// Ends this process as soon as the parent is gone. For jobs whose unfinished work is invisible anyway (it lies
/// in temporary names that the store sweeps); a job that has processes to end watches the descriptor itself.
pub fn watch(mut control: File) {
    let watcher = move || {
        let mut byte = [0; 1];
        loop {
            match control.read(&mut byte) {
                Ok(0) if ANSWERED.load(Ordering::Acquire) => return,
                Ok(0) => crate::sys::exit_now(1),
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => crate::sys::exit_now(1),
                _ => {}
            }
        }
    };
    // Without a thread the job merely runs to its end.
    let _ = std::thread::Builder::new().name("lifeline".into()).stack_size(64 << 10).spawn(watcher);
}
