//! Values and keys: JSON both ways, numbers that sort, and randomness as text.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::backend::Entry;
use crate::error::StoreError;

/// The key of a number: 20 digits hold every one.
pub(super) fn numbered_key(prefix: &str, number: u64) -> String {
    format!("{prefix}{number:020}")
}

/// A value as JSON.
pub(super) fn json<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError::Unusable {
        reason: format!("{key} can't be written as JSON: {error}"),
    })
}

/// A stored value, whatever a newer version added to it.
pub(super) fn parse<T: DeserializeOwned>(entry: &Entry) -> Result<T, StoreError> {
    parse_bytes(&entry.key, &entry.value)
}

/// The same for bytes that were unsealed.
pub(super) fn parse_bytes<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Damaged {
        key: key.to_owned(),
        reason: error.to_string(),
    })
}

/// A stored text.
pub(super) fn text(key: &str, bytes: Vec<u8>) -> Result<String, StoreError> {
    String::from_utf8(bytes).map_err(|error| StoreError::Damaged {
        key: key.to_owned(),
        reason: error.to_string(),
    })
}

/// Random bytes of the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| StoreError::Unusable {
        reason: "the system gives no random bytes".to_owned(),
    })?;
    Ok(bytes)
}

/// The same as hex digits, two for each byte.
pub(super) fn random_hex<const N: usize>() -> Result<String, StoreError> {
    Ok(HEXLOWER.encode(&random::<N>()?))
}

/// SHA-256 as hex digits.
pub(super) fn sha256_hex(text: &str) -> String {
    HEXLOWER.encode(digest(&SHA256, text.as_bytes()).as_ref())
}
