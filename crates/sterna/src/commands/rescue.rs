//! `sterna rescue`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sterna_model::{Rescue, RescueId};

use super::client::Client;
use super::render::{self, Change};
use super::{confirm, done, show};
use crate::cli::{Format, RescueArgs, RescueVerb};
use crate::exit::{Classify as _, CommandResult, Failure};
use crate::output;

/// Runs the verb.
pub(super) fn run(args: &RescueArgs) -> CommandResult {
    let client = Client::new(&args.api)?;
    let format = args.api.output;
    match &args.verb {
        RescueVerb::List { group } => {
            let path = match group {
                Some(group) => format!("/rescues?group={group}"),
                None => "/rescues".to_owned(),
            };
            show(&client.get(&path)?, format, |all: &Vec<Rescue>, style| {
                render::rescues(all, style)
            })
        }
        RescueVerb::Show { id } => show(&client.get(&format!("/rescues/{id}"))?, format, render::rescue),
        RescueVerb::Export { id, to } => export(&client, *id, to.as_deref(), format),
        RescueVerb::Delete { id, confirm } => {
            let rescue: Rescue = client.get(&format!("/rescues/{id}"))?.read()?;
            confirm::other_change(&Change::DeleteRescue { rescue: &rescue }, *confirm)?;
            client.delete(&format!("/rescues/{id}"))?;
            done(format, &format!("rescue file {id} is deleted"));
            Ok(())
        }
    }
}

fn export(client: &Client, id: RescueId, to: Option<&Path>, format: Format) -> CommandResult {
    let answer = client.get(&format!("/rescues/{id}"))?;
    let rescue: Rescue = answer.read()?;
    let mut body = client.stream(&format!("/rescues/{id}/file"))?;
    if to == Some(Path::new("-")) {
        let copied = io::copy(&mut body, &mut io::stdout().lock())
            .context("the rescue file can't be passed on")
            .class(Failure::Local)?;
        return whole(&rescue, copied);
    }
    let path = match to {
        Some(path) => path.to_owned(),
        // A name from the network is a name and no path.
        None => PathBuf::from(
            Path::new(&rescue.file)
                .file_name()
                .map_or_else(|| format!("rescue-{id}").into(), std::ffi::OsStr::to_owned),
        ),
    };
    save(&rescue, &mut body, &path)?;
    match format {
        Format::Json => output::data(answer.text.trim_end()),
        Format::Table => output::data(&format!("{} ({})", path.display(), output::bytes(rescue.bytes))),
    };
    Ok(())
}

/// Under its name only when it is whole; never over a file that is there.
fn save(rescue: &Rescue, body: &mut impl Read, path: &Path) -> CommandResult {
    if path.exists() {
        return Err(Failure::Local.because(format!(
            "{} is there already; nothing was written\nhint: name another file with --to",
            path.display()
        )));
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut write = || -> io::Result<(u64, File)> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)?;
        let copied = io::copy(body, &mut file)?;
        file.flush()?;
        file.sync_all()?;
        Ok((copied, file))
    };
    let (copied, _file) = write()
        .with_context(|| format!("{} can't be written", part.display()))
        .class(Failure::Local)?;
    whole(rescue, copied)?;
    fs::rename(&part, path)
        .with_context(|| format!("{} can't be renamed to {}", part.display(), path.display()))
        .class(Failure::Local)
}

fn whole(rescue: &Rescue, copied: u64) -> CommandResult {
    if copied == rescue.bytes {
        return Ok(());
    }
    Err(Failure::Server.because(format!(
        "the rescue file broke off: {copied} of {} bytes came; the file at the gateway is not touched",
        rescue.bytes
    )))
}

#[cfg(test)]
mod tests {
    use super::super::render::sample_rescue;
    use super::*;

    #[test]
    fn an_export_is_whole_or_not_there() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("rescue");
        let mut rescue = sample_rescue();
        rescue.bytes = 5;
        let error = save(&rescue, &mut &b"hell"[..], &path).expect_err("it broke off");
        assert_eq!(error.failure, Failure::Server);
        assert!(!path.exists());
        save(&rescue, &mut &b"hello"[..], &path).expect("it is whole");
        assert_eq!(fs::read(&path).expect("readable"), b"hello");
        let error = save(&rescue, &mut &b"other"[..], &path).expect_err("it is there");
        assert_eq!(error.failure, Failure::Local);
        assert_eq!(fs::read(&path).expect("readable"), b"hello");
    }
}
