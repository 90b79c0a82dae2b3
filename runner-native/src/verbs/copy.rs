use crate::error::Result;
use crate::event::Events;
use crate::protocol::{Copy, CopyResult};

pub fn copy(request: &Copy, events: &Events) -> Result<CopyResult> {
    crate::layer::copy::copy(request, events)
}
