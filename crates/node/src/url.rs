//! The URL that names a service: how to reach its nodes, as whom, and whether over TLS.
//!
//! `redis://[user[:password]@]host[:port][,host[:port]…]`, with `rediss`, `valkey` and `valkeys` beside `redis`
//! (the `s` means TLS), and `redis+sentinel://host[:port],…/master-name` to ask Sentinels. Parameters follow a `?`;
//! [`PARAMETERS`] lists them.

mod parse;

use std::fmt;
use std::str::FromStr;

use sterna_protocol::Secret;

use crate::address::{DEFAULT_PORT, DEFAULT_SENTINEL_PORT, InvalidAddress, NodeAddress};
use crate::secret::{SecretError, SecretSource};
use crate::tls::TlsSettings;

/// The parameters that a service URL takes after its `?`.
pub const PARAMETERS: &[&str] = &[
    "cacert",
    "cert",
    "key",
    "sni",
    "insecure",
    "password-env",
    "password-file",
    "sentinel-user",
    "sentinel-password",
    "sentinel-password-env",
    "sentinel-password-file",
    "sentinel-tls",
];

/// Which name the URL was written with. Both speak the same protocol; the engine is found out by asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `redis`, `rediss`, `redis+sentinel`, `rediss+sentinel`.
    Redis,
    /// `valkey`, `valkeys`, `valkey+sentinel`, `valkeys+sentinel`.
    Valkey,
}

/// Where the nodes of a service are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoints {
    /// The nodes themselves, at least one.
    Nodes(Vec<NodeAddress>),
    /// Sentinels to be asked for the primary.
    Sentinel {
        /// The Sentinels, at least one.
        sentinels: Vec<NodeAddress>,
        /// The name under which they watch the service.
        master_name: String,
    },
}

impl Endpoints {
    /// The addresses that stand in the URL.
    pub fn addresses(&self) -> &[NodeAddress] {
        match self {
            Self::Nodes(addresses)
            | Self::Sentinel {
                sentinels: addresses, ..
            } => addresses,
        }
    }

    /// The first of them.
    pub(crate) fn first(&self) -> &NodeAddress {
        self.addresses().first().expect("a URL has at least one address")
    }
}

/// How to authenticate to Sentinels and whether they speak TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentinelAccess {
    /// The ACL user, where one is needed.
    pub user: Option<String>,
    /// The password, where one is needed.
    pub password: Option<Secret>,
    /// Where the password is to be read from instead.
    pub password_source: Option<SecretSource>,
    /// Whether the Sentinels speak TLS; by default what the nodes do.
    pub tls: bool,
}

/// A service as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUrl {
    /// Which name it was written with.
    pub scheme: Scheme,
    /// Where its nodes are found.
    pub endpoints: Endpoints,
    /// The ACL user, where one is given; else Redis takes `default`.
    pub user: Option<String>,
    /// The password, where it is written in the URL or was loaded by [`ServiceUrl::load_secrets`].
    pub password: Option<Secret>,
    /// Where the password is to be read from.
    pub password_source: Option<SecretSource>,
    /// Set when the nodes speak TLS.
    pub tls: Option<TlsSettings>,
    /// How to talk to the Sentinels, where there are some.
    pub sentinel: Option<SentinelAccess>,
    password_in_text: bool,
}

impl ServiceUrl {
    /// Whether a password stands in the URL's own text, where `ps` would show it to everybody on the machine.
    pub fn has_password_in_text(&self) -> bool {
        self.password_in_text
    }

    /// Reads the passwords that the URL names by variable or file, unless they are here already. Returns warnings
    /// about the files.
    pub fn load_secrets(&mut self) -> Result<Vec<String>, SecretError> {
        let mut warnings = Vec::new();
        let mut load = |source: &Option<SecretSource>, into: &mut Option<Secret>| {
            if let (Some(source), None) = (source, into.as_ref()) {
                let loaded = source.load()?;
                *into = Some(loaded.secret);
                warnings.extend(loaded.warning);
            }
            Ok(())
        };
        load(&self.password_source, &mut self.password)?;
        if let Some(sentinel) = &mut self.sentinel {
            load(&sentinel.password_source, &mut sentinel.password)?;
        }
        Ok(warnings)
    }
}

impl FromStr for ServiceUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse::parse(text)
    }
}

impl fmt::Display for ServiceUrl {
    /// The URL without parameters, with `***` for a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scheme {
            Scheme::Redis => "redis",
            Scheme::Valkey => "valkey",
        })?;
        if self.tls.is_some() {
            f.write_str("s")?;
        }
        let (addresses, default_port, master_name) = match &self.endpoints {
            Endpoints::Nodes(nodes) => (nodes, DEFAULT_PORT, None),
            Endpoints::Sentinel {
                sentinels,
                master_name,
            } => {
                f.write_str("+sentinel")?;
                (sentinels, DEFAULT_SENTINEL_PORT, Some(master_name))
            }
        };
        f.write_str("://")?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
        }
        if self.password.is_some() || self.password_source.is_some() {
            f.write_str(":***")?;
        }
        if self.user.is_some() || self.password.is_some() || self.password_source.is_some() {
            f.write_str("@")?;
        }
        for (index, address) in addresses.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let text = address.to_string();
            let text = text.strip_suffix(&format!(":{default_port}")).unwrap_or(&text);
            write!(f, "{comma}{text}")?;
        }
        match master_name {
            Some(name) => write!(f, "/{name}"),
            None => Ok(()),
        }
    }
}

/// The text is not a service URL. No message repeats a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// No known scheme stands in front.
    #[error(
        "{shown:?} is not a service URL: it must begin with redis://, rediss:// (TLS), valkey://, valkeys:// (TLS) \
         or redis+sentinel://"
    )]
    Scheme {
        /// The text, passwords masked.
        shown: String,
    },
    /// An address in it can't be read.
    #[error("the service URL has an address that can't be read: {0}")]
    Address(#[from] InvalidAddress),
    /// A character of the user or password needs percent-encoding.
    #[error(
        "the user or password in the service URL holds a character that must be percent-encoded: write %40 for @, \
         %2F for /, %3F for ?, %23 for # and %25 for %"
    )]
    Encoding,
    /// A password stands in front of `@`, but there is also a source to read it from.
    #[error("the service URL gives {what} twice")]
    Twice {
        /// Which setting.
        what: &'static str,
    },
    /// A database is selected.
    #[error(
        "the service URL selects database {database}, but replication copies all databases of a service: leave \
         /{database} out"
    )]
    Database { database: String },
    /// The path is neither a database number nor a master name.
    #[error(
        "the service URL has a path, /{path}, that means nothing here; only redis+sentinel:// takes a name"
    )]
    Path { path: String },
    /// A Sentinel URL without the name to ask for.
    #[error(
        "a Sentinel URL ends with the name under which the Sentinels watch the service, as in \
         redis+sentinel://sentinel-1:26379,sentinel-2:26379/mymaster"
    )]
    NoMasterName,
    #[error("the service URL has an unknown parameter {name:?}; it takes {}", PARAMETERS.join(", "))]
    UnknownParameter { name: String },
    /// A parameter whose value can't be read.
    #[error("the parameter {name} of the service URL must be {expected}")]
    ParameterValue {
        name: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A TLS parameter on a URL without TLS.
    #[error(
        "the parameter {name} is about TLS, but the service URL asks for none: write rediss:// or valkeys://"
    )]
    TlsParameter { name: String },
    /// A Sentinel parameter on a URL without Sentinels.
    #[error("the parameter {name} is about Sentinels, but the service URL is not redis+sentinel://")]
    SentinelParameter { name: String },
}

#[cfg(test)]
mod tests;
