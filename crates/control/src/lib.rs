//! The control plane: keeps replication groups as they were asked for.

mod error;
mod handle;
pub mod plan;
mod stage;

pub use error::ControlError;
pub use handle::{Actor, Control, DoctorCheck, DoctorReport, DoctorVerdict, GroupPatch, GroupView};
pub use stage::Stage;
