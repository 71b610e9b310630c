//! A service is registered, changed, looked at.

use std::fmt;

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::service::{Secrets, ServiceSpec};
use crate::strict::strictly;

/// A service, with the passwords that it is reached with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ServiceRequest {
    /// What is said of it.
    #[serde(flatten)]
    pub spec: ServiceSpec,
    /// Passwords; they are sealed, and shown in no answer. Where they are left out of a change, those that are kept stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Secrets>,
}

impl<'de> Deserialize<'de> for ServiceRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand, because unknown fields must be refused, which `flatten` does not show; and because an error must not
        // show a password that stands in the wrong place.
        let mut fields = serde_json::Map::deserialize(deserializer)?;
        let secrets = match fields.remove("secrets") {
            None | Some(serde_json::Value::Null) => None,
            Some(secrets) => Some(strictly(secrets).map_err(|_| {
                D::Error::custom("`secrets` is an object with the texts `password` and `sentinel_password`")
            })?),
        };
        let spec = strictly(serde_json::Value::Object(fields)).map_err(D::Error::custom)?;
        Ok(Self { spec, secrets })
    }
}

/// The role that the doctor looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DoctorRole {
    /// Is it fit to take the writes?
    Primary,
    /// Is it fit to copy?
    Replica,
}

impl fmt::Display for DoctorRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        })
    }
}
