use crate::error::Result;
use crate::layer::unpack::{self, Job, Layer};
use crate::root;
use crate::tree;
use crate::trial;
use crate::wire::event::Events;
use crate::wire::layer::{TreeForm, Unpack, UnpackResult};
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
    let layers = layers.collect::<Result<Vec<_>>>()?;
    let job = Job {
        form: layers.first().map_or(Ok(TreeForm::Tree), |first| trial::layer_form(request.form, &first.into))?,
        lowers: request.lowers.iter().map(|place| tree::open(place, OFlags::RDONLY)).collect::<Result<_>>()?,
        layers,
        max_bytes: request.max_bytes,
        max_entries: request.max_entries,
        confine: true,
    };
    Ok(UnpackResult { layers: unpack::unpack(job, events)? })
}
