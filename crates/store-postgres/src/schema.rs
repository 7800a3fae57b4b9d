//! The tables, and how a database gets them.

use deadpool_postgres::Object;
use store::StoreError;

use crate::connect::unsupported;
use crate::error::{Verdict, verdict};

/// Brings the tables to the version of this program. Several nodes may do so at one time.
///
/// # Errors
/// `Unsupported`: the database was used by a newer version, or is not one of ours; `Unavailable`.
pub(crate) async fn migrate(client: &Object) -> Result<(), StoreError> {
    let mut attempts = 0;
    loop {
        match try_migrate(client).await {
            Ok(answer) => return answer,
            Err(error) => {
                // Ends the transaction, if the connection is still there.
                let _ = client.batch_execute("ROLLBACK").await;
                attempts += 1;
                match verdict(&error) {
                    // Another node makes the same tables just now.
                    Verdict::Again(_) if attempts < ATTEMPTS_MAX => {}
                    Verdict::Again(error) | Verdict::Lost(error) | Verdict::Refused(error) => {
                        return Err(error);
                    }
                }
            }
        }
    }
}

async fn try_migrate(client: &Object) -> Result<Result<(), StoreError>, tokio_postgres::Error> {
    if version(client).await? == Some(NEWEST) {
        return Ok(Ok(()));
    }
    client.batch_execute("BEGIN").await?;
    client.batch_execute(META).await?;
    // Whoever comes second waits here, and finds the work done.
    let row = client.query_one("SELECT version FROM pillarbox_meta FOR UPDATE", &[]).await?;
    let found: i32 = row.get(0);
    let Some(rest) = usize::try_from(found).ok().and_then(|done| MIGRATIONS.get(done..)) else {
        client.batch_execute("ROLLBACK").await?;
        return Ok(Err(unsupported(format_args!(
            "the database has schema version {found}, this program knows {NEWEST}"
        ))));
    };
    if let Err(error) = check(client, found).await {
        client.batch_execute("ROLLBACK").await?;
        return Ok(Err(error));
    }
    for migration in rest {
        client.batch_execute(migration).await?;
    }
    client.execute("UPDATE pillarbox_meta SET version = $1", &[&NEWEST]).await?;
    client.batch_execute("COMMIT").await?;
    tracing::info!(from = found, to = NEWEST, "the database schema was migrated");
    Ok(Ok(()))
}

/// The version that the database says it has; `None` when it is not ours yet.
async fn version(client: &Object) -> Result<Option<i32>, tokio_postgres::Error> {
    let found = client.query_opt("SELECT version FROM pillarbox_meta", &[]).await;
    match found {
        Ok(row) => Ok(row.map(|row| row.get(0))),
        Err(error) if error.as_db_error().is_some_and(is_undefined_table) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_undefined_table(error: &tokio_postgres::error::DbError) -> bool {
    *error.code() == tokio_postgres::error::SqlState::UNDEFINED_TABLE
}

/// What is migrated must be what it says it is.
async fn check(client: &Object, version: i32) -> Result<(), StoreError> {
    let found = client
        .query_one(
            "SELECT count(*) FROM information_schema.tables
             WHERE table_schema = current_schema() AND table_name = ANY($1)",
            &[&TABLES],
        )
        .await
        .map_err(|error| crate::error::read_failed(&error))?;
    let (count, expected) = (found.get::<_, i64>(0), if version == 0 { 0 } else { TABLES.len() });
    if count == i64::try_from(expected).unwrap_or(0) {
        return Ok(());
    }
    Err(unsupported(format_args!(
        "the database says schema version {version}, but has {count} of {expected} tables"
    )))
}

/// The version after all migrations.
const NEWEST: i32 = MIGRATIONS.len() as i32;

/// Nodes that start at one time get into each other's way this often at most.
const ATTEMPTS_MAX: u32 = 20;

const META: &str = "
CREATE TABLE IF NOT EXISTS pillarbox_meta (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version int NOT NULL
);
INSERT INTO pillarbox_meta (version) VALUES (0) ON CONFLICT DO NOTHING";

/// What the first migration makes.
const TABLES: &[&str] = &[
    "pillarbox_rows",
    "pillarbox_blobs",
    "pillarbox_chunks",
    "pillarbox_garbage",
    "pillarbox_slots",
];

/// One text for each version, applied in order. A released one never changes.
const MIGRATIONS: &[&str] = &[
    // 1. Bodies are compressed already, so the database need not try. Slots change with every
    // commit: free space in their pages keeps the changes out of the index.
    "CREATE SEQUENCE pillarbox_commit_no AS bigint CACHE 1;
    CREATE TABLE pillarbox_rows (key bytea PRIMARY KEY, value bytea NOT NULL);
    CREATE TABLE pillarbox_blobs (
        scope bytea NOT NULL, id bytea NOT NULL,
        size bigint NOT NULL, stored_bytes bigint NOT NULL, named_at bigint NOT NULL,
        body bytea, object text,
        PRIMARY KEY (scope, id),
        CHECK ((body IS NULL) <> (object IS NULL))
    );
    ALTER TABLE pillarbox_blobs ALTER COLUMN body SET STORAGE EXTERNAL;
    CREATE INDEX pillarbox_blobs_object ON pillarbox_blobs (object) WHERE object IS NOT NULL;
    CREATE TABLE pillarbox_chunks (
        object text COLLATE \"C\" NOT NULL, number int NOT NULL,
        bytes bytea NOT NULL, stored_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (object, number)
    );
    ALTER TABLE pillarbox_chunks ALTER COLUMN bytes SET STORAGE EXTERNAL;
    CREATE TABLE pillarbox_garbage (
        object text COLLATE \"C\" PRIMARY KEY, since timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE pillarbox_slots (
        id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
        epoch bigint NOT NULL DEFAULT 0, op bigint NOT NULL DEFAULT 0,
        number bigint NOT NULL DEFAULT 0, used_at timestamptz NOT NULL DEFAULT now()
    ) WITH (fillfactor = 20)",
    // 2. Hints for nodes without NOTIFY.
    "CREATE TABLE pillarbox_hints (
        id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
        keys text NOT NULL, sent_at timestamptz NOT NULL DEFAULT now()
    )",
];
