//! What is chosen in a tree, and the verbs that look at it and copy it: `digest`, `copy`, `read`.

use crate::wire::layer::{LayerForm, LayerOutput, LayerResult, MadeTree};
use crate::wire::place::Place;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct IgnorePattern {
    pub pattern: String,
    pub negated: bool,
    pub line: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Tree {
    Directory { root: Place },
    Lowers { lowers: Vec<Place> },
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Selection {
    pub from: Tree,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore: Option<Vec<IgnorePattern>>,
    pub sources: Vec<String>,
    #[serde(default)]
    pub literal: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Vec<String>>,
    #[serde(default)]
    pub parents: bool,
    #[serde(default)]
    pub reset_owner: bool,
    #[serde(default, skip_serializing_if = "Modes::are_kept")]
    pub modes: Modes,
    #[serde(default)]
    pub unpack: bool,
}

/// Which modes files of a context count and are copied with.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Modes {
    #[default]
    Kept,
    /// As git records them.
    Git,
}

impl Modes {
    // Its form is what serde asks for.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    fn are_kept(&self) -> bool {
        *self == Self::Kept
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    Mode,
    Owner,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct DigestSelection {
    pub selection: Selection,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<Vec<Field>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sizes: bool,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Digest {
    pub selections: Vec<DigestSelection>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stat_cache: Option<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listings: Option<Place>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct DigestedSelection {
    pub digest: String,
    pub entries: u64,
    pub bytes: u64,
    pub unmatched: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct DigestResult {
    pub selections: Vec<DigestedSelection>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum CopyItem {
    Select {
        selection: Selection,
    },
    Inline {
        name: String,
        content: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<u32>,
    },
    File {
        name: String,
        file: Place,
        mode: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mtime: Option<i64>,
        #[serde(default)]
        unpack: bool,
    },
    Directory {},
}

/// In place of COPY's rules those of cp(1): nothing above the destination is made.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyRule {
    /// A directory goes into one that is there, under its own name.
    Cp,
    /// What is in the directory goes there.
    CpContents,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Copy {
    pub base: Vec<Place>,
    pub items: Vec<CopyItem>,
    pub to: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chown: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chmod: Option<String>,
    #[serde(default)]
    pub link: bool,
    #[serde(default)]
    pub parents: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<CopyRule>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<Place>,
    #[serde(default, skip_serializing_if = "LayerForm::is_tree")]
    pub form: LayerForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plain: Option<Place>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<LayerOutput>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct CopyResult {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<LayerResult>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<MadeTree>,
    pub entries: u64,
    pub unmatched: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Read {
    pub from: Tree,
    pub paths: Vec<String>,
    pub max_bytes: u64,
    /// Of programs alone, and of each only the first of these sections that it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct ReadFile {
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    pub base64: String,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct ReadResult {
    pub files: Vec<ReadFile>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}
