//! The request of `src/runner/protocol.ts`, word for word, as are its parts beside this file; `fixtures/protocol/*.json`
//! keeps the two equal. What a field means is documented there.

use crate::wire::container::Bundle;
use crate::wire::container::{Attach, Exec, Limit, Run, Signal, Unshare};
use crate::wire::guard::Guard;
use crate::wire::layer::{Diff, Remove, Unpack};
use crate::wire::network::Network;
use crate::wire::place::{Place, UserNamespace};
use crate::wire::tree::{Copy, Digest, Read};
use serde::{Deserialize, Serialize};

pub const VERSION: u32 = 1;

/// The request line: what every verb shares, and the verb's own part.
#[derive(Debug, Deserialize, Serialize)]
pub struct Request {
    pub version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userns: Option<UserNamespace>,
    #[serde(flatten)]
    pub job: Job,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "verb", rename_all = "lowercase")]
pub enum Job {
    Probe(Probe),
    Hold {},
    Unpack(Unpack),
    Remove(Remove),
    Diff(Diff),
    Digest(Digest),
    Copy(Copy),
    Read(Read),
    Run(Box<Run>),
    Exec(Box<Exec>),
    Signal(Signal),
    Network(Box<Network>),
    Attach(Attach),
    Guard(Box<Guard>),
    Unshare(Unshare),
    Bundle(Box<Bundle>),
    Limit(Limit),
}

impl Job {
    pub fn verb(&self) -> &'static str {
        match self {
            Job::Probe(_) => "probe",
            Job::Hold {} => "hold",
            Job::Unpack(_) => "unpack",
            Job::Remove(_) => "remove",
            Job::Diff(_) => "diff",
            Job::Digest(_) => "digest",
            Job::Copy(_) => "copy",
            Job::Read(_) => "read",
            Job::Run(_) => "run",
            Job::Exec(_) => "exec",
            Job::Signal(_) => "signal",
            Job::Network(_) => "network",
            Job::Attach(_) => "attach",
            Job::Guard(_) => "guard",
            Job::Unshare(_) => "unshare",
            Job::Bundle(_) => "bundle",
            Job::Limit(_) => "limit",
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Probe {
    pub store: Place,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct ProbeResult {
    pub isolation: &'static str,
    pub kernel: String,
    pub architecture: String,
    pub overlay: bool,
    pub erofs: bool,
    #[serde(default, rename = "whyNoErofs", skip_serializing_if = "Option::is_none")]
    pub why_no_erofs: Option<String>,
    pub reflink: bool,
    pub seccomp: bool,
    pub landlock: u32,
    pub cgroup: &'static str,
    pub controllers: Vec<String>,
    pub missing: Vec<String>,
}
