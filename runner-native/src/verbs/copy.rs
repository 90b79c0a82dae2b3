use crate::error::Result;
use crate::wire::event::Events;
use crate::wire::tree::{Copy, CopyResult};

pub fn copy(request: &Copy, events: &Events) -> Result<CopyResult> {
    crate::layer::copy::copy(request, events)
}
