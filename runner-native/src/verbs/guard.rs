//! The verb `guard`.

use crate::monitor::guard;
use crate::wire::error::Result;
use crate::wire::event::Events;
use crate::wire::guard::Guard;
use std::fs::File;

pub fn guard(request: &Guard, control: File, events: &Events) -> Result<()> {
    guard::check(request)?;
    guard::start(request, control, events)
}
