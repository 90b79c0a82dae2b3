//! One module a verb: open what the request names, call the library, report.

mod bundle;
mod copy;
mod diff;
mod digest;
pub(crate) mod exec;
mod guard;
mod hold;
mod limit;
mod network;
mod probe;
mod read;
mod remove;
mod run;
mod signal;
mod unpack;
mod unshare;

use crate::error::Result;
use crate::monitor::attach;
use crate::wire::event::Events;
use crate::wire::lifeline;
use crate::wire::protocol::Job;
use std::fs::File;

/// Does one job and reports its result. `control` is the lifeline.
pub fn perform(job: Job, control: File, events: &Events) -> Result<()> {
    match job {
        // These have processes of their own to end, and watch the lifeline themselves.
        Job::Hold {} => return hold::hold(control, events),
        Job::Run(request) => return run::run(*request, control, events),
        Job::Exec(request) => return exec::exec(&request, control, events),
        Job::Attach(request) => return attach::attach(&request, control, events),
        Job::Guard(request) => return guard::guard(&request, control, events),
        Job::Unshare(request) => return unshare::unshare(&request, control, events),
        // Before there is a thread: what it tries is only for a process that has one.
        Job::Probe(request) => {
            events.result(&probe::probe(&request));
            return Ok(());
        }
        Job::Network(request) => {
            network::network(&request)?;
            events.result(&serde_json::json!({}));
            return Ok(());
        }
        // Before there is a thread, too: it may enter a user namespace.
        Job::Signal(request) => {
            signal::signal(&request)?;
            events.result(&serde_json::json!({}));
            return Ok(());
        }
        _ => lifeline::watch(control),
    }
    match job {
        Job::Unpack(request) => events.result(&unpack::unpack(&request, events)?),
        Job::Remove(request) => {
            remove::remove(&request)?;
            events.result(&serde_json::json!({}));
        }
        Job::Diff(request) => events.result(&diff::diff(&request, events)?),
        Job::Digest(request) => events.result(&digest::digest(&request)?),
        Job::Copy(request) => events.result(&copy::copy(&request, events)?),
        Job::Read(request) => events.result(&read::read(&request)?),
        Job::Bundle(request) => events.result(&bundle::bundle(*request)?),
        Job::Limit(request) => {
            limit::limit(&request)?;
            events.result(&serde_json::json!({}));
        }
        Job::Probe(_)
        | Job::Hold {}
        | Job::Run(_)
        | Job::Exec(_)
        | Job::Signal(_)
        | Job::Attach(_)
        | Job::Guard(_)
        | Job::Network(_)
        | Job::Unshare(_) => {}
    }
    Ok(())
}
