//! One connection to the database, each question with a deadline.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use pki::CertsError;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::error::{DbError, Severity, SqlState};
use tokio_postgres::{Client, NoTls};

use crate::address::DatabaseUrl;
use crate::tls::DatabaseTls;

/// For a connection, with TLS and what is asked first.
const CONNECT: Duration = Duration::from_secs(8);

/// For one question; waiting for a lock is part of it.
const QUESTION: Duration = Duration::from_secs(12);

/// The form of the tables that this version reads and writes.
pub(crate) const FORM: i32 = 1;

/// The oldest server: those before it have no `idle_session_timeout`.
const OLDEST: i32 = 140_000;

/// A process that hangs or is cut off loses its lock by these, and no commit is answered that a crash could undo.
const SETTINGS: &str = "
    SET search_path = pg_catalog;
    SET lock_timeout = '10s';
    SET statement_timeout = '15s';
    SET idle_session_timeout = '60s';
    SET idle_in_transaction_session_timeout = '15s';
    SET client_connection_check_interval = '1s';
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
";

/// The tables. The lock keeps two first starts apart.
const TABLES: &str = "
    BEGIN;
    SELECT pg_advisory_xact_lock(7233174018113462895);
    DO $$ BEGIN
        IF to_regnamespace('dockgate') IS NULL THEN CREATE SCHEMA dockgate; END IF;
    END $$;
    CREATE TABLE IF NOT EXISTS dockgate.meta (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        version integer NOT NULL,
        position bigint NOT NULL,
        change bigint NOT NULL,
        forgotten bigint NOT NULL DEFAULT 0
    );
    CREATE TABLE IF NOT EXISTS dockgate.events (
        position bigint PRIMARY KEY,
        batch text NOT NULL,
        event text NOT NULL
    );
    CREATE INDEX IF NOT EXISTS events_batch ON dockgate.events (batch);
    CREATE TABLE IF NOT EXISTS dockgate.documents (
        name text PRIMARY KEY,
        content text NOT NULL,
        change bigint NOT NULL,
        batch text NOT NULL
    );
    INSERT INTO dockgate.meta (version, position, change) VALUES (1, 0, 0) ON CONFLICT DO NOTHING;
    COMMIT;
";

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionFault {
    /// The deadline has passed.
    #[error("no answer came within {} seconds", .0.as_secs())]
    Late(Duration),
    /// The database or the way to it.
    #[error(transparent)]
    Database(#[from] tokio_postgres::Error),
    /// It could not be reached a moment ago.
    #[error("the database could not be reached a moment ago")]
    Resting,
    /// Another process has written since the turn began.
    #[error("another process has written to it in between")]
    Overtaken,
    /// What asking again does not change.
    #[error(transparent)]
    Certs(#[from] CertsError),
}

impl SessionFault {
    fn of_database(&self) -> Option<&DbError> {
        match self {
            Self::Database(error) => error.as_db_error(),
            _ => None,
        }
    }

    /// Whether the database itself has said that it did nothing. A server that is shut down may have done it.
    pub(crate) fn did_nothing(&self) -> bool {
        let is_error = |error: &DbError| error.parsed_severity() == Some(Severity::Error);
        let is_end = |error: &DbError| error.code().code().starts_with("57");
        self.of_database()
            .is_some_and(|error| is_error(error) && !is_end(error))
    }

    /// Whether another connection would bring the same.
    pub(crate) fn is_final(&self) -> bool {
        let is_locked = |error: &DbError| *error.code() == SqlState::LOCK_NOT_AVAILABLE;
        matches!(self, Self::Certs(_) | Self::Late(_)) || self.of_database().is_some_and(is_locked)
    }
}

/// What becomes of a database without the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingTables {
    /// It gets them.
    Make,
    /// It is refused, and left as it is.
    Refuse,
}

/// A connection, with a runtime that works while it is asked.
pub(crate) struct DatabaseSession {
    client: Client,
    /// Only missing while this is dropped.
    runtime: Option<Runtime>,
}

impl fmt::Debug for DatabaseSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSession").finish_non_exhaustive()
    }
}

impl Drop for DatabaseSession {
    fn drop(&mut self) {
        // The thread that drops this may not be allowed to wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl DatabaseSession {
    /// Connects, and makes the tables if there are none and that is wanted.
    pub(crate) fn open(
        url: &DatabaseUrl,
        password: Option<&[u8]>,
        tls: Option<&DatabaseTls>,
        tables: MissingTables,
    ) -> Result<Self, SessionFault> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| CertsError::crypto("start a runtime", source))?;
        let mut config = url.config().clone();
        config
            .application_name("dockgate")
            .connect_timeout(Duration::from_secs(5))
            .tcp_user_timeout(QUESTION)
            .keepalives_idle(Duration::from_secs(10))
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        if let Some(password) = password {
            config.password(password);
        }
        let opening = async {
            let client = match tls {
                Some(tls) => {
                    let (client, connection) = config.connect(tls.clone()).await?;
                    tokio::spawn(connection);
                    client
                }
                None => {
                    let (client, connection) = config.connect(NoTls).await?;
                    tokio::spawn(connection);
                    client
                }
            };
            prepare(&client, tables).await?;
            Ok(client)
        };
        let client = runtime.block_on(async { timeout(CONNECT, opening).await });
        match client {
            Ok(Ok(client)) => Ok(Self {
                client,
                runtime: Some(runtime),
            }),
            failed => {
                runtime.shutdown_background();
                Err(match failed {
                    Ok(Err(fault)) => fault,
                    _ => SessionFault::Late(CONNECT),
                })
            }
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask<'a, T, Q>(
        &'a self,
        question: impl FnOnce(&'a Client) -> Q,
    ) -> Result<T, SessionFault>
    where
        Q: Future<Output = Result<T, SessionFault>> + 'a,
    {
        let Some(runtime) = &self.runtime else {
            return Err(SessionFault::Late(Duration::ZERO));
        };
        let asking = async { timeout(QUESTION, question(&self.client)).await };
        let answer = runtime.block_on(asking);
        answer.unwrap_or(Err(SessionFault::Late(QUESTION)))
    }
}

async fn prepare(client: &Client, tables: MissingTables) -> Result<(), SessionFault> {
    let server = "SELECT current_setting('server_version_num')::int";
    let server: i32 = client.query_typed_one(server, &[]).await?.get(0);
    if server < OLDEST {
        return Err(CertsError::refused(
            format!("the database is of PostgreSQL {}", server / 10_000),
            "the store needs PostgreSQL 14 or later",
        )
        .into());
    }
    client.batch_execute(SETTINGS).await?;
    let there = "SELECT pg_catalog.to_regclass('dockgate.meta') IS NOT NULL";
    let there: bool = client.query_typed_one(there, &[]).await?.get(0);
    match (there, tables) {
        (true, _) => {}
        (false, MissingTables::Make) => client.batch_execute(TABLES).await?,
        (false, MissingTables::Refuse) => {
            return Err(CertsError::refused(
                "the database has no tables of dockgate",
                "is it the right one? a signer makes them at its first start",
            )
            .into());
        }
    }
    let form = "SELECT version FROM dockgate.meta";
    known(client.query_typed_one(form, &[]).await?.get(0))
}

/// That the tables have the form that this version knows.
pub(crate) fn known(form: i32) -> Result<(), SessionFault> {
    match form == FORM {
        true => Ok(()),
        false => Err(CertsError::refused(
            format!("the store has form {form}, expected form {FORM}"),
            "a later dockgate has made it: use that one on every host",
        )
        .into()),
    }
}
