//! Who did what, when, with what result.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that somebody did, or tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    /// Its number, rising with time.
    pub id: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who: the token's name, `sterna` for what the gateway did by itself, `-` where nobody was recognised.
    pub actor: String,
    /// From where, for requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// What: `group.create`, `token.revoke`, `failover`...
    pub action: String,
    /// On what: the name of a group, service or token.
    pub target: String,
    /// `ok`, or why not.
    pub outcome: String,
    /// More, in one sentence. Never a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
