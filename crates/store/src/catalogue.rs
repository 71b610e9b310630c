//! The model's types on top of the backend: which keys there are, what is sealed, and what changes together.
//!
//! | keys | hold |
//! | --- | --- |
//! | `services/<name>`, `secrets/<name>` | services; their passwords, sealed |
//! | `groups/<name>`, `history/<name>/<epoch>/<nth>` | groups; their terms |
//! | `relay-secrets/<group>`, `node-before/<group>/<node>` | what nodes log in with, and were before; sealed |
//! | `operations/<id>`, `unfinished/<id>` | operations; those that are not over |
//! | `rescues/<id>` | rescue files |
//! | `tokens/<id>`, `token-hashes/<hash>`, `token-names/<hash>` | tokens; which one has a text, or a name |
//! | `audit/<id>` | the audit |
//! | `idempotency/<hash>`, `idempotency-order/<n>` | answers to be replayed, sealed; the order of their age |
//! | `counters/<kind>` | the last number that was given |
//! | `gateway`, `seal` | this gateway's id; a sealed value that tells whether the key file is the right one |
//!
//! Numbers in keys have 20 digits, so that the order of the keys is theirs. Values are JSON.

mod audit;
mod groups;
mod history;
mod idempotency;
mod nodes;
mod operations;
mod records;
mod rescues;
mod services;
mod tokens;
mod values;

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::backend::{Commit, Room, Store};
use crate::error::StoreError;
use crate::seal::Sealer;
use crate::sqlite::{Database, SqliteStore};
pub use audit::{AUDIT_RECORDS_MAX, Audit};
pub use groups::Groups;
pub use history::History;
pub use idempotency::{IDEMPOTENCY_KEYS_MAX, Idempotency, IdempotencyKeys};
pub use nodes::{Nodes, RelaySecrets};
pub use operations::{OPERATIONS_MAX, Operations};
use records::Records;
pub use rescues::Rescues;
pub use services::Services;
pub use tokens::Tokens;

/// The database's name in the data directory.
const DATABASE_FILE: &str = "store.db";

/// Tells whether the key file is the one that everything was sealed with.
const SEAL_KEY: &str = "seal";
const SEAL_TEXT: &[u8] = b"sterna";

/// Typed access to the store, by subject. Cheap to clone, as each of its parts is.
#[derive(Debug, Clone)]
pub struct Catalogue {
    pub services: Services,
    pub groups: Groups,
    /// The terms of groups.
    pub history: History,
    /// What is kept for the nodes of groups.
    pub nodes: Nodes,
    pub operations: Operations,
    pub rescues: Rescues,
    pub tokens: Tokens,
    pub audit: Audit,
    pub idempotency: IdempotencyKeys,
    records: Records,
}

impl Catalogue {
    /// Opens the embedded store in `data_dir`, and makes what is missing: the directory, the database, the key file.
    /// Blocks. [`StoreError::Unusable`] where another process has it open, where it or the key file is damaged, where
    /// the key file is not the one that the store was sealed with, or where others may read it.
    pub fn open(data_dir: &Path, key_file: &Path) -> Result<Self, StoreError> {
        create_dir(data_dir).map_err(|error| StoreError::Unusable {
            reason: format!("the data directory {} can't be made: {error}", data_dir.display()),
        })?;
        let mut database = Database::open(&data_dir.join(DATABASE_FILE))?;
        let sealer = open_sealer(&mut database, key_file)?;
        Ok(Self::new(Arc::new(SqliteStore::start(database)?), sealer))
    }

    /// Whether the embedded store was made in `data_dir`.
    pub fn is_in(data_dir: &Path) -> bool {
        data_dir.join(DATABASE_FILE).exists()
    }

    /// A catalogue on any store.
    pub fn new(store: Arc<dyn Store>, sealer: Sealer) -> Self {
        let records = Records::new(store, sealer);
        let part = || records.clone();
        Self {
            services: Services { records: part() },
            groups: Groups { records: part() },
            history: History { records: part() },
            nodes: Nodes { records: part() },
            operations: Operations { records: part() },
            rescues: Rescues { records: part() },
            tokens: Tokens { records: part() },
            audit: Audit { records: part() },
            idempotency: IdempotencyKeys { records: part() },
            records,
        }
    }

    /// What the store has room for now.
    pub async fn room(&self) -> Result<Room, StoreError> {
        self.records.room().await
    }

    /// The gateway's own id, 40 hex digits: made once, and the same for the life of the store.
    pub async fn gateway_id(&self) -> Result<String, StoreError> {
        let made = values::random_hex::<20>()?;
        let entry = self.records.made_once("gateway", made.into_bytes()).await?;
        values::text(&entry.key, entry.value)
    }
}

/// Makes a directory that only its owner can look into, and those above it; on disk when this returns.
fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    create_dir(parent)?;
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(parent)?.sync_all(),
    }
}

/// Opens the key file that belongs to the database; makes one only for a database that has nothing sealed.
fn open_sealer(database: &mut Database, key_file: &Path) -> Result<Sealer, StoreError> {
    let Some(seal) = database.get(SEAL_KEY)? else {
        let sealer = Sealer::open_or_create(key_file)?;
        let mut commit = Commit::default();
        commit.create(SEAL_KEY, sealer.seal(SEAL_KEY, SEAL_TEXT)?);
        database.commit(&commit)?;
        return Ok(sealer);
    };
    // Where that can't be told, opening it says why.
    if matches!(key_file.try_exists(), Ok(false)) {
        return Err(StoreError::Unusable {
            reason: format!(
                "the key file {} is missing, without which the passwords in the store can't be read. Put it back; \
                 no new one is made, for it would not open them",
                key_file.display()
            ),
        });
    }
    let sealer = Sealer::load(key_file)?;
    match sealer.open(SEAL_KEY, &seal.value) {
        Ok(_) => Ok(sealer),
        Err(StoreError::Unsealable { .. }) => Err(StoreError::Unusable {
            reason: format!(
                "{} is not the key file that the passwords in the store were sealed with. Put the right one back",
                key_file.display()
            ),
        }),
        Err(error) => Err(error),
    }
}
