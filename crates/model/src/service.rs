//! A service: one Redis or Valkey deployment in one place.

use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sterna_protocol::NodeAddress;
use utoipa::ToSchema;

use crate::names::{Revision, ServiceName, SiteName};

/// What a person says of a service. Passwords are given apart, in [`Secrets`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceSpec {
    /// Its name.
    pub name: ServiceName,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteName>,
    /// All of its nodes, as the gateway reaches them; the primary among them is found by asking.
    #[schema(value_type = Vec<String>, example = json!(["redis-1.eu.example:6379"]))]
    pub nodes: Vec<NodeAddress>,
    /// Its own Sentinels, where it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel: Option<SentinelSpec>,
    /// The ACL user with which to log in; none means `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Set where the nodes speak TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// Addresses that clients use instead, in the order of `nodes`, where they differ; discovery gives these out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub client_addresses: Vec<NodeAddress>,
    /// Whether what a group sets at the nodes is written to their configuration files (`CONFIG REWRITE`).
    #[serde(default, skip_serializing_if = "ConfigRewrite::is_default")]
    pub config_rewrite: ConfigRewrite,
}

/// Whether a node's configuration file is rewritten. A rewrite that is seen to keep the node from starting, or from starting with the
/// fence, is never done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigRewrite {
    /// Where it can do no harm. A node with ACL users outside of an ACL file, or with modules, is left alone if its files can't be
    /// read from the gateway's machine: what an included file defines would be there twice.
    #[default]
    WhenSafe,
    /// Also where its files can't be read: a person knows that none is included.
    Always,
    /// Nowhere: a person keeps the files, with the lines that the doctor names.
    Never,
}

impl ConfigRewrite {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WhenSafe => "when-safe",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// A service's own Sentinels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SentinelSpec {
    /// Their addresses.
    #[schema(value_type = Vec<String>)]
    pub nodes: Vec<NodeAddress>,
    /// The name under which they watch the service.
    pub master_name: String,
    /// The ACL user with which to log in to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Whether they speak TLS, with the files of the service.
    #[serde(default)]
    pub tls: bool,
}

/// How the nodes' TLS is verified. Paths are on the gateway's machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TlsSpec {
    /// Certificates of the authorities to trust (PEM); none means those of the system.
    #[schema(value_type = Option<String>)]
    pub ca_file: Option<PathBuf>,
    /// Our certificate (PEM), where the nodes want one.
    #[schema(value_type = Option<String>)]
    pub cert_file: Option<PathBuf>,
    /// Its key (PEM).
    #[schema(value_type = Option<String>)]
    pub key_file: Option<PathBuf>,
    /// The name to verify, where it is not the host's.
    pub server_name: Option<String>,
    /// Do not verify at all: whoever answers is believed.
    pub insecure: bool,
}

/// The passwords of a service. Sealed at rest; in no answer, no log and no error.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Secrets {
    /// The nodes' password.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Password)]
    pub password: Option<String>,
    /// The Sentinels' password.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Password)]
    pub sentinel_password: Option<String>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |secret: &Option<String>| if secret.is_some() { "***" } else { "none" };
        write!(
            f,
            "Secrets({}, {})",
            shown(&self.password),
            shown(&self.sentinel_password)
        )
    }
}

/// A registered service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// What was said of it.
    #[serde(flatten)]
    pub spec: ServiceSpec,
    /// Whether a password is kept for it.
    pub has_password: bool,
    /// When it was registered.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The commit that last changed it; the entity tag of `If-Match`.
    #[serde(default)]
    pub revision: Revision,
}
