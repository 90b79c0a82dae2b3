use crate::layer::unpack::{self, Job, Layer};
use crate::root;
use crate::wire::error::Result;
use crate::wire::event::Events;
use crate::wire::protocol::{Unpack, UnpackResult, UnpackedLayer};
use rustix::fs::{Mode, OFlags};

pub fn unpack(request: &Unpack, events: &Events) -> Result<UnpackResult> {
    let layers = request.layers.iter().map(|layer| {
        Ok(Layer {
            blob: root::open_place(&layer.blob, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?,
            compression: layer.compression,
            digest: layer.digest.clone(),
            size: layer.size,
            diff_id: layer.diff_id.clone(),
            into: root::open_directory(&layer.into)?,
        })
    });
    let job = Job {
        lowers: request.lowers.iter().map(root::open_directory).collect::<Result<_>>()?,
        layers: layers.collect::<Result<_>>()?,
        max_bytes: request.max_bytes,
        max_entries: request.max_entries,
        confine: true,
    };
    let unpacked = unpack::unpack(job, events)?;
    let layers = unpacked.into_iter().map(|layer| UnpackedLayer { diff_id: layer.diff_id, entries: layer.entries, bytes: layer.bytes });
    Ok(UnpackResult { layers: layers.collect() })
}
