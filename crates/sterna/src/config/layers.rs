//! The layers of the configuration: options over environment over file over default, each value with its origin.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigError;
use super::fields::{FIELDS, Field, Kind, SECTIONS};

/// The largest configuration file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// A misspelt name is guessed when it differs in no more letters.
const GUESS_DISTANCE_MAX: usize = 3;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File {
        /// Its path.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// An option of the command.
    Option(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Option(name) => f.write_str(name),
        }
    }
}

/// A value as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// The text.
    pub(crate) text: String,
    /// Who said it.
    pub(crate) origin: Origin,
}

/// The values in effect, by the path of their field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layers(BTreeMap<&'static str, Value>);

impl Default for Layers {
    fn default() -> Self {
        let defaults = FIELDS.iter().filter_map(|field| {
            let text = field.default?.to_owned();
            let origin = Origin::Default;
            Some((field.path, Value { text, origin }))
        });
        Self(defaults.collect())
    }
}

impl Layers {
    /// Lays a file over what is there.
    pub(crate) fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let unreadable = |source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge {
                path: path.to_owned(),
            });
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        self.text(path, &text)
    }

    fn text(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let table = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            reason: error.message().trim().to_owned(),
        })?;
        let file = File { path, text };
        for (key, value) in table.get_ref() {
            let name = key.get_ref().as_ref();
            let section = SECTIONS
                .iter()
                .any(|(section, _)| !section.is_empty() && *section == name);
            match value.get_ref() {
                DeValue::Table(fields) if section => {
                    for (key, value) in fields {
                        self.put(&file, &format!("{name}.{}", key.get_ref()), key, value)?;
                    }
                }
                other if section => {
                    return Err(file.wrong(
                        key,
                        format!("{name} is a section, not a {}: write [{name}]", other.type_str()),
                    ));
                }
                _ => self.put(&file, name, key, value)?,
            }
        }
        Ok(())
    }

    fn put(
        &mut self,
        file: &File<'_>,
        path: &str,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        let Some(field) = Field::find(path) else {
            let hint = guess(path).map_or_else(String::new, |near| format!("; did you mean {near}?"));
            return Err(file.wrong(key, format!("there is no field {path}{hint}")));
        };
        let text = match (field.kind, value.get_ref()) {
            (Kind::Flag, DeValue::Boolean(flag)) => flag.to_string(),
            (Kind::Flag, other) => {
                return Err(file.wrong(
                    key,
                    format!("{path} is true or false, not a {}", other.type_str()),
                ));
            }
            (Kind::Number, DeValue::Integer(number)) if number.radix() == 10 => number.as_str().to_owned(),
            (Kind::Number, other) => {
                return Err(file.wrong(
                    key,
                    format!("{path} is a whole number, not a {}", other.type_str()),
                ));
            }
            (_, DeValue::String(text)) => text.clone().into_owned(),
            (_, other) => {
                return Err(file.wrong(
                    key,
                    format!("{path} is a text in quotes, not a {}", other.type_str()),
                ));
            }
        };
        let origin = Origin::File {
            path: file.path.to_owned(),
            line: file.line(key),
        };
        self.0.insert(field.path, Value { text, origin });
        Ok(())
    }

    /// Lays the environment over what is there; a variable that is set to nothing says nothing.
    pub(crate) fn environment(
        &mut self,
        style: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(), ConfigError> {
        for field in &FIELDS {
            let name = field.variable();
            let Some(text) = style(&name).filter(|text| !text.is_empty()) else {
                continue;
            };
            let text = text.into_string().map_err(|_| ConfigError::Value {
                origin: Origin::Environment(name.clone()),
                reason: format!("{} is not UTF-8", field.path),
            })?;
            let origin = Origin::Environment(name);
            self.0.insert(field.path, Value { text, origin });
        }
        Ok(())
    }

    /// Lays an option over what is there.
    pub(crate) fn option(&mut self, path: &'static str, option: &'static str, text: Option<String>) {
        if let Some(text) = text {
            let origin = Origin::Option(option);
            self.0.insert(path, Value { text, origin });
        }
    }

    /// The value of a field, if it has one.
    pub(crate) fn get(&self, path: &str) -> Option<&Value> {
        self.0.get(path)
    }
}

/// Variables that look like fields of a section and are none: most likely a misspelling.
pub(crate) fn stray_variables(names: impl Iterator<Item = String>) -> Vec<String> {
    let sections = SECTIONS.iter().filter(|(name, _)| !name.is_empty());
    let prefixes: Vec<_> = sections
        .map(|(name, _)| format!("STERNA_{}_", name.to_ascii_uppercase()))
        .collect();
    names
        .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
        .filter(|name| FIELDS.iter().all(|field| field.variable() != *name))
        .collect()
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn line<T>(&self, at: &Spanned<T>) -> usize {
        line_of(self.text, at.span().start)
    }

    fn wrong<T>(&self, at: &Spanned<T>, reason: String) -> ConfigError {
        ConfigError::Value {
            origin: Origin::File {
                path: self.path.to_owned(),
                line: self.line(at),
            },
            reason,
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    1 + before.matches('\n').count()
}

/// The field that was most likely meant.
fn guess(path: &str) -> Option<&'static str> {
    let near = FIELDS
        .iter()
        .map(|field| (distance(path, field.path), field.path));
    // The right name in the wrong section, or in none.
    let name = path.rsplit_once('.').map_or(path, |(_, name)| name);
    let moved = FIELDS
        .iter()
        .find(|field| field.name() == name)
        .map(|field| field.path);
    near.min()
        .filter(|(distance, _)| *distance <= GUESS_DISTANCE_MAX)
        .map(|(_, path)| path)
        .or(moved)
}

/// How many letters must be changed, added or left out (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, with) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *with);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Layers, ConfigError> {
        let mut layers = Layers::default();
        layers.text(Path::new("sterna.toml"), text)?;
        Ok(layers)
    }

    fn refusal(text: &str) -> String {
        read(text).expect_err(text).to_string()
    }

    #[test]
    fn options_beat_the_environment_which_beats_the_file_which_beats_defaults() {
        let mut layers =
            read("data_dir = \"/file\"\n[api]\nlisten = \"127.0.0.1:1\"\nmetrics_public = true\n")
                .expect("a good file");
        let environment = |name: &str| match name {
            "STERNA_DATA_DIR" => Some("/env".into()),
            "STERNA_API_LISTEN" => Some("127.0.0.1:2".into()),
            "STERNA_LOG" => Some("".into()),
            _ => None,
        };
        layers.environment(environment).expect("UTF-8");
        layers.option("data_dir", "--data-dir", Some("/option".to_owned()));
        let shown = |path: &str| {
            let value = layers.get(path).expect(path);
            format!("{} from {}", value.text, value.origin)
        };
        assert_eq!(shown("data_dir"), "/option from --data-dir");
        assert_eq!(shown("api.listen"), "127.0.0.1:2 from STERNA_API_LISTEN");
        assert_eq!(shown("api.metrics_public"), "true from sterna.toml:4");
        assert_eq!(shown("log.filter"), "info from default");
        assert_eq!(layers.get("key_file"), None);
        let threads = read("data_threads = 3").expect("a good file");
        assert_eq!(
            threads.get("data_threads").map(|value| value.text.as_str()),
            Some("3")
        );
    }

    #[test]
    fn what_the_file_gets_wrong_is_told_with_its_line() {
        for (text, expected) in [
            (
                "[api]\nlistn = \"x\"\n",
                "sterna.toml:2: there is no field api.listn; did you mean api.listen?",
            ),
            (
                "\n\nlisten = \"x\"",
                "sterna.toml:3: there is no field listen; did you mean api.listen?",
            ),
            ("[sites]\na = 1", "sterna.toml:1: there is no field sites"),
            (
                "api = 3",
                "sterna.toml:1: api is a section, not a integer: write [api]",
            ),
            (
                "[discovery]\n\nenabled = \"yes\"",
                "sterna.toml:3: discovery.enabled is true or false, not a string",
            ),
            (
                "data_threads = \"many\"",
                "sterna.toml:1: data_threads is a whole number, not a string",
            ),
            (
                "data_dir = 7",
                "sterna.toml:1: data_dir is a text in quotes, not a integer",
            ),
        ] {
            let error = refusal(text);
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(refusal("data_dir = \"a\"\n[api\n").starts_with("sterna.toml:2: "));
        assert!(refusal("data_dir = \"a\"\ndata_dir = \"b\"").contains("sterna.toml:2: "));
    }

    #[test]
    fn misspelt_variables_are_noticed() {
        let names = ["STERNA_API", "STERNA_API_LISTEN", "STERNA_API_LISTN", "PATH"];
        let stray = stray_variables(names.into_iter().map(str::to_owned));
        assert_eq!(stray, ["STERNA_API_LISTN"]);
    }

    #[test]
    fn distances_count_letters() {
        assert_eq!(distance("listen", "listen"), 0);
        assert_eq!(distance("listn", "listen"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
