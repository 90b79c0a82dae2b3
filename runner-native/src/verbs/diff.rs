use crate::error::Result;
use crate::layer;
use crate::overlay::Stack;
use crate::root::open_directory;
use crate::wire::event::Events;
use crate::wire::layer::{Diff, LayerResult};

pub fn diff(request: &Diff, events: &Events) -> Result<LayerResult> {
    let lowers = Stack::lowers(&request.lowers)?;
    if request.under.is_empty() {
        return layer::diff::diff(open_directory(&request.upper)?, &lowers, &request.layer, events);
    }
    let all = [std::slice::from_ref(&request.upper), &request.under, &request.lowers].concat();
    layer::squash::squash(Stack::lowers(&all)?, 1 + request.under.len(), &lowers, &request.layer, events)
}
