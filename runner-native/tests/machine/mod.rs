//! What the machine allows that runs the tests.
#![allow(dead_code, clippy::unwrap_used)]

use stave_runner::trial;
use std::fs::File;

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether layers can be mounted here.
pub fn can_mount() -> bool {
    static ANSWER: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ANSWER.get_or_init(|| {
        let directory = tempfile::tempdir().unwrap();
        let answer = if is_root() { trial::mounted_layers(&File::open(directory.path()).unwrap().into()).is_ok() } else { false };
        if !answer {
            eprintln!("layers are not compared with their indexes, because they cannot be mounted here");
        }
        answer
    })
}
