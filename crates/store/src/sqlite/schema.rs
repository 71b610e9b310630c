//! The database's tables, and the way from each version of them to the next.

use rusqlite::{Connection, TransactionBehavior};

/// Marks the file as ours: "stna".
pub(super) const APPLICATION_ID: i32 = 0x7374_6e61;

/// Each step makes one version of the next lower one. Steps are only ever added.
const STEPS: &[&str] = &[
    // Keys are text, compared byte by byte: the order of every backend. The counter has one row.
    "CREATE TABLE entries (
         key TEXT NOT NULL PRIMARY KEY,
         value BLOB NOT NULL,
         revision INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;
     CREATE TABLE counter (
         id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
         revision INTEGER NOT NULL
     ) STRICT;
     INSERT INTO counter VALUES (1, 0);",
];

/// The version of the tables that this program works with.
pub(super) const VERSION: usize = STEPS.len();

/// The version of the tables in the file; 0 where there are none.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<usize> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Goes from the file's version to this program's, each step whole or not at all.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    migrate_by(STEPS, connection)
}

fn migrate_by(steps: &[&str], connection: &mut Connection) -> rusqlite::Result<()> {
    let from = version(connection)?;
    for (step, to) in steps.iter().zip(1usize..).skip(from) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", to)?;
        transaction.commit()?;
        tracing::info!(from = to - 1, to, "the store's tables are migrated");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_taken_once_and_whole() {
        let mut connection = Connection::open_in_memory().expect("a database");
        let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x); CREATE TABLE a (y)"];
        migrate_by(&steps[..1], &mut connection).expect("migrated");
        migrate_by(&steps[..1], &mut connection).expect("nothing to do");
        assert_eq!(version(&connection).expect("read"), 1);
        migrate_by(&steps, &mut connection).expect_err("there is such a table");
        assert_eq!(version(&connection).expect("read"), 1);
        connection
            .execute("SELECT * FROM b", [])
            .expect_err("the failed step left nothing");
        migrate_by(&[steps[0], "CREATE TABLE b (x)"], &mut connection).expect("migrated");
        assert_eq!(version(&connection).expect("read"), 2);
    }
}
