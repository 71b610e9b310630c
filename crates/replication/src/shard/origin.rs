//! Where a snapshot comes from, kept beside it: it decides who can load it.

use serde::{Deserialize, Serialize};
use sterna_node::Version;
use sterna_node::copying::CopyNeeds;
use sterna_protocol::rdb::{RdbHeader, RdbMagic};

/// What is known of the data set in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Origin {
    /// What the primary said of its data when it was asked for it.
    pub(super) needs: Option<CopyNeeds>,
    /// The version that was announced to it.
    pub(super) announced: Option<Version>,
    /// The format that it came in, once its header was read.
    pub(super) format: Option<(RdbMagic, u32)>,
}

impl Origin {
    /// As it was written down; nothing is known where that can't be read.
    pub(super) fn read(note: &str) -> Self {
        serde_json::from_str(note).unwrap_or_default()
    }

    pub(super) fn note(&self) -> String {
        serde_json::to_string(self).expect("names and numbers always serialize")
    }

    /// The header was read.
    pub(super) fn read_header(&mut self, header: &RdbHeader) {
        self.format = Some((header.magic, header.version));
    }
}
