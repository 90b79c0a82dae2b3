//! Layers: tar to tree, tree to tar.

pub mod add;
pub mod blob;
pub mod chmod;
pub mod copy;
pub mod create;
pub mod destination;
pub mod diff;
pub mod digest;
pub mod extract;
pub mod index;
pub mod item;
pub mod member;
pub mod owner;
pub mod ownership;
pub mod place;
pub mod remove;
pub mod source;
pub mod squash;
pub mod stat_cache;
pub mod unpack;
pub mod whiteout;
pub mod whole;
pub mod xattr;
