//! The messages in `fixtures/protocol`, which the host's tests read as well: what one side writes, the other understands.

#![allow(clippy::unwrap_used)]

use serde_json::Value;
use stave_runner::wire::container::ContainerState;
use stave_runner::wire::protocol::Request;
use std::path::Path;

fn fixtures(prefix: &str) -> Vec<(String, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/protocol");
    let names = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<_> = names
        .filter(|name| name.starts_with(prefix))
        .map(|name| {
            let text = std::fs::read_to_string(directory.join(&name)).unwrap();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert!(!found.is_empty(), "no fixture begins with {prefix}");
    found
}

/// Whether everything in `wanted` is in `found` too, which may have more: defaults that the host leaves out.
fn holds(found: &Value, wanted: &Value, path: &str) {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            for (key, value) in wanted {
                let there = found.get(key).unwrap_or_else(|| panic!("{path}.{key} was lost"));
                holds(there, value, &format!("{path}.{key}"));
            }
        }
        (Value::Array(found), Value::Array(wanted)) => {
            assert_eq!(found.len(), wanted.len(), "{path}");
            for (index, (found, wanted)) in found.iter().zip(wanted).enumerate() {
                holds(found, wanted, &format!("{path}[{index}]"));
            }
        }
        (Value::Number(found), Value::Number(wanted)) => assert_eq!(found.as_f64(), wanted.as_f64(), "{path}"),
        _ => assert_eq!(found, wanted, "{path}"),
    }
}

#[test]
fn every_request_of_the_host_is_understood_whole() {
    for (name, wanted) in fixtures("request-") {
        let request: Request = serde_json::from_value(wanted.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(name, format!("request-{}.json", request.job.verb()));
        holds(&serde_json::to_value(&request).unwrap(), &wanted, &name);
    }
}

#[test]
fn the_state_of_a_container_is_the_same_for_both() {
    for (name, wanted) in fixtures("container-state") {
        let state: ContainerState = serde_json::from_value(wanted.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        holds(&serde_json::to_value(&state).unwrap(), &wanted, &name);
    }
}
