//! `stave-runner VERB`: reads one request on descriptor 3, answers with events on descriptor 4.
//! Called as `stave-runtime`, `runc` or `crun`, it is an OCI runtime instead.
//! Exit status: 0 after a result, 1 after a failure, 2 for a broken request.

use stave_runner::container::{init, sealed};
use stave_runner::error::{Error, Kind, Result};
use stave_runner::limit;
use stave_runner::wire::event::Events;
use stave_runner::wire::protocol::{Job, Request, VERSION};
use stave_runner::{oci, sys, userns, verbs};
use std::fs::File;
use std::io::Read;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    if name == init::NAME {
        init::attend(&arguments.next().unwrap_or_default());
    }
    if oci::is_called(&name) {
        return oci::main(&arguments.collect::<Vec<_>>());
    }
    // Those that go into containers must not be found there and changed.
    if matches!(std::env::args().nth(1).as_deref(), Some("run" | "exec" | "guard")) {
        if let Err(error) = sealed::ensure() {
            eprintln!("stave-runner: {error}");
            return ExitCode::from(1);
        }
    }
    let (Ok(control), Ok(events)) = (sys::take(3), sys::take(4)) else {
        eprintln!("stave-runner: this program is started by stave, with a request on descriptor 3 and a pipe for its answers on 4");
        return ExitCode::from(2);
    };
    let events = Events::new(events);
    sys::close_on_exec_from(3);
    events.hello();
    let request = match read_request(&control) {
        Ok(request) => request,
        Err(error) => {
            events.failure(&error);
            return ExitCode::from(2);
        }
    };
    // Before any thread exists: a process with threads cannot enter a user namespace.
    let outcome = enter(&request).and_then(|()| verbs::perform(request.job, control, &events));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            events.failure(&error);
            ExitCode::from(if error.kind == Kind::Request { 2 } else { 1 })
        }
    }
}

fn enter(request: &Request) -> Result<()> {
    match request.job {
        // A container that runs has its own, found through its state.
        Job::Exec(_) | Job::Signal(_) | Job::Attach(_) | Job::Guard(_) => Ok(()),
        _ => userns::enter(request.userns.as_ref()),
    }
}

/// Reads the one line, and not a byte more: what follows is the lifeline.
fn read_request(mut control: &File) -> Result<Request> {
    let mut line = Vec::with_capacity(4096);
    let mut chunk = vec![0; 1 << 16];
    while line.last() != Some(&b'\n') {
        let count = control.read(&mut chunk).map_err(|error| Error::io("read(3)", &error))?;
        if count == 0 {
            return Err(Error::new(Kind::Request, "the request ended before its line did"));
        }
        line.extend_from_slice(&chunk[..count]);
        if line.len() > limit::REQUEST {
            return Err(Error::new(Kind::TooLarge, "the request is larger than 64 MiB"));
        }
    }
    let request: Request =
        serde_json::from_slice(&line).map_err(|error| Error::new(Kind::Request, format!("the request cannot be read: {error}")))?;
    if request.version != VERSION {
        return Err(Error::new(Kind::Request, format!("the request has version {}, this program knows {VERSION}", request.version)));
    }
    let verb = std::env::args().nth(1).unwrap_or_default();
    if verb != request.job.verb() {
        return Err(Error::new(Kind::Request, format!("started as {verb:?}, but asked for {:?}", request.job.verb())));
    }
    Ok(request)
}
