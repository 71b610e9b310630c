//! Opening the database's files: locked, private, ours, whole, and of a version that is known.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rustix::fs::OFlags;

use super::reserve::WAL_PAGES;
use super::schema;
use crate::error::StoreError;

/// How long SQLite waits for a person who looks into the file with a tool of their own.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest process id in a lock, in bytes.
const HOLDER_BYTES_MAX: u64 = 20;

/// Says that the database is ours, until it is dropped.
pub(super) struct Lock(File);

impl Drop for Lock {
    /// To close the file is not enough: a child process that is just being started has it too until it executes its
    /// program, and the lock with it.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the store's lock is not released");
        }
    }
}

/// Opens the database at `path`, which nobody else may have open; where there is none, makes one.
/// The lock is to be kept as long as the connection.
pub(super) fn open(path: &Path) -> Result<(Connection, Lock), StoreError> {
    let lock = lock(path)?;
    if !exists(path)? {
        create(path)?;
    }
    let connection = open_existing(path)?;
    sync_dir(path).map_err(|error| on_disk(path, &error))?;
    Ok((connection, lock))
}

fn lock(path: &Path) -> Result<Lock, StoreError> {
    let lock_path = beside(path, ".lock");
    let wrong = |error| on_disk(&lock_path, &error);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&lock_path)
        .map_err(wrong)?;
    let mut holder = Vec::new();
    (&file)
        .take(HOLDER_BYTES_MAX + 1)
        .read_to_end(&mut holder)
        .map_err(wrong)?;
    // What was never a lock is not written to.
    if holder.len() as u64 > HOLDER_BYTES_MAX || !holder.iter().all(u8::is_ascii_digit) {
        return Err(StoreError::Unusable {
            reason: format!(
                "{} holds something else than the id of a process: somebody else put it there. It was left as it is; move it away",
                lock_path.display()
            ),
        });
    }
    match file.try_lock() {
        Ok(()) => {
            // The id is a courtesy to people; the lock works without it.
            let id = std::process::id().to_string();
            let _ = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| file.write_all(id.as_bytes()));
            Ok(Lock(file))
        }
        Err(TryLockError::WouldBlock) => {
            let who = match String::from_utf8_lossy(&holder).parse::<u32>() {
                Ok(id) => format!("process {id}"),
                Err(_) => "another process".to_owned(),
            };
            Err(StoreError::Unusable {
                reason: format!(
                    "{who} has {} open. Stop that gateway first, or give this one another data directory",
                    path.display()
                ),
            })
        }
        Err(TryLockError::Error(error)) => Err(wrong(error)),
    }
}

/// Whether the database is there. What is left of one without it is not the start of a new one.
fn exists(path: &Path) -> Result<bool, StoreError> {
    let there = |path: &Path| path.try_exists().map_err(|error| on_disk(path, &error));
    if there(path)? {
        return Ok(true);
    }
    let wal = beside(path, "-wal");
    if there(&wal)? {
        return Err(StoreError::Unusable {
            reason: format!(
                "{} is gone, but {} is still there. Put the database back beside it; to begin anew, move both away",
                path.display(),
                wal.display()
            ),
        });
    }
    Ok(false)
}

/// Makes a database under another name first: one that is empty under its own name was damaged, not new.
fn create(path: &Path) -> Result<(), StoreError> {
    let new = beside(path, ".new");
    for left in [&new, &beside(&new, "-journal")] {
        match fs::remove_file(left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(on_disk(left, &error)),
            _ => {}
        }
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(|error| on_disk(&new, &error))?;
    let make = || -> rusqlite::Result<()> {
        let mut connection = Connection::open_with_flags(&new, flags())?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        schema::migrate(&mut connection)?;
        connection.close().map_err(|(_, error)| error)
    };
    make().map_err(|error| in_database(&new, &error))?;
    fs::rename(&new, path).map_err(|error| on_disk(path, &error))?;
    sync_dir(path).map_err(|error| on_disk(path, &error))
}

fn open_existing(path: &Path) -> Result<Connection, StoreError> {
    let empty = fs::metadata(path).map_err(|error| on_disk(path, &error))?.len() == 0;
    if empty {
        return Err(damaged(path, "it is empty"));
    }
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(|error| on_disk(path, &error))?;
    let wrong = |error| in_database(path, &error);
    let mut connection = connect(path).map_err(wrong)?;
    check_ours(path, &connection)?;
    check_whole(path, &connection)?;
    let set_up = |connection: &mut Connection| {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // Every commit is synced before it is acknowledged.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
        schema::migrate(connection)
    };
    set_up(&mut connection).map_err(wrong)?;
    Ok(connection)
}

/// SQLite keeps the index of its write-ahead log in a file that others can look into, which a full disk has no room for. What is
/// stored can be read all the same, with the index in memory: nobody else can look into the database then.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let open = || {
        let connection = Connection::open_with_flags(path, flags())?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok::<_, rusqlite::Error>(connection)
    };
    let connection = open()?;
    let Err(error) = schema::version(&connection) else {
        return Ok(connection);
    };
    if !is_full(&error) {
        return Err(error);
    }
    tracing::warn!(%error, "the disk of the store is full: it is read, and takes nothing until there is room");
    drop(connection);
    let connection = open()?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    Ok(connection)
}

fn is_full(error: &rusqlite::Error) -> bool {
    let error = error.sqlite_error();
    error.is_some_and(|error| {
        error.code == rusqlite::ErrorCode::DiskFull
            || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
    })
}

fn check_ours(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let wrong = |error| in_database(path, &error);
    let application: i32 = connection
        .query_row("PRAGMA application_id", [], |row| row.get(0))
        .map_err(wrong)?;
    let version = schema::version(connection).map_err(wrong)?;
    if application != schema::APPLICATION_ID || version == 0 {
        return Err(StoreError::Unusable {
            reason: format!("{} is a database of another program", path.display()),
        });
    }
    if version > schema::VERSION {
        return Err(StoreError::Unusable {
            reason: format!(
                "{} was written by a newer version of sterna (its tables have version {version}, this one knows up \
                 to {}). Start that version again, or restore a backup from before the upgrade",
                path.display(),
                schema::VERSION
            ),
        });
    }
    Ok(())
}

fn check_whole(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| in_database(path, &error))?;
    if found == "ok" {
        Ok(())
    } else {
        Err(damaged(path, &found))
    }
}

/// Read and write what is there; never make a file silently.
fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}

fn damaged(path: &Path, found: &str) -> StoreError {
    StoreError::Unusable {
        reason: format!(
            "the database {path} is damaged: {found}. It is left as it is: restore a backup in its place, or move it \
             away and register services and groups anew",
            path = path.display()
        ),
    }
}

fn on_disk(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unusable {
        reason: format!("{}: {error}", path.display()),
    }
}

/// What SQLite says, as what it means.
fn in_database(path: &Path, error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => damaged(path, &error.to_string()),
        _ => StoreError::Unusable {
            reason: format!("{}: {error}", path.display()),
        },
    }
}
