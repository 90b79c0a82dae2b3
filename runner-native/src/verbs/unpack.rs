use crate::layer::unpack::{self, Form, Job, Layer};
use crate::root;
use crate::tree;
use crate::wire::error::{Error, Kind, Result};
use crate::wire::event::Events;
use crate::wire::protocol::{LayerForm, Unpack, UnpackResult};
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
        form: form(request.form, &layers)?,
        lowers: request.lowers.iter().map(|place| tree::open(place, OFlags::RDONLY)).collect::<Result<_>>()?,
        layers,
        max_bytes: request.max_bytes,
        max_entries: request.max_entries,
        confine: true,
    };
    Ok(UnpackResult { layers: unpack::unpack(job, events)? })
}

/// The form that was asked for, or that this machine can use.
fn form(asked: LayerForm, layers: &[Layer]) -> Result<Form> {
    let Some(first) = layers.first().filter(|_| asked != LayerForm::Tree) else { return Ok(Form::Tree) };
    match tree::trial(&first.into) {
        Ok(()) => Ok(Form::Index),
        Err(_) if asked == LayerForm::Either => Ok(Form::Tree),
        Err(error) => Err(Error { kind: Kind::Isolation, ..error }
            .context("layers cannot be mounted here")
            .hint("It takes root, Linux 6.15 with EROFS, and a store on a file system of its own; --storage-driver dir unpacks them.")),
    }
}
