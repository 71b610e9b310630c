//! Which Redis or Valkey server a test runs on.
//!
//! `redis-server` from `PATH` unless the environment says otherwise: `STERNA_ENGINE=<name>` picks one of those that
//! `scripts/fetch-engines` puts into `.engines/`, `STERNA_ENGINE_REPLICA=<name>` another one for the replica side.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

/// A server program that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Name and version, as in `redis-7.0.15`.
    pub name: String,
    /// The program and the arguments that stand before the server's own.
    pub program: Vec<String>,
    /// Which of the two families it is of.
    pub kind: EngineKind,
    /// What it says about itself.
    pub version: Version,
}

/// The two families of servers that Sterna replicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    Redis,
    Valkey,
}

/// Major, minor and patch number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u16, pub u16, pub u16);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The engines that `scripts/fetch-engines` knows.
pub const FETCHED: [&str; 6] = [
    "redis-7.0.15",
    "redis-8.0.2",
    "redis-8.6",
    "valkey-8.0.1",
    "valkey-8.1.1",
    "valkey-9.1",
];

impl Default for Engine {
    /// The engine that `STERNA_ENGINE` names, else `redis-server` from `PATH`. Panics when there is none.
    fn default() -> Self {
        static CHOSEN: OnceLock<Engine> = OnceLock::new();
        CHOSEN
            .get_or_init(|| from_environment("STERNA_ENGINE").unwrap_or_else(|error| panic!("{error:#}")))
            .clone()
    }
}

impl Engine {
    /// The engine of the replica side: `STERNA_ENGINE_REPLICA`, else the same as [`Engine::default`].
    pub fn replica() -> Self {
        static CHOSEN: OnceLock<Engine> = OnceLock::new();
        CHOSEN
            .get_or_init(|| match env::var_os("STERNA_ENGINE_REPLICA") {
                Some(_) => {
                    from_environment("STERNA_ENGINE_REPLICA").unwrap_or_else(|error| panic!("{error:#}"))
                }
                None => Self::default(),
            })
            .clone()
    }

    /// An engine of `.engines/` by its name.
    pub fn named(name: &str) -> Result<Self> {
        let program = folder().join(name).join("server");
        ensure!(
            program.is_file(),
            "engine {name} is not in {}: run scripts/fetch-engines",
            folder().display()
        );
        let engine = Self::probe(&[program.to_string_lossy().into_owned()])?;
        ensure!(
            engine.is_called(name),
            "the engine under the name {name} is {}",
            engine.name
        );
        Ok(engine)
    }

    /// Those of [`FETCHED`] that are here, in that order.
    pub fn installed() -> Vec<Self> {
        static FOUND: OnceLock<Vec<Engine>> = OnceLock::new();
        FOUND
            .get_or_init(|| FETCHED.iter().filter_map(|name| Self::named(name).ok()).collect())
            .clone()
    }

    /// Asks a program for its version.
    pub fn probe(program: &[String]) -> Result<Self> {
        let (first, rest) = program.split_first().context("an engine needs a program")?;
        let output = Command::new(first)
            .args(rest)
            .arg("--version")
            .output()
            .with_context(|| format!("{first} can't be run"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (kind, version) = parse_version(&text).with_context(|| {
            format!("{first} is neither a redis-server nor a valkey-server: `--version` said {text:?}")
        })?;
        let family = match kind {
            EngineKind::Redis => "redis",
            EngineKind::Valkey => "valkey",
        };
        Ok(Self {
            name: format!("{family}-{version}"),
            program: program.to_vec(),
            kind,
            version,
        })
    }

    /// Whether this is its name, or the least version that is meant by it: a suite that moves has no third number.
    fn is_called(&self, name: &str) -> bool {
        let least = name.split_once('-').map(|(family, version)| {
            let mut numbers = version.split('.').map(str::parse::<u16>);
            let mut next = || numbers.next()?.ok();
            (family, next(), next(), next())
        });
        match least {
            Some((family, Some(major), Some(minor), None)) => {
                self.name.starts_with(&format!("{family}-")) && self.version >= Version(major, minor, 0)
            }
            _ => self.name == name,
        }
    }

    /// `FUNCTION LOAD` and `FCALL`.
    pub fn has_functions(&self) -> bool {
        self.version >= Version(7, 0, 0)
    }

    /// `HEXPIRE` and its kin: Redis 7.4, Valkey 9.
    pub fn has_hash_field_ttl(&self) -> bool {
        match self.kind {
            EngineKind::Redis => self.version >= Version(7, 4, 0),
            EngineKind::Valkey => self.version >= Version(9, 0, 0),
        }
    }
}

/// Where `scripts/fetch-engines` puts the engines.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.engines")
}

fn from_environment(variable: &str) -> Result<Engine> {
    match env::var(variable) {
        Ok(name) => Engine::named(&name).with_context(|| format!("{variable}={name}")),
        Err(env::VarError::NotPresent) => {
            Engine::probe(&["redis-server".to_owned()]).context("no redis-server in PATH")
        }
        Err(error) => bail!("{variable}: {error}"),
    }
}

fn parse_version(text: &str) -> Option<(EngineKind, Version)> {
    let kind = match text.split_whitespace().next()? {
        "Redis" => EngineKind::Redis,
        "Valkey" => EngineKind::Valkey,
        _ => return None,
    };
    let numbers = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    let mut parts = numbers.split('.').map(str::parse::<u16>);
    let mut next = || parts.next()?.ok();
    Some((kind, Version(next()?, next()?, next()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_servers_say() {
        let redis =
            "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0\n";
        assert_eq!(parse_version(redis), Some((EngineKind::Redis, Version(7, 0, 15))));
        let valkey = "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1\n";
        assert_eq!(
            parse_version(valkey),
            Some((EngineKind::Valkey, Version(8, 1, 1)))
        );
        assert_eq!(parse_version("Dragonfly v=1.0.0"), None);
        assert_eq!(parse_version("Redis server v=7.x"), None);
    }
}
