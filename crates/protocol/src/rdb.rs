//! Full transfers: the framing around the RDB ([`RdbTransfer`]) and a look inside as it passes ([`RdbInspector`]).

mod aux;
mod encode;
mod error;
mod header;
mod inspector;
mod transfer;
mod version;

pub use encode::{eof_header, length_header};
pub use error::RdbError;
pub use header::{RDB_HEADER_BYTES_MAX, RdbHeader, RdbMagic};
pub use inspector::{RdbChecksum, RdbInspector, RdbSummary};
pub use transfer::{EOF_MARK_LEN, RdbEvent, RdbForm, RdbTransfer};
pub use version::{rdb_loadable, rdb_version_max};
