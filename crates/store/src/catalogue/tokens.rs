//! API tokens. Only their SHA-256 is kept: a token has 256 random bits of its own, so that a slow hash would add nothing.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sterna_model::{Revision, Role, Token, TokenId};

use super::records::{ATTEMPTS_MAX, Records, contended};
use super::values;
use crate::backend::Commit;
use crate::error::StoreError;

const PREFIX: &str = "tokens/";

/// Tokens are found by the first digits of their hash; the rest is compared in constant time.
const HASHES: &str = "token-hashes/";
const HASH_DIGITS_IN_KEY: usize = 16;

/// Which token has a name, or had it last.
const NAMES: &str = "token-names/";

/// What a token's text begins with, so that people and scanners see what it is.
const TEXT_PREFIX: &str = "sterna_";
const TEXT_RANDOM_BYTES: usize = 32;
const TEXT_BYTES: usize = TEXT_PREFIX.len() + 43;

/// Where a hash leads.
#[derive(Serialize, Deserialize)]
struct Hashed {
    id: TokenId,
    hash: String,
}

/// API tokens, those that ended too.
#[derive(Debug, Clone)]
pub struct Tokens {
    pub(super) records: Records,
}

impl Tokens {
    /// Makes a token, and returns it with its text, which is kept nowhere. [`StoreError::Exists`] where a valid token
    /// has this name: the audit names those who act by it.
    pub async fn create(
        &self,
        name: &str,
        role: Role,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(Token, String), StoreError> {
        let text = format!(
            "{TEXT_PREFIX}{}",
            BASE64URL_NOPAD.encode(&values::random::<TEXT_RANDOM_BYTES>()?)
        );
        let hash = values::sha256_hex(&text);
        let mut token = Token {
            id: TokenId(0),
            name: name.to_owned(),
            role,
            created_at: now,
            expires_at,
            revoked_at: None,
        };
        let (name_key, hash_key) = (name_key(name), hash_key(&hash));
        for _ in 0..ATTEMPTS_MAX {
            let name_seen = self.free_name(name, now).await?;
            let made = self
                .records
                .numbered("tokens", |number| {
                    token.id = TokenId(number);
                    let key = key(token.id);
                    let hashed = Hashed {
                        id: token.id,
                        hash: hash.clone(),
                    };
                    let mut commit = Commit::default();
                    commit.create(&key, values::json(&key, &token)?);
                    commit.create(&hash_key, values::json(&hash_key, &hashed)?);
                    commit.replace(&name_key, name_seen, values::json(&name_key, &token.id)?);
                    Ok(commit)
                })
                .await;
            match made {
                Ok(_) => return Ok((token, text)),
                // Somebody else took the name, or gave it up.
                Err(StoreError::Conflict { key, .. }) if key == name_key => {}
                Err(error) => return Err(error),
            }
        }
        Err(contended(&name_key))
    }

    /// The token whose text this is, valid or not: see [`Token::is_valid`].
    pub async fn find(&self, text: &str) -> Result<Option<Token>, StoreError> {
        if text.len() != TEXT_BYTES || !text.starts_with(TEXT_PREFIX) {
            return Ok(None);
        }
        let hash = values::sha256_hex(text);
        let Some(entry) = self.records.get(&hash_key(&hash)).await? else {
            return Ok(None);
        };
        let hashed: Hashed = values::parse(&entry)?;
        if verify_slices_are_equal(hashed.hash.as_bytes(), hash.as_bytes()).is_err() {
            return Ok(None);
        }
        let found = self.records.get(&key(hashed.id)).await?;
        found.as_ref().map(values::parse).transpose()
    }

    /// All tokens that ever were, oldest first.
    pub async fn all(&self) -> Result<Vec<Token>, StoreError> {
        self.records
            .all(PREFIX)
            .await?
            .iter()
            .map(values::parse)
            .collect()
    }

    /// Ends a token; one that was revoked already stays as it is. [`StoreError::NotFound`].
    pub async fn revoke(&self, id: TokenId, now: Timestamp) -> Result<Token, StoreError> {
        let key = key(id);
        for _ in 0..ATTEMPTS_MAX {
            let entry = self
                .records
                .get(&key)
                .await?
                .ok_or_else(|| StoreError::NotFound {
                    what: "token",
                    name: id.to_string(),
                })?;
            let mut token: Token = values::parse(&entry)?;
            if token.revoked_at.is_some() {
                return Ok(token);
            }
            token.revoked_at = Some(now);
            let mut commit = Commit::default();
            commit.replace(&key, entry.revision, values::json(&key, &token)?);
            match self.records.commit(commit).await {
                Ok(_) => return Ok(token),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(contended(&key))
    }

    /// Whether there ever was a token, valid or not.
    pub async fn any(&self) -> Result<bool, StoreError> {
        Ok(!self.records.oldest(PREFIX, 1).await?.is_empty())
    }

    /// The revision of a name that no valid token has.
    async fn free_name(&self, name: &str, now: Timestamp) -> Result<Revision, StoreError> {
        let Some(entry) = self.records.get(&name_key(name)).await? else {
            return Ok(Revision(0));
        };
        let holder = self.records.get(&key(values::parse(&entry)?)).await?;
        let holder: Option<Token> = holder.as_ref().map(values::parse).transpose()?;
        if holder.is_some_and(|holder| holder.is_valid(now)) {
            return Err(StoreError::Exists {
                what: "token",
                name: name.to_owned(),
            });
        }
        Ok(entry.revision)
    }
}

fn key(id: TokenId) -> String {
    values::numbered_key(PREFIX, id.0)
}

fn hash_key(hash: &str) -> String {
    format!("{HASHES}{}", &hash[..HASH_DIGITS_IN_KEY])
}

/// A name may be any text, so that its hash stands for it.
fn name_key(name: &str) -> String {
    format!("{NAMES}{}", values::sha256_hex(name))
}
