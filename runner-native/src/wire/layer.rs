//! The verbs that make trees of layers and layers of trees: `unpack`, `diff`, `remove`.

use crate::wire::place::Place;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnpackLayer {
    pub blob: Place,
    pub compression: Compression,
    pub digest: String,
    pub size: u64,
    #[serde(default, rename = "diffID", skip_serializing_if = "Option::is_none")]
    pub diff_id: Option<String>,
    pub into: Place,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unpack {
    pub lowers: Vec<Place>,
    pub layers: Vec<UnpackLayer>,
    #[serde(default, skip_serializing_if = "LayerForm::is_tree")]
    pub form: LayerForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_entries: Option<u64>,
}

/// What a layer is made into.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerForm {
    #[default]
    Tree,
    Index,
    Either,
}

impl LayerForm {
    // Its form is what serde asks for.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub(crate) fn is_tree(&self) -> bool {
        *self == Self::Tree
    }
}

/// What a layer was made into.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TreeForm {
    Tree,
    Index,
}

/// The tree of a layer that was made in the same pass.
#[derive(Debug, Deserialize, Serialize)]
pub struct MadeTree {
    pub form: TreeForm,
    /// Beside what the layer's blob takes.
    pub bytes: u64,
    /// Why it is none of the form that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "form", rename_all = "lowercase")]
pub enum UnpackedLayer {
    Tree(UnpackedContent),
    Index(UnpackedContent),
    None { why: String },
}

#[derive(Debug, Deserialize, Serialize)]
pub struct UnpackedContent {
    #[serde(rename = "diffID")]
    pub diff_id: String,
    pub entries: u64,
    pub bytes: u64,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct UnpackResult {
    pub layers: Vec<UnpackedLayer>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Remove {
    pub trees: Vec<Place>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LayerOutput {
    pub blob: Place,
    pub compression: Compression,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerResult {
    pub digest: String,
    pub size: u64,
    #[serde(rename = "diffID")]
    pub diff_id: String,
    pub uncompressed_size: u64,
    pub entries: u64,
    pub tree_digest: String,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Diff {
    pub upper: Place,
    /// Uppers below it, top first: the layer is what all of them change together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub under: Vec<Place>,
    pub lowers: Vec<Place>,
    pub layer: LayerOutput,
}
