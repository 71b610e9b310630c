//! The gateway's configuration: one TOML file, environment variables over it, options over both.
//!
//! [`fields`] says what there is, [`layers`] puts the sources on top of each other, and here the texts become settings
//! that can be trusted. [`mod@check`] looks at what they name: files, permissions, ports open to the world.

mod check;
mod fields;
mod layers;
mod reference;
mod show;
mod verbs;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sterna_node::NodeAddress;
use sterna_replication::SilenceLimits;

use crate::cli::{ConfigSource, ServeArgs};
pub(crate) use check::check;
pub(crate) use layers::{Layers, Origin};
pub(crate) use reference::page;
pub(crate) use verbs::{demand_sound, run};

/// Read where no other file is named, if it exists.
const DEFAULT_FILE: &str = "/etc/sterna/sterna.toml";
/// The key file in the data directory where none is named.
const KEY_FILE: &str = "key";
/// The first admin token, in the data directory.
pub(crate) const ADMIN_TOKEN_FILE: &str = "admin-token";
/// The relay's port, where `announce` names none.
const RELAY_PORT: u16 = 7801;
/// More threads of the data plane than this are a mistake.
const DATA_THREADS_MAX: usize = 1024;
/// A primary pings every 10 s (`repl-ping-replica-period`) and sends newlines while it makes a snapshot.
const PRIMARY_SILENCE: RangeInclusive<u64> = 5..=3600;
/// A replica node acknowledges once a second; one that hangs for a moment shall not be dropped for it.
const REPLICA_SILENCE: RangeInclusive<u64> = 3..=3600;
/// A copy that is given up begins anew, and never ends where the limit is shorter than what a node does in one go.
const LOADING_SILENCE: RangeInclusive<u64> = 30..=86_400;
/// The port of discovery, where `announce` names none.
const DISCOVERY_PORT: u16 = 7802;

/// The files of a listener's TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Certificate chain.
    pub(crate) cert: PathBuf,
    /// Private key.
    pub(crate) key: PathBuf,
    /// The authority of client certificates, where these are demanded.
    pub(crate) client_ca: Option<PathBuf>,
}

/// The API's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) allow_plaintext_remote: bool,
    pub(crate) metrics_public: bool,
}

/// The relay's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RelayConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) announce: Option<NodeAddress>,
    pub(crate) tls: Option<TlsFiles>,
}

/// Discovery's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiscoveryConfig {
    pub(crate) enabled: bool,
    pub(crate) listen: SocketAddr,
    pub(crate) announce: Option<NodeAddress>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) users_file: Option<PathBuf>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) allow_plaintext_remote: bool,
}

/// How the gateway's log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// All settings of a gateway, read and typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) key_file: PathBuf,
    /// Threads that shards are spread over.
    pub(crate) data_threads: NonZeroUsize,
    pub(crate) api: ApiConfig,
    pub(crate) relay: RelayConfig,
    pub(crate) discovery: DiscoveryConfig,
    /// For how long nodes that say nothing are waited for.
    pub(crate) silence: SilenceLimits,
    pub(crate) log_filter: String,
    pub(crate) log_format: LogFormat,
}

/// A configuration that can't be used. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file can't be read.
    #[error("the configuration file {} can't be read: {source}", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nobody writes so much by hand.
    #[error("{} is too large for a configuration file", path.display())]
    TooLarge {
        /// Its path.
        path: PathBuf,
    },
    /// It is no TOML.
    #[error("{}:{line}: {reason}", path.display())]
    Syntax {
        /// Its path.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A field that does not exist, or a value that it can't have.
    #[error("{origin}: {reason}")]
    Value {
        /// Where it was said.
        origin: Origin,
        /// What is wrong.
        reason: String,
    },
}

impl Layers {
    /// Defaults, the file, and the environment of this process.
    pub(crate) fn load(source: &ConfigSource) -> Result<Self, ConfigError> {
        let mut layers = Self::default();
        match &source.config {
            Some(path) => layers.file(path)?,
            None if Path::new(DEFAULT_FILE).exists() => layers.file(Path::new(DEFAULT_FILE))?,
            None => {}
        }
        layers.environment(|name| std::env::var_os(name))?;
        Ok(layers)
    }

    /// What `sterna serve` is to run with.
    pub(crate) fn for_serve(args: &ServeArgs) -> Result<Self, ConfigError> {
        let mut layers = Self::load(&args.source)?;
        let dir = args.data_dir.as_ref();
        layers.option("data_dir", "--data-dir", dir.map(|dir| dir.display().to_string()));
        let address = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        layers.option("api.listen", "--listen-api", address(args.listen_api));
        layers.option("relay.listen", "--listen-relay", address(args.listen_relay));
        layers.option(
            "discovery.listen",
            "--listen-discovery",
            address(args.listen_discovery),
        );
        Ok(layers)
    }
}

impl Config {
    /// Types every value; says of a bad one where it was written.
    pub(crate) fn read(layers: &Layers) -> Result<Self, ConfigError> {
        let data_dir = layers.required::<PathBuf>("data_dir", "a path")?;
        let key_file = layers
            .optional("key_file", "a path")?
            .unwrap_or_else(|| data_dir.join(KEY_FILE));
        Ok(Self {
            data_dir,
            key_file,
            data_threads: layers.data_threads()?,
            api: ApiConfig {
                listen: layers.address("api.listen")?,
                tls: layers.tls("api")?,
                allow_plaintext_remote: layers.flag("api.allow_plaintext_remote")?,
                metrics_public: layers.flag("api.metrics_public")?,
            },
            relay: RelayConfig {
                listen: layers.address("relay.listen")?,
                announce: layers.node("relay.announce", RELAY_PORT)?,
                tls: layers.tls("relay")?,
            },
            discovery: DiscoveryConfig {
                enabled: layers.flag("discovery.enabled")?,
                listen: layers.address("discovery.listen")?,
                announce: layers.node("discovery.announce", DISCOVERY_PORT)?,
                password_file: layers.optional("discovery.password_file", "a path")?,
                users_file: layers.optional("discovery.users_file", "a path")?,
                tls: layers.tls("discovery")?,
                allow_plaintext_remote: layers.flag("discovery.allow_plaintext_remote")?,
            },
            silence: SilenceLimits {
                primary: layers.seconds("replication.primary_silence_seconds", PRIMARY_SILENCE)?,
                replica: layers.seconds("replication.replica_silence_seconds", REPLICA_SILENCE)?,
                replica_loading: layers
                    .seconds("replication.replica_loading_silence_seconds", LOADING_SILENCE)?,
            },
            log_filter: layers.required("log.filter", "a text")?,
            log_format: layers.log_format()?,
        })
    }

    /// Where the first admin token is.
    pub(crate) fn admin_token_file(&self) -> PathBuf {
        self.data_dir.join(ADMIN_TOKEN_FILE)
    }
}

/// From text to type.
impl Layers {
    fn parse<T>(
        &self,
        path: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.get(path) else {
            return Ok(None);
        };
        let refused = |reason| ConfigError::Value {
            origin: value.origin.clone(),
            reason,
        };
        if value.text.trim().is_empty() {
            return Err(refused(format!("{path} is empty; leave it out instead")));
        }
        parse(value.text.trim()).map(Some).map_err(refused)
    }

    fn optional<T: FromStr>(&self, path: &str, expected: &str) -> Result<Option<T>, ConfigError> {
        self.parse(path, |text| {
            text.parse()
                .map_err(|_| format!("{path} must be {expected}, not {text:?}"))
        })
    }

    fn required<T: FromStr>(&self, path: &str, expected: &str) -> Result<T, ConfigError> {
        let value = self.optional(path, expected)?;
        Ok(value.expect("a field with a default has a value"))
    }

    fn address(&self, path: &str) -> Result<SocketAddr, ConfigError> {
        self.required(
            path,
            "an IP address and a port, as in 127.0.0.1:7800 or [::1]:7800",
        )
    }

    fn flag(&self, path: &str) -> Result<bool, ConfigError> {
        self.required(path, "true or false")
    }

    fn node(&self, path: &str, default_port: u16) -> Result<Option<NodeAddress>, ConfigError> {
        self.parse(path, |text| {
            NodeAddress::parse(text, default_port).map_err(|error| format!("{path}: {error}"))
        })
    }

    fn tls(&self, section: &str) -> Result<Option<TlsFiles>, ConfigError> {
        let path = |name: &str| self.optional::<PathBuf>(&format!("{section}.{name}"), "a path");
        // Not every section demands client certificates.
        let client_ca = path("tls_client_ca")?;
        let lonely = |given: &str, missing: &str| {
            let field = format!("{section}.{given}");
            let origin = self
                .get(&field)
                .map_or(Origin::Default, |value| value.origin.clone());
            Err(ConfigError::Value {
                origin,
                reason: format!("{field} needs {section}.{missing} beside it"),
            })
        };
        match (path("tls_cert")?, path("tls_key")?) {
            (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key, client_ca })),
            (None, None) if client_ca.is_some() => lonely("tls_client_ca", "tls_cert and tls_key"),
            (None, None) => Ok(None),
            (Some(_), None) => lonely("tls_cert", "tls_key"),
            (None, Some(_)) => lonely("tls_key", "tls_cert"),
        }
    }

    /// As many as were asked for, or as the machine has cores.
    fn data_threads(&self) -> Result<NonZeroUsize, ConfigError> {
        let asked = self.parse("data_threads", |text| {
            let count: Option<NonZeroUsize> = text.parse().ok();
            count
                .filter(|count| count.get() <= DATA_THREADS_MAX)
                .ok_or_else(|| {
                    format!("data_threads must be a number from 1 to {DATA_THREADS_MAX}, not {text:?}")
                })
        })?;
        Ok(asked.unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)))
    }

    fn seconds(&self, path: &str, range: RangeInclusive<u64>) -> Result<Duration, ConfigError> {
        let seconds = self.parse(path, |text| {
            let seconds = text.parse().ok().filter(|seconds| range.contains(seconds));
            let (min, max) = (range.start(), range.end());
            seconds.ok_or_else(|| {
                format!("{path} must be a number of seconds from {min} to {max}, not {text:?}")
            })
        })?;
        Ok(Duration::from_secs(
            seconds.expect("a field with a default has a value"),
        ))
    }

    fn log_format(&self) -> Result<LogFormat, ConfigError> {
        let format = self.parse("log.format", |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            other => Err(format!("log.format is text or json, not {other:?}")),
        })?;
        Ok(format.expect("a field with a default has a value"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(values: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
        let mut layers = Layers::default();
        for (path, text) in values {
            layers.option(path, "--here", Some((*text).to_owned()));
        }
        Config::read(&layers)
    }

    #[test]
    fn the_defaults_are_good() {
        let config = with(&[]).expect("the defaults");
        assert_eq!(config.key_file, Path::new("sterna-data/key"));
        assert_eq!(config.admin_token_file(), Path::new("sterna-data/admin-token"));
        assert!(config.api.listen.ip().is_loopback() && config.discovery.listen.ip().is_loopback());
        assert!(config.discovery.enabled && config.api.tls.is_none());
        assert_eq!(
            Ok(config.data_threads),
            std::thread::available_parallelism().map_err(|error| error.kind())
        );
    }

    #[test]
    fn limits_of_silence_are_those_of_the_data_plane_unless_set() {
        let config = with(&[]).expect("the defaults");
        assert_eq!(config.silence, SilenceLimits::default());
        let config = with(&[("replication.replica_silence_seconds", "25")]).expect("good");
        assert_eq!(config.silence.replica, Duration::from_secs(25));
    }

    #[test]
    fn bad_values_are_told_with_their_origin() {
        for (path, text, expected) in [
            (
                "api.listen",
                "7800",
                "--here: api.listen must be an IP address and a port",
            ),
            (
                "api.metrics_public",
                "1",
                "--here: api.metrics_public must be true or false",
            ),
            (
                "data_threads",
                "0",
                "--here: data_threads must be a number from 1",
            ),
            (
                "replication.replica_silence_seconds",
                "2",
                "--here: replication.replica_silence_seconds must be a number of seconds from 3 to 3600",
            ),
            ("relay.announce", "a:b:c", "--here: relay.announce: "),
            ("log.format", "xml", "--here: log.format is text or json"),
            ("data_dir", " ", "--here: data_dir is empty"),
            (
                "api.tls_cert",
                "x",
                "--here: api.tls_cert needs api.tls_key beside it",
            ),
            (
                "relay.tls_client_ca",
                "x",
                "--here: relay.tls_client_ca needs relay.tls_cert and tls_key beside it",
            ),
        ] {
            let error = with(&[(path, text)]).expect_err(path).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn announced_addresses_take_the_default_port() {
        let config = with(&[("relay.announce", "gw"), ("discovery.announce", "gw")]).expect("good");
        assert_eq!(config.relay.announce, Some(NodeAddress::new("gw", 7801)));
        assert_eq!(config.discovery.announce, Some(NodeAddress::new("gw", 7802)));
    }
}
