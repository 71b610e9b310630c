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
mod rescues;
mod services;
mod tokens;
mod values;

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use sterna_model::Revision;
use tokio::sync::Mutex;

use crate::backend::{Commit, Entry, Store, Write};
use crate::error::StoreError;
use crate::seal::Sealer;
use crate::sqlite::{Database, SqliteStore};
pub use audit::AUDIT_RECORDS_MAX;
pub use idempotency::{IDEMPOTENCY_KEYS_MAX, Idempotency};
pub use nodes::RelaySecrets;
pub use operations::OPERATIONS_MAX;

/// The database's name in the data directory.
const DATABASE_FILE: &str = "store.db";

/// Tells whether the key file is the one that everything was sealed with.
const SEAL_KEY: &str = "seal";
const SEAL_TEXT: &[u8] = b"sterna";

/// How often a change that needs nobody's consent is tried anew when somebody else was faster.
const ATTEMPTS_MAX: usize = 32;

/// Entries that are read at a time.
const PAGE: usize = 500;

/// Typed access to the store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalogue {
    store: Arc<dyn Store>,
    sealer: Arc<Sealer>,
    /// Held while a number is given, so that only other gateways can be faster.
    numbering: Arc<Mutex<()>>,
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

    /// A catalogue on any store.
    pub fn new(store: Arc<dyn Store>, sealer: Sealer) -> Self {
        Self {
            store,
            sealer: Arc::new(sealer),
            numbering: Arc::default(),
        }
    }

    /// The gateway's own id, 40 hex digits: made once, and the same for the life of the store.
    pub async fn gateway_id(&self) -> Result<String, StoreError> {
        let made = values::random_hex::<20>()?;
        let entry = self.made_once("gateway", made.into_bytes()).await?;
        values::text(&entry.key, entry.value)
    }

    /// What is at `key`, which is `value` where nothing was.
    async fn made_once(&self, key: &str, value: Vec<u8>) -> Result<Entry, StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            if let Some(entry) = self.store.get(key).await? {
                return Ok(entry);
            }
            let mut commit = Commit::default();
            commit.create(key, value.clone());
            match self.store.commit(commit).await {
                Ok(_) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(contended(key))
    }

    /// Everything whose key begins with `prefix`, in the order of the keys.
    async fn all(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let after = entries.last().map(|entry| entry.key.clone());
            let page = self.store.list(prefix, after.as_deref(), false, PAGE).await?;
            let full = page.len() == PAGE;
            entries.extend(page);
            if !full {
                return Ok(entries);
            }
        }
    }

    /// Commits what `make` makes of the next number of a kind. No number is given twice; what `make` makes is only
    /// committed if nobody else was given one meanwhile.
    async fn numbered(
        &self,
        kind: &str,
        mut make: impl FnMut(u64) -> Result<Commit, StoreError> + Send,
    ) -> Result<(u64, Revision), StoreError> {
        let counter = format!("counters/{kind}");
        let _alone = self.numbering.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            let entry = self.store.get(&counter).await?;
            let (last, revision) = match &entry {
                None => (0, Revision(0)),
                Some(entry) => (values::parse::<u64>(entry)?, entry.revision),
            };
            let number = last.checked_add(1).ok_or_else(|| StoreError::Damaged {
                key: counter.clone(),
                reason: "there is no number after it".to_owned(),
            })?;
            let mut commit = make(number)?;
            commit.conditions.insert(0, (counter.clone(), revision));
            commit.put(&counter, values::json(&counter, &number)?);
            match self.store.commit(commit).await {
                Ok(revision) => return Ok((number, revision)),
                Err(StoreError::Conflict { key, .. }) if key == counter => {}
                Err(error) => return Err(error),
            }
        }
        Err(contended(&counter))
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

/// Somebody else was faster every time.
fn contended(key: &str) -> StoreError {
    StoreError::Unusable {
        reason: format!("{key} was changed by others {ATTEMPTS_MAX} times in a row. Try again"),
    }
}

impl Commit {
    /// Requires that `key` has this revision; 0 means that it must not be there.
    fn require(&mut self, key: &str, revision: Revision) {
        self.conditions.push((key.to_owned(), revision));
    }

    /// Sets `key`.
    fn put(&mut self, key: &str, value: Vec<u8>) {
        let key = key.to_owned();
        self.writes.push(Write::Put { key, value });
    }

    /// Removes `key`.
    fn delete(&mut self, key: &str) {
        self.writes.push(Write::Delete { key: key.to_owned() });
    }

    /// Sets `key`, which must not be there.
    fn create(&mut self, key: &str, value: Vec<u8>) {
        self.require(key, Revision(0));
        self.put(key, value);
    }

    /// Sets `key`, which must have this revision.
    fn replace(&mut self, key: &str, revision: Revision, value: Vec<u8>) {
        self.require(key, revision);
        self.put(key, value);
    }
}
