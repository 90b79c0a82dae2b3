//! The verb `hold`: keeps the user namespace that main has made, until the lifeline ends.

use crate::error::{Error, Result};
use crate::wire::event::Events;
use std::fs::File;
use std::io::Read;

pub fn hold(mut control: File, events: &Events) -> Result<()> {
    events.send_named("ready", serde_json::json!({}));
    let mut bytes = [0; 256];
    while control.read(&mut bytes).map_err(|error| Error::io("read(3)", &error))? > 0 {}
    events.result(&serde_json::json!({}));
    Ok(())
}
