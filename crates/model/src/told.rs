//! How a status is written: the data, and beside it the sentence that the table in `message` has for it.

use std::fmt::Display;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// A value as data, with the sentence that the table has for it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Told<T> {
    /// The data.
    #[serde(flatten)]
    pub data: T,
    /// In one sentence, for people. Programs go by the code and the other fields.
    pub message: String,
}

/// Writes a value with its sentence; reading it back needs the data alone.
pub(crate) fn told<T: Serialize + Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let message = value.to_string();
    Told { data: value, message }.serialize(serializer)
}

/// The same for a value that may not be there.
#[expect(clippy::ref_option, reason = "serde gives a reference to the field")]
pub(crate) fn told_if_any<T: Serialize + Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => told(value, serializer),
        None => serializer.serialize_none(),
    }
}
