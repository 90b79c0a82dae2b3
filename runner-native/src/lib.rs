//! The native half of Stave: a few verbs over file trees, layers and sandboxes. One process does one job.

pub mod archive;
pub mod compress;
pub mod confine;
pub mod error;
pub mod event;
pub mod layer;
pub mod lifeline;
pub mod overlay;
pub mod pattern;
pub mod protocol;
pub mod root;
pub mod runtime;
pub mod select;
pub mod sha256;
pub mod sys;
pub mod tar;
pub mod userns;
pub mod verbs;
