//! A node's configuration file, with the files that it includes, line by line in the order in which the server takes them.

use std::path::{Path, PathBuf};

use crate::files;

/// Files within files deeper than this are no configuration that a server starts with.
const DEPTH_MAX: usize = 16;

/// A file larger than this is no configuration.
const FILE_BYTES_MAX: usize = 4 << 20;

/// One setting as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Of which file, by its place in [`ConfigFiles::names`].
    pub(super) file: usize,
    /// The setting's name, in lower case.
    pub(super) name: String,
    pub(super) args: Vec<String>,
}

impl Line {
    /// Whether it stands in an included file.
    pub(super) fn is_included(&self) -> bool {
        self.file != 0
    }
}

/// All files, as one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ConfigFiles {
    /// The main file comes first.
    pub(super) names: Vec<String>,
    pub(super) lines: Vec<Line>,
}

/// Reads the file `main` of the process with this directory in `/proc`. The error says which file can't be read and why.
pub(super) fn read(process: &Path, main: &str) -> Result<ConfigFiles, String> {
    let mut files = ConfigFiles::default();
    let place = Place {
        root: process.join("root"),
        relative: vec![
            process.join("cwd"),
            within(&process.join("root"), Path::new(main), &[])?,
        ],
    };
    let at = within(&place.root, Path::new(main), &[])?;
    add(&mut files, &place, &at, main, 0)?;
    Ok(files)
}

/// Where a process finds its files.
struct Place {
    root: PathBuf,
    /// Where a relative path may begin: the directory that the process is in, and that of its main file. At its start it may have
    /// been in either.
    relative: Vec<PathBuf>,
}

fn within(root: &Path, path: &Path, relative: &[PathBuf]) -> Result<PathBuf, String> {
    if let Ok(path) = path.strip_prefix("/") {
        return Ok(root.join(path));
    }
    let mut found = relative
        .iter()
        .map(|base| {
            if base.is_file() {
                base.with_file_name("")
            } else {
                base.clone()
            }
        })
        .map(|base| base.join(path));
    let error = || format!("{} is given by a relative path", path.display());
    found.find(|path| path.is_file()).ok_or_else(error)
}

fn add(files: &mut ConfigFiles, place: &Place, at: &Path, name: &str, depth: usize) -> Result<(), String> {
    let failed = |reason: &str| format!("{name} can't be read: {reason}");
    if depth > DEPTH_MAX {
        return Err(failed("too many files within files"));
    }
    let text = files::read_small(at, FILE_BYTES_MAX).map_err(|error| failed(&error.to_string()))?;
    let file = files.names.len();
    files.names.push(name.to_owned());
    for line in String::from_utf8_lossy(&text).lines() {
        let mut words = words(line).into_iter();
        let Some(setting) = words.next().filter(|word| !word.starts_with('#')) else {
            continue;
        };
        let line = Line {
            file,
            name: setting.to_ascii_lowercase(),
            args: words.collect(),
        };
        if line.name == "include" {
            for pattern in &line.args {
                for (at, name) in matching(place, pattern)? {
                    add(files, place, &at, &name, depth + 1)?;
                }
            }
        } else {
            files.lines.push(line);
        }
    }
    Ok(())
}

/// The files that an `include` means, in the order of their names: since Redis 7.0 it may be a pattern.
fn matching(place: &Place, pattern: &str) -> Result<Vec<(PathBuf, String)>, String> {
    let path = Path::new(pattern);
    if !pattern.contains(['*', '?', '[']) {
        return Ok(vec![(
            within(&place.root, path, &place.relative)?,
            pattern.to_owned(),
        )]);
    }
    let unknown = || format!("include {pattern} is a pattern that is not understood here");
    let (folder, last) = path.parent().zip(path.file_name()).ok_or_else(unknown)?;
    let last = last.to_string_lossy();
    let plain = !folder.to_string_lossy().contains(['*', '?', '[']) && !last.contains('[');
    if !plain || !path.is_absolute() {
        return Err(unknown());
    }
    let at = within(&place.root, folder, &[])?;
    let Ok(entries) = std::fs::read_dir(&at) else {
        return if at.is_dir() {
            Err(format!("{} can't be read", folder.display()))
        } else {
            Ok(Vec::new())
        };
    };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    let hidden = |name: &str| name.starts_with('.') && !last.starts_with('.');
    let mut names: Vec<String> = names
        .filter(|name| !hidden(name) && fits(last.as_bytes(), name.as_bytes()))
        .collect();
    names.sort();
    let full = |name: String| (at.join(&name), folder.join(&name).display().to_string());
    Ok(names.into_iter().map(full).collect())
}

fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|skipped| fits(rest, &name[skipped..])),
        ([b'?', rest @ ..], [_, name @ ..]) => fits(rest, name),
        ([one, rest @ ..], [other, name @ ..]) => one == other && fits(rest, name),
        _ => false,
    }
}

/// The words of a line, in single or double quotes where they hold spaces, as the server splits them.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = line.trim().chars().peekable();
    while let Some(first) = chars.peek().copied() {
        if first.is_whitespace() {
            chars.next();
            continue;
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(next) = chars.next() {
            match (quote, next) {
                (None, next) if next.is_whitespace() => break,
                (None, '"' | '\'') => quote = Some(next),
                (Some(open), next) if next == open => quote = None,
                (Some('"'), '\\') => word.extend(chars.next().map(|escaped| match escaped {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    other => other,
                })),
                (_, next) => word.push(next),
            }
        }
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_the_server_does() {
        assert_eq!(
            words("  user app on  >\"a b\" '~*'"),
            ["user", "app", "on", ">a b", "~*"]
        );
        assert_eq!(words("save \"\""), ["save", ""]);
        assert!(words("   ").is_empty());
    }

    #[test]
    fn included_files_stand_where_they_are_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
        let path = |name: &str| dir.path().join(name).display().to_string();
        write(
            "main.conf",
            &format!("# a note\nport 1\ninclude {}\nport 3\n", path("more*.conf")),
        );
        write("more-b.conf", &format!("INCLUDE {}\n", path("deep.conf")));
        write("more-a.conf", "save \"\"\n");
        write("deep.conf", "port 2\n");
        let process = PathBuf::from(format!("/proc/{}", std::process::id()));
        let files = read(&process, &path("main.conf")).expect("read");
        let lines: Vec<_> = files
            .lines
            .iter()
            .map(|line| (line.file, line.name.as_str(), line.args[0].as_str()))
            .collect();
        assert_eq!(
            lines,
            [
                (0, "port", "1"),
                (1, "save", ""),
                (3, "port", "2"),
                (0, "port", "3")
            ]
        );
        assert_eq!(files.names[3], path("deep.conf"));
        write("main.conf", "include /no/such/file\n");
        let error = read(&process, &path("main.conf")).expect_err("missing");
        assert!(error.starts_with("/no/such/file can't be read"), "{error}");
    }
}
