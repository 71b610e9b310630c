//! What the API is asked with: the bodies of its requests, which it reads and the command line writes.

mod changes;
mod groups;
mod services;
mod tokens;

pub use changes::{
    AcceptHistoryRequest, AddReplicaRequest, DetachRequest, FailoverRequest, Nothing, SwitchoverRequest,
};
pub use groups::{GroupPatch, RescuePatch, SettingsPatch};
pub use services::{DoctorRole, ServiceRequest};
pub use tokens::{MadeToken, TokenRequest};
