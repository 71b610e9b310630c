//! The first admin token: made once, printed once, and written where the command line on this machine finds it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;
use sterna_model::{AuditRecord, Requester, Role};
use sterna_node::files::create_private;
use sterna_store::{Catalogue, StoreError};

use crate::exit::{Classify as _, CommandError, Failure};
use crate::output;

/// Its name, if no token has that yet.
const NAME: &str = "admin";

/// Makes the token where there is none at all, or where somebody who lost theirs asks for one.
pub(super) async fn ensure(catalogue: &Catalogue, file: &Path, anew: bool) -> Result<(), CommandError> {
    let first = !catalogue.tokens.any().await.class(Failure::Local)?;
    if !first && !anew {
        return Ok(());
    }
    let now = Timestamp::now();
    let made = match catalogue.tokens.create(NAME, Role::Admin, None, now).await {
        Err(StoreError::Exists { .. }) => {
            let name = format!("{NAME}-{}", now.as_second());
            catalogue.tokens.create(&name, Role::Admin, None, now).await
        }
        made => made,
    };
    let (token, text) = made.class(Failure::Local)?;
    let record = AuditRecord {
        id: 0,
        at: now,
        actor: Requester::GATEWAY.to_owned(),
        remote: None,
        action: "token.create".to_owned(),
        target: token.name.clone(),
        outcome: "ok".to_owned(),
        detail: Some("by `sterna serve`, as admin".to_owned()),
    };
    catalogue.audit.append(record).await.class(Failure::Local)?;
    write(file, &text)
        .with_context(|| {
            format!(
                "{} can't be written, so the admin token is lost; `sterna serve --new-admin-token` makes another",
                file.display()
            )
        })
        .class(Failure::Local)?;
    output::data(&announcement(&text, file));
    Ok(())
}

fn announcement(token: &str, file: &Path) -> String {
    let shown = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    format!(
        "admin token (shown this once):\n\n    {token}\n\n\
         It is in {0} as well. The sterna command finds it there if it has the\n\
         same configuration; otherwise say --token-file {0}\n\
         On other machines: export STERNA_API=URL STERNA_TOKEN=TOKEN\n\
         Make tokens for people and programs with `sterna token create`; then revoke this one and remove the file.\n",
        shown.display()
    )
}

/// A crash leaves the old file or the new one.
fn write(file: &Path, token: &str) -> io::Result<()> {
    let temporary = file.with_extension("tmp");
    let mut out = create_private(&temporary)?;
    writeln!(out, "{token}")?;
    out.sync_all()?;
    fs::rename(&temporary, file)?;
    match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn open(dir: &Path) -> Catalogue {
        Catalogue::open(dir, &dir.join("key")).expect("a catalogue")
    }

    #[tokio::test]
    async fn it_is_made_once_and_again_when_asked_for() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("admin-token");
        let catalogue = open(dir.path());
        ensure(&catalogue, &file, false).await.expect("made");
        let first = fs::read_to_string(&file).expect("written");
        let mode = fs::metadata(&file).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let token = catalogue.tokens.find(first.trim()).await.expect("readable");
        assert_eq!(token.expect("valid").role, Role::Admin);

        fs::remove_file(&file).expect("removed");
        ensure(&catalogue, &file, false).await.expect("nothing to do");
        assert!(!file.exists(), "there are tokens already");

        ensure(&catalogue, &file, true).await.expect("made");
        let second = fs::read_to_string(&file).expect("written");
        assert_ne!(first, second);
        assert!(
            catalogue
                .tokens
                .find(second.trim())
                .await
                .expect("readable")
                .is_some()
        );
        assert_eq!(catalogue.tokens.all().await.expect("readable").len(), 2);
    }
}
