use crate::wire::error::Result;
use crate::wire::event::Events;
use crate::wire::protocol::{Copy, CopyResult};

pub fn copy(request: &Copy, events: &Events) -> Result<CopyResult> {
    crate::layer::copy::copy(request, events)
}
