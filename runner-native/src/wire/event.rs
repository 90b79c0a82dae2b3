//! What a job tells its parent, on descriptor 4: one JSON object a line.

use crate::error::Error;
use serde::Serialize;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex};

/// The writing end. Cheap to clone, safe to share between threads; a parent that has gone is no error.
#[derive(Clone)]
pub struct Events(Arc<Mutex<File>>);

impl Events {
    pub fn new(file: File) -> Self {
        Self(Arc::new(Mutex::new(file)))
    }

    pub fn hello(&self) {
        self.send(&json!({ "event": "hello", "version": crate::wire::protocol::VERSION, "runner": env!("CARGO_PKG_VERSION") }));
    }

    pub fn progress(&self, current: u64, total: Option<u64>) {
        match total {
            Some(total) => self.send(&json!({ "event": "progress", "current": current, "total": total })),
            None => self.send(&json!({ "event": "progress", "current": current })),
        }
    }

    pub fn warning(&self, message: impl Into<String>) {
        self.send(&json!({ "event": "warning", "message": message.into() }));
    }

    /// `ready`, `started` and `exit`, which only some verbs send.
    pub fn send_named(&self, event: &str, body: Value) {
        self.send(&with_event(event, body));
    }

    /// The last event of a job that did what it was asked.
    pub fn result(&self, result: &impl Serialize) {
        crate::wire::lifeline::answered();
        let body = serde_json::to_value(result).unwrap_or(Value::Null);
        self.send(&with_event("result", body));
    }

    /// The last event of a job that did not.
    pub fn failure(&self, error: &Error) {
        let body = serde_json::to_value(error).unwrap_or(Value::Null);
        self.send(&with_event("failure", body));
    }

    /// Ends the conversation from this side: nothing is sent any more, and the parent sees the end.
    pub fn close(&self) {
        if let (Ok(mut file), Ok(null)) = (self.0.lock(), File::options().write(true).open("/dev/null")) {
            *file = null;
        }
    }

    fn send(&self, value: &Value) {
        let mut line = value.to_string();
        line.push('\n');
        if let Ok(mut file) = self.0.lock() {
            // A parent that is gone cannot be told; the lifeline ends this process.
            let _ = file.write_all(line.as_bytes());
        }
    }
}

fn with_event(event: &str, body: Value) -> Value {
    let mut map = serde_json::Map::new();
    map.insert("event".to_owned(), Value::from(event));
    if let Value::Object(fields) = body {
        map.extend(fields);
    }
    Value::Object(map)
}
