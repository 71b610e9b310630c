//! What a configuration names: files that are there and nobody else reads, listeners that nobody can listen in on.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use sterna_node::ServerTls;

use super::{Config, TlsFiles};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// It works, but somebody should know.
    Warn,
    /// The gateway does not start with it.
    Refuse,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// How bad it is.
    pub(crate) level: Level,
    /// The field.
    pub(crate) field: String,
    /// What is wrong, and what it means.
    pub(crate) text: String,
    /// What to do.
    pub(crate) hint: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\nhint: {}", self.field, self.text, self.hint)
    }
}

/// Everything that is not as it should be.
pub(crate) fn check(config: &Config) -> Vec<Finding> {
    let mut findings = Findings::default();
    findings.data_dir(&config.data_dir);
    findings.private_file("key_file", &config.key_file, Absent::IsFine);
    let (api, relay, discovery) = (&config.api, &config.relay, &config.discovery);
    findings.tls("api", api.tls.as_ref());
    findings.tls("relay", relay.tls.as_ref());
    findings.listener(
        "api",
        api.listen,
        api.tls.is_some(),
        api.allow_plaintext_remote,
        "tokens and the passwords of services",
    );
    if discovery.enabled {
        findings.tls("discovery", discovery.tls.as_ref());
        findings.listener(
            "discovery",
            discovery.listen,
            discovery.tls.is_some(),
            discovery.allow_plaintext_remote,
            "where clients are to write, and their password,",
        );
        if let Some(file) = &discovery.password_file {
            findings.private_file("discovery.password_file", file, Absent::IsRefused);
        }
        if let Some(file) = &discovery.users_file {
            findings.private_file("discovery.users_file", file, Absent::IsRefused);
        }
    }
    findings.ports(config);
    if let Err(error) = config.log_filter.parse::<tracing_subscriber::EnvFilter>() {
        findings.refuse(
            "log.filter",
            format!("{:?} is no filter: {error}", config.log_filter),
            "name a level, as in info, or levels by part, as in info,sterna_control=debug",
        );
    }
    findings.0
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    IsFine,
    IsRefused,
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, level: Level, field: &str, text: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Finding {
            level,
            field: field.to_owned(),
            text: text.into(),
            hint: hint.into(),
        });
    }

    fn refuse(&mut self, field: &str, text: impl Into<String>, hint: impl Into<String>) {
        self.add(Level::Refuse, field, text, hint);
    }

    fn data_dir(&mut self, dir: &Path) {
        let shown = dir.display();
        match std::fs::metadata(dir) {
            Ok(found) if !found.is_dir() => self.refuse(
                "data_dir",
                format!("{shown} is not a directory"),
                "name a directory, or a path that does not exist yet",
            ),
            Ok(found) if found.permissions().mode() & 0o022 != 0 => self.add(
                Level::Warn,
                "data_dir",
                format!("{shown} can be changed by other users of this machine"),
                format!("chmod 750 {shown}"),
            ),
            // A directory that is not there is made at the first start.
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => self.refuse(
                "data_dir",
                format!("{shown} can't be looked at: {error}"),
                "give the gateway's user access to it",
            ),
        }
    }

    /// A file with a secret in it: its owner's alone.
    fn private_file(&mut self, field: &str, path: &Path, absent: Absent) {
        let shown = path.display();
        match std::fs::metadata(path) {
            Ok(found) if found.permissions().mode() & 0o077 != 0 => self.refuse(
                field,
                format!(
                    "{shown} holds a secret, and other users of this machine can get at it (mode {:03o})",
                    found.permissions().mode() & 0o777
                ),
                format!("chmod 600 {shown}"),
            ),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && absent == Absent::IsFine => {}
            Err(error) => self.refuse(
                field,
                format!("{shown} can't be read: {error}"),
                "put the file there, readable by the gateway's user",
            ),
        }
    }

    fn tls(&mut self, section: &str, files: Option<&TlsFiles>) {
        let Some(files) = files else { return };
        let before = self.0.len();
        self.private_file(&format!("{section}.tls_key"), &files.key, Absent::IsRefused);
        if self.0.len() > before {
            return;
        }
        if let Err(error) = ServerTls::new(&files.cert, &files.key, files.client_ca.as_deref()) {
            self.refuse(
                &format!("{section}.tls_cert"),
                format!("TLS can't be set up: {error}"),
                "name a certificate chain and its private key, both as PEM files",
            );
        }
    }

    fn listener(&mut self, section: &str, listen: SocketAddr, tls: bool, allowed: bool, what: &str) {
        if tls || listen.ip().is_loopback() {
            return;
        }
        if allowed {
            self.add(
                Level::Warn,
                &format!("{section}.allow_plaintext_remote"),
                format!("{what} cross the network readable by everybody on the way"),
                format!("set {section}.tls_cert and {section}.tls_key"),
            );
            return;
        }
        self.refuse(
            &format!("{section}.listen"),
            format!("{listen} can be reached from other machines, and without TLS {what} would cross the network in the clear"),
            format!(
                "set {section}.tls_cert and {section}.tls_key; or, where the network itself is encrypted, \
                 {section}.allow_plaintext_remote = true"
            ),
        );
    }

    fn ports(&mut self, config: &Config) {
        let mut listeners = vec![
            ("api.listen", config.api.listen),
            ("relay.listen", config.relay.listen),
        ];
        if config.discovery.enabled {
            listeners.push(("discovery.listen", config.discovery.listen));
        }
        for (index, (field, listen)) in listeners.iter().enumerate() {
            let clashes = |other: &&(&str, SocketAddr)| {
                other.1.port() == listen.port()
                    && (other.1.ip() == listen.ip()
                        || other.1.ip().is_unspecified()
                        || listen.ip().is_unspecified())
            };
            if listen.port() == 0 {
                continue;
            }
            if let Some((other, _)) = listeners[..index].iter().find(clashes) {
                self.refuse(
                    field,
                    format!("port {} is {other}'s already", listen.port()),
                    "give each listener a port of its own",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};

    use super::super::Layers;
    use super::*;

    fn findings(values: &[(&'static str, &str)]) -> Vec<(Level, String)> {
        let mut layers = Layers::default();
        layers.option("data_dir", "--data-dir", Some("/nowhere/sterna".to_owned()));
        for (path, text) in values {
            layers.option(path, "--here", Some((*text).to_owned()));
        }
        let config = Config::read(&layers).expect("good values");
        let found = check(&config);
        found
            .into_iter()
            .map(|finding| (finding.level, finding.field))
            .collect()
    }

    #[test]
    fn the_defaults_pass() {
        assert_eq!(findings(&[]), []);
    }

    #[test]
    fn plaintext_beyond_loopback_is_refused_unless_allowed() {
        assert_eq!(
            findings(&[("api.listen", "0.0.0.0:7800"), ("discovery.listen", "[::]:7802")]),
            [
                (Level::Refuse, "api.listen".to_owned()),
                (Level::Refuse, "discovery.listen".to_owned())
            ]
        );
        let allowed = [
            ("api.listen", "10.0.0.1:7800"),
            ("api.allow_plaintext_remote", "true"),
        ];
        assert_eq!(
            findings(&allowed),
            [(Level::Warn, "api.allow_plaintext_remote".to_owned())]
        );
        let off = [
            ("discovery.listen", "0.0.0.0:7802"),
            ("discovery.enabled", "false"),
        ];
        assert_eq!(findings(&off), []);
        assert_eq!(findings(&[("api.listen", "[::1]:7800")]), []);
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let key = dir.path().join("key");
        write(&key, "x").expect("written");
        let path = key.display().to_string();
        for (mode, expected) in [
            (0o600, vec![]),
            (0o640, vec![(Level::Refuse, "key_file".to_owned())]),
        ] {
            set_permissions(&key, Permissions::from_mode(mode)).expect("chmod");
            assert_eq!(findings(&[("key_file", &path)]), expected, "{mode:o}");
        }
        assert_eq!(
            findings(&[("discovery.password_file", "/nowhere/password")]),
            [(Level::Refuse, "discovery.password_file".to_owned())]
        );
    }

    #[test]
    fn ports_filters_and_certificates_are_checked() {
        assert_eq!(
            findings(&[("api.listen", "127.0.0.1:7801")]),
            [(Level::Refuse, "relay.listen".to_owned())]
        );
        assert_eq!(
            findings(&[("api.listen", "127.0.0.1:0"), ("discovery.listen", "127.0.0.1:0")]),
            []
        );
        assert_eq!(
            findings(&[("log.filter", "sterna=loud")]),
            [(Level::Refuse, "log.filter".to_owned())]
        );
        assert_eq!(
            findings(&[("relay.tls_cert", "/nowhere/c"), ("relay.tls_key", "/nowhere/k")]),
            [(Level::Refuse, "relay.tls_key".to_owned())]
        );
    }
}
