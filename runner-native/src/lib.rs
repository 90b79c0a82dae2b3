//! The native half of Stave: a few verbs over file trees, layers and sandboxes. One process does one job.

pub mod archive;
pub mod cgroup;
pub mod compress;
pub mod confine;
pub mod container;
pub mod delegate;
pub mod elf;
pub mod erofs;
pub mod error;
pub mod layer;
pub mod limit;
pub mod monitor;
mod mount;
pub mod net;
pub mod oci;
pub mod overlay;
pub mod pattern;
pub mod root;
pub mod select;
pub mod sha256;
pub mod sys;
pub mod tar;
pub mod tree;
pub mod trial;
pub mod userns;
pub mod verbs;
pub mod wire;
