//! What a server keeps on its own disk.

/// What it comes back with after its process was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Nothing: it restarts without data.
    Nothing,
    /// An append-only file: it restarts with every write that it acknowledged.
    AppendOnlyFile,
    /// An RDB file of the moment before the fault: it restarts with older data.
    OlderFile,
}

impl Kept {
    /// As it stands in a line about a run.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Nothing => "empty",
            Self::OlderFile => "with an older RDB file",
            Self::AppendOnlyFile => "with its append-only file",
        }
    }
}
