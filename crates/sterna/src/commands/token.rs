//! `sterna token`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use sterna_model::{MadeToken, Role, Token, TokenId, TokenRequest};

use super::client::{Answer, Client};
use super::render::{self, Change};
use super::{confirm, done, show};
use crate::cli::{Format, TokenArgs, TokenRole, TokenVerb};
use crate::exit::{Classify as _, CommandError, CommandResult, Failure};
use crate::output;

/// Runs the verb.
pub(super) fn run(args: &TokenArgs) -> CommandResult {
    let client = Client::new(&args.api)?;
    let format = args.api.output;
    match &args.verb {
        TokenVerb::Create {
            name,
            role,
            expires,
            to,
        } => {
            let role = match role {
                TokenRole::Viewer => Role::Viewer,
                TokenRole::Operator => Role::Operator,
                TokenRole::Admin => Role::Admin,
            };
            let request = TokenRequest {
                name: name.clone(),
                role,
                expires_in_seconds: *expires,
            };
            let file = to.as_deref().map(reserve).transpose()?;
            let answer = client.post("/tokens", &request)?;
            created(&answer, to.as_deref().zip(file), format)
        }
        TokenVerb::List => show(&client.get("/tokens")?, format, |all: &Vec<Token>, style| {
            render::tokens(all, style)
        }),
        TokenVerb::Revoke { id, confirm } => {
            let token = find(&client, *id)?;
            confirm::other_change(&Change::RevokeToken { token: &token }, *confirm)?;
            let answer = client.delete(&format!("/tokens/{id}"))?;
            if format == Format::Json {
                output::data(answer.text.trim_end());
            }
            done(
                format,
                &format!("token {id} ({}) opens nothing any more", token.name),
            );
            Ok(())
        }
    }
}

/// The file is there before the token is: a token that can't be written down would be lost.
fn reserve(path: &Path) -> Result<std::fs::File, CommandError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{} can't be written; no token was made", path.display()))
        .class(Failure::Local)
}

fn created(answer: &Answer, file: Option<(&Path, std::fs::File)>, format: Format) -> CommandResult {
    let MadeToken { token, secret } = answer.read()?;
    let said = format!(
        "token {} ({}, {}) is shown once and kept nowhere",
        token.id,
        token.name,
        render::role_word(token.role)
    );
    if let Some((path, mut file)) = file {
        writeln!(file, "{secret}")
            .and_then(|()| file.sync_all())
            .with_context(|| {
                format!(
                    "{} can't be written; revoke token {} and make another",
                    path.display(),
                    token.id
                )
            })
            .class(Failure::Local)?;
        match format {
            Format::Json => {
                let token = serde_json::to_string(&token).class(Failure::Other)?;
                output::data(&token);
            }
            Format::Table => output::message(&format!("{said}; it is in {}", path.display())),
        }
        return Ok(());
    }
    match format {
        Format::Json => output::data(answer.text.trim_end()),
        Format::Table => {
            output::message(&said);
            output::data(&secret)
        }
    };
    Ok(())
}

fn find(client: &Client, id: TokenId) -> Result<Token, CommandError> {
    let tokens: Vec<Token> = client.get("/tokens")?.read()?;
    let mut tokens = tokens.into_iter();
    tokens.find(|token| token.id == id).ok_or_else(|| {
        Failure::Refused.because(format!("there is no token {id}; `sterna token list` lists them"))
    })
}
