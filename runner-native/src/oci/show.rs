//! `state` and `list`.

use crate::error::{Error, Kind, Result};
use crate::oci::Call;
use crate::oci::store::Container;
use crate::userns::user_name;
use serde_json::{Value, json};

/// Prints JSON for people and programs.
pub fn print(value: &Value) {
    println!("{}", serde_json::to_string_pretty(value).unwrap_or_default());
}

pub fn state(call: &Call<'_>) -> Result<()> {
    print(&described(&call.store.find(call.id())?));
    Ok(())
}

/// The state that the specification defines, and what runc says beside it.
fn described(container: &Container) -> Value {
    let record = &container.record;
    let mut state = record.state(container.status().name());
    state.insert("rootfs".into(), record.rootfs.clone().into());
    state.insert("created".into(), record.created.clone().into());
    state.insert("owner".into(), user_name(record.owner).unwrap_or_else(|| record.owner.to_string()).into());
    Value::Object(state)
}

pub fn list(call: &Call<'_>) -> Result<()> {
    let containers = call.store.all();
    if call.words.has("quiet") {
        for container in &containers {
            println!("{}", container.record.id);
        }
        return Ok(());
    }
    match call.words.get("format") {
        None | Some("table") => {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let states: Vec<Value> = containers.iter().map(described).collect();
            let keys = ["id", "pid", "status", "bundle", "created", "owner"];
            let rows = states.iter().map(|state| keys.map(|key| text(&state[key])));
            print!("{}", table(&keys.map(str::to_ascii_uppercase), rows.collect()));
        }
        // One line, as callers read it; none is `null` in Go's words.
        Some("json") if containers.is_empty() => println!("null"),
        Some("json") => println!("{}", json!(containers.iter().map(described).collect::<Vec<_>>())),
        Some(other) => return Err(Error::new(Kind::Request, format!("invalid format option {other:?}: it is table or json"))),
    }
    Ok(())
}

fn table(head: &[String; 6], rows: Vec<[String; 6]>) -> String {
    let rows: Vec<[String; 6]> = std::iter::once(head.clone()).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(8) + 4;
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.concat().trim_end().to_owned()
    };
    rows.iter().flat_map(|row| [line(row), "\n".to_owned()]).collect()
}
