//! A log whose files can't be used is kept aside, for a person, and another begins in its place.

use std::fs;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::write_all_at;
use crate::{Log, LogError, LogFs, LogSettings, Opened, RealFs};

/// The name of a log's directory, with this and a number after it, is where it is kept.
const SUFFIX: &str = ".damaged-";
/// In there: why, in words.
const WHY: &str = "why.txt";
/// The first that was kept and the last: what lies in between is of less use, and each may be as large as a log.
const KEPT_MAX: usize = 2;
/// Nobody reads more of a reason, in bytes.
const WHY_MAX: usize = 4096;

/// The files of a log that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAside {
    /// Where they are.
    pub dir: PathBuf,
    /// What was wrong with them, in words.
    pub why: String,
}

impl Log {
    /// Opens a log as [`Log::open`] does. Where its files can't be used they are kept aside, and an empty one is opened.
    ///
    /// Two are kept at the most: of several that were damaged one after another, the first and the last.
    ///
    /// # Errors
    ///
    /// As of [`Log::open`], where another log would not open either: it is locked, the disk is full, the system has no more
    /// descriptors; or where the files can't be kept aside.
    pub fn open_or_keep_aside(
        fs: Arc<dyn LogFs>,
        dir: &Path,
        settings: LogSettings,
    ) -> Result<Opened, LogError> {
        match Self::open(Arc::clone(&fs), dir, settings.clone()) {
            Err(error) if error.is_of_the_files() => {
                let why = finding(dir, &error);
                let aside = keep(dir, &why)?;
                let mut opened = Self::open(fs, dir, settings)?;
                opened.recovered.kept_aside = Some(KeptAside { dir: aside, why });
                Ok(opened)
            }
            opened => opened,
        }
    }

    /// What was kept aside of a log, the oldest first. Nothing where that can't be told.
    pub fn kept_aside(dir: &Path) -> Vec<KeptAside> {
        let kept = numbers(dir).unwrap_or_default();
        let read = |number| {
            let dir = named(dir, number);
            let why =
                first_bytes(&dir.join(WHY)).unwrap_or_else(|_| "it is not known any more why".to_owned());
            KeptAside { dir, why }
        };
        kept.into_iter().map(read).collect()
    }
}

/// Gives where.
fn keep(dir: &Path, why: &str) -> Result<PathBuf, LogError> {
    let failed = |error| LogError::io("keep aside", dir, error);
    let kept = numbers(dir).map_err(failed)?;
    let aside = named(dir, kept.last().map_or(1, |last| last + 1));
    fs::rename(dir, &aside).map_err(failed)?;
    for number in kept.iter().skip(KEPT_MAX - 1) {
        let old = named(dir, *number);
        if let Err(error) = fs::remove_dir_all(&old) {
            tracing::warn!(dir = %old.display(), %error, "a log that was kept aside before can't be removed");
        }
    }
    let parent = dir.parent().unwrap_or(Path::new("."));
    fs::File::open(parent)
        .and_then(|parent| parent.sync_all())
        .map_err(failed)?;
    // Their directory may be what is damaged.
    if let Err(error) = write_anew(&aside.join(WHY), why) {
        tracing::warn!(dir = %aside.display(), %error, "why a log was kept aside can't be written down");
    }
    Ok(aside)
}

fn named(dir: &Path, number: u32) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(format!("{SUFFIX}{number}"));
    dir.with_file_name(name)
}

/// The numbers of what was kept, in order.
fn numbers(dir: &Path) -> io::Result<Vec<u32>> {
    let parent = dir.parent().unwrap_or(Path::new("."));
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let mut numbers = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?.file_name();
        let entry = entry.to_string_lossy();
        let number = entry
            .strip_prefix(&*name)
            .and_then(|rest| rest.strip_prefix(SUFFIX))
            .and_then(|number| number.parse::<u32>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What was found, with names of files as they are within the log.
fn finding(dir: &Path, error: &LogError) -> String {
    match error {
        LogError::Damaged { path, offset, what } => {
            let path = path.strip_prefix(dir).unwrap_or(path);
            format!("{what} ({}, from offset {offset} on)", path.display())
        }
        LogError::UnknownFormat { path, found, .. } => {
            let path = path.strip_prefix(dir).unwrap_or(path);
            let path = path.display();
            format!("{path} has format {found}, which this version of Sterna does not read")
        }
        error => error.to_string(),
    }
}

fn write_anew(path: &Path, text: &str) -> io::Result<()> {
    let file = RealFs.create_new(path)?;
    write_all_at(&*file, &mut [IoSlice::new(text.as_bytes())], 0)?;
    file.sync_data()
}

fn first_bytes(path: &Path) -> io::Result<String> {
    let bytes = RealFs.open_read(path)?.read_at(WHY_MAX, 0)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
