//! A token is made.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::token::{Role, Token};

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenRequest {
    /// Whose it is; the audit names those who act by it.
    #[schema(pattern = "^[A-Za-z0-9._@-]{1,63}$")]
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// After how many seconds it ends by itself; never, where this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 315_360_000)]
    pub expires_in_seconds: Option<u32>,
}

/// A token that was made, with what it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MadeToken {
    /// What is kept of it.
    pub token: Token,
    /// What is sent as `Authorization: Bearer …`. It is shown now and never again.
    #[schema(example = "sterna_…")]
    pub secret: String,
}

impl fmt::Debug for MadeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeToken")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}
