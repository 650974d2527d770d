//! The store: what it holds is read as far as it is new, and written by one session after another.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use futures_util::TryStreamExt;
use pki::event::IndexEvent;
use pki::index::MAX_INDEX_BYTES;
use pki::shared::{SharedDocument, SharedStore, SharedTurn, SharedView, StoreCondition};
use pki::{CertsError, key};
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};
use tracing::warn;

use crate::address::DatabaseUrl;
use crate::password::PasswordFile;
use crate::session::{DatabaseSession, FORM, MissingTables, SessionFault, known};
use crate::tls::DatabaseTls;

/// Held by the session that writes.
const LOCK: &str = "SELECT pg_advisory_lock(7233174018113462894)";
const UNLOCK: &str = "SELECT pg_advisory_unlock_all()";

/// The last change, and whose the event is that was the last one known.
const LAST: &str = "
    SELECT meta.version, meta.position, meta.change, meta.forgotten,
        (SELECT known.batch FROM dockgate.events AS known WHERE known.position = $1)
    FROM dockgate.meta AS meta";
const EVENTS: &str =
    "SELECT batch, event, position FROM dockgate.events WHERE position > $1 ORDER BY position";
const DOCUMENTS: &str = "SELECT name, content FROM dockgate.documents WHERE change > $1";

/// Which server it is, the form of the tables, and whose store it is.
const CONDITION: &str = "
    SELECT current_setting('server_version_num')::int, version,
        (SELECT content FROM dockgate.documents WHERE name = 'ca'),
        (SELECT content FROM dockgate.documents WHERE name = 'crl')
    FROM dockgate.meta";

/// Nothing is written unless the change that it is based on is the last one.
const WRITE: &str = "
    WITH moved AS (
        UPDATE dockgate.meta SET position = position + $2, change = change + 1
        WHERE change = $1 AND version = $3 RETURNING position, change
    ), documents AS (
        INSERT INTO dockgate.documents (name, content, change, batch)
        SELECT given.name, given.content, moved.change, $4
        FROM moved, unnest($6::text[], $7::text[]) AS given(name, content)
        ON CONFLICT (name) DO UPDATE
        SET content = EXCLUDED.content, change = EXCLUDED.change, batch = EXCLUDED.batch
    ), events AS (
        INSERT INTO dockgate.events (position, batch, event)
        SELECT moved.position - $2 + line.n, $4, line.event
        FROM moved, unnest($5::text[]) WITH ORDINALITY AS line(event, n)
    )
    SELECT change FROM moved";
/// The same for taking events out.
const FORGET: &str = "
    WITH moved AS (
        UPDATE dockgate.meta SET change = change + 1, forgotten = forgotten + 1
        WHERE change = $1 AND version = $2 RETURNING change
    ), gone AS (
        DELETE FROM dockgate.events USING moved WHERE position = ANY ($3::bigint[])
    )
    SELECT change FROM moved";
const WRITTEN: &str = "
    SELECT EXISTS (SELECT FROM dockgate.events WHERE batch = $1)
        OR EXISTS (SELECT FROM dockgate.documents WHERE batch = $1)";

/// Connections that are kept.
const KEPT: usize = 4;

/// How long the database is not asked again after it could not be reached: others would only wait as well.
const REST: Duration = Duration::from_millis(500);

/// How long a write is looked up whose outcome is not known.
const LOOK_UP: Duration = Duration::from_secs(10);

/// A store in a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresStore(Arc<Database>);

struct Database {
    url: DatabaseUrl,
    password: Option<PasswordFile>,
    tls: Option<DatabaseTls>,
    idle: Mutex<Vec<DatabaseSession>>,
    known: Mutex<Arc<KnownEvents>>,
    failed: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Database").field(&self.url).finish()
    }
}

/// What was read so far.
#[derive(Debug, Default)]
struct KnownEvents {
    view: Arc<SharedView>,
    /// Where the last event is. The counter may be further: what it counted last may have been taken out.
    position: i64,
    /// Who wrote the last event.
    batch: Option<String>,
    /// How often events were taken out.
    forgotten: i64,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PostgresStore {
    /// A store that is connected to when it is asked.
    ///
    /// # Errors
    /// When the CAs for the database's certificate cannot be read.
    pub fn new(url: DatabaseUrl, password: Option<PasswordFile>) -> Result<Self, CertsError> {
        let tls = url.has_tls().then(|| DatabaseTls::new(url.roots()));
        Ok(Self(Arc::new(Database {
            tls: tls.transpose()?,
            url,
            password,
            idle: Mutex::default(),
            known: Mutex::default(),
            failed: Mutex::default(),
        })))
    }
}

impl SharedStore for PostgresStore {
    fn view(&self) -> Result<Arc<SharedView>, CertsError> {
        let read = self.0.with_session(|session| self.0.read(session));
        let (session, view) = read.map_err(|fault| self.0.unavailable("read", fault))?;
        self.0.keep(session);
        Ok(view)
    }

    fn examine(&self) -> Result<StoreCondition, CertsError> {
        let ask = || {
            let session = self.0.connect_with(MissingTables::Refuse)?;
            session.ask(condition)
        };
        ask().map_err(|fault| self.0.unavailable("look at", fault))
    }

    fn turn(&self) -> Result<Box<dyn SharedTurn>, CertsError> {
        let begin = |session: &DatabaseSession| {
            session.ask(|client| command(client, LOCK))?;
            self.0.read(session)
        };
        let begun = self.0.with_session(begin);
        let (session, view) = begun.map_err(|fault| self.0.unavailable("use", fault))?;
        Ok(Box::new(PostgresTurn {
            database: self.0.clone(),
            session: Some(session),
            change: view.change,
            view,
        }))
    }
}

async fn condition(client: &Client) -> Result<StoreCondition, SessionFault> {
    let row = client.query_typed_one(CONDITION, &[]).await?;
    let (version, form): (i32, i32) = (row.get(0), row.get(1));
    let (ca, crl): (Option<&str>, Option<&str>) = (row.get(2), row.get(3));
    let (major, minor) = (version / 10_000, version % 10_000);
    Ok(StoreCondition {
        server: format!("PostgreSQL {major}.{minor}, form {form}"),
        ca: ca.map(Into::into),
        crl: crl.map(Into::into),
    })
}

async fn command(client: &Client, text: &str) -> Result<(), SessionFault> {
    client.query_typed(text, &[]).await?;
    Ok(())
}

impl Database {
    fn unavailable(&self, doing: &'static str, fault: SessionFault) -> CertsError {
        match fault {
            SessionFault::Certs(error) => error,
            fault => CertsError::Unavailable {
                doing,
                store: self.url.to_string(),
                source: Box::new(fault),
                hint: match self.password {
                    Some(_) => "look whether the database runs and lets this user in",
                    None => {
                        "look whether the database runs and lets this user in; --store-password-file names the file of a password"
                    }
                },
            },
        }
    }

    fn connect(&self) -> Result<DatabaseSession, SessionFault> {
        self.connect_with(MissingTables::Make)
    }

    fn connect_with(&self, tables: MissingTables) -> Result<DatabaseSession, SessionFault> {
        if lock(&self.failed).is_some_and(|at| at.elapsed() < REST) {
            return Err(SessionFault::Resting);
        }
        let password = self.password.as_ref().map(PasswordFile::read).transpose()?;
        let password = password.as_ref().map(|it| it.as_slice());
        let session = DatabaseSession::open(&self.url, password, self.tls.as_ref(), tables);
        *lock(&self.failed) = session.is_err().then(Instant::now);
        session
    }

    /// Asks on a connection that is kept, or on a new one if that is of no use any more.
    fn with_session<T>(
        &self,
        ask: impl Fn(&DatabaseSession) -> Result<T, SessionFault>,
    ) -> Result<(DatabaseSession, T), SessionFault> {
        // All that are kept may be of a server that is gone.
        while let Some(kept) = { lock(&self.idle).pop() } {
            match ask(&kept) {
                Ok(answer) => return Ok((kept, answer)),
                Err(fault) if fault.is_final() => return Err(fault),
                Err(_) => {}
            }
        }
        let session = self.connect()?;
        let answer = ask(&session)?;
        Ok((session, answer))
    }

    fn keep(&self, session: DatabaseSession) {
        let mut idle = lock(&self.idle);
        if idle.len() < KEPT {
            idle.push(session);
        }
    }

    /// Reads what is new.
    fn read(&self, session: &DatabaseSession) -> Result<Arc<SharedView>, SessionFault> {
        let known = lock(&self.known).clone();
        let last = session.ask(|client| last(client, known.position))?;
        if last.change == known.view.change && last.batch == known.batch {
            return Ok(known.view.clone());
        }
        let read = session.ask(|client| read_on(client, &known))?;
        let read = Arc::new(read);
        *lock(&self.known) = read.clone();
        Ok(read.view.clone())
    }
}

struct Last {
    position: i64,
    change: i64,
    forgotten: i64,
    batch: Option<String>,
}

async fn last(client: &Client, position: i64) -> Result<Last, SessionFault> {
    let row = client
        .query_typed_one(LAST, &[(&position, Type::INT8)])
        .await?;
    known(row.get(0))?;
    Ok(Last {
        position: row.get(1),
        change: row.get(2),
        forgotten: row.get(3),
        batch: row.get(4),
    })
}

/// All that is there, of which the part that is known is not read again.
async fn read_on(client: &Client, known: &KnownEvents) -> Result<KnownEvents, SessionFault> {
    // One moment for all of it.
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    client.batch_execute(begin).await?;
    let now = last(client, known.position).await?;
    let is_shorter = now.forgotten != known.forgotten;
    let goes_on = now.position >= known.position
        && now.change >= known.view.change
        && now.batch == known.batch;
    let mut next = match goes_on {
        _ if is_shorter => KnownEvents::default(),
        true => KnownEvents {
            view: known.view.clone(),
            batch: known.batch.clone(),
            ..*known
        },
        false => {
            warn!("The store is not the one it was: it came out of a backup, or was replaced");
            KnownEvents::default()
        }
    };
    let mut view = SharedView::clone(&next.view);
    let events = client
        .query_typed_raw(EVENTS, [(next.position, Type::INT8)])
        .await?;
    let mut events = std::pin::pin!(events);
    while let Some(row) = events.try_next().await? {
        let line: &str = row.get(1);
        view.bytes += line.len() as u64;
        if view.bytes > MAX_INDEX_BYTES {
            return Err(CertsError::refused(
                format!("the index in the store is larger than {MAX_INDEX_BYTES} bytes"),
                "",
            )
            .into());
        }
        view.events.push(Arc::new(IndexEvent::read(line)?));
        next.position = row.get(2);
        view.positions.push(next.position);
        next.batch = Some(row.get(0));
    }
    let since = next.view.change;
    for row in client
        .query_typed(DOCUMENTS, &[(&since, Type::INT8)])
        .await?
    {
        if let Some(document) = SharedDocument::from_id(row.get(0)) {
            let content: &str = row.get(1);
            view.documents.insert(document, content.into());
        }
    }
    client.batch_execute("COMMIT").await?;
    view.change = now.change;
    next.forgotten = now.forgotten;
    next.view = Arc::new(view);
    Ok(next)
}

/// The right to write.
#[derive(Debug)]
struct PostgresTurn {
    database: Arc<Database>,
    /// Missing once it has failed.
    session: Option<DatabaseSession>,
    view: Arc<SharedView>,
    change: i64,
}

impl Drop for PostgresTurn {
    fn drop(&mut self) {
        if let Some(session) = self.session.take()
            && session.ask(|client| command(client, UNLOCK)).is_ok()
        {
            self.database.keep(session);
        }
    }
}

/// What is written at once.
struct Batch<'a> {
    id: String,
    events: &'a [String],
    documents: &'a [(SharedDocument, &'a str)],
}

impl SharedTurn for PostgresTurn {
    fn view(&self) -> &Arc<SharedView> {
        &self.view
    }

    fn write(
        &mut self,
        events: &[String],
        documents: &[(SharedDocument, &str)],
    ) -> Result<(), CertsError> {
        let mut id = [0; 16];
        key::random(&mut id)?;
        let batch = Batch {
            id: HEXLOWER.encode(&id),
            events,
            documents,
        };
        let written = match self.put(&batch) {
            Err(fault) if !fault.did_nothing() => {
                // The session is of no use any more, and what it did is not known.
                self.session = None;
                warn!(error = %fault, "It is not known whether the store was written to; looking it up");
                self.put_unless_there(&batch)
            }
            written => written,
        };
        match written.map_err(|fault| self.database.unavailable("write to", fault))? {
            true => {
                self.change += 1;
                Ok(())
            }
            false => Err(self
                .database
                .unavailable("write to", SessionFault::Overtaken)),
        }
    }

    fn forget(&mut self, places: &BTreeSet<usize>) -> Result<(), CertsError> {
        let of = |place: &usize| self.view.positions.get(*place).copied();
        let positions: Vec<i64> = places.iter().filter_map(of).collect();
        let failed = |fault| self.database.unavailable("write to", fault);
        match self.take_out(&positions).map_err(failed)? {
            true => {
                self.change += 1;
                Ok(())
            }
            false => Err(failed(SessionFault::Overtaken)),
        }
    }
}

impl PostgresTurn {
    fn take_out(&self, positions: &[i64]) -> Result<bool, SessionFault> {
        let session = self.session.as_ref().ok_or(SessionFault::Resting)?;
        let change = self.change;
        let rows = session.ask(|client| async move {
            let values: [(&(dyn ToSql + Sync), Type); 3] = [
                (&change, Type::INT8),
                (&FORM, Type::INT4),
                (&positions, Type::INT8_ARRAY),
            ];
            Ok(client.query_typed(FORGET, &values).await?.len())
        })?;
        Ok(rows == 1)
    }

    /// Writes; false if another process has written since the turn began.
    fn put(&self, batch: &Batch<'_>) -> Result<bool, SessionFault> {
        let session = self.session.as_ref().ok_or(SessionFault::Resting)?;
        let count = i64::try_from(batch.events.len()).unwrap_or(i64::MAX);
        let events: Vec<&str> = batch.events.iter().map(String::as_str).collect();
        let names: Vec<&str> = batch.documents.iter().map(|it| it.0.id()).collect();
        let contents: Vec<&str> = batch.documents.iter().map(|it| it.1).collect();
        let change = self.change;
        let rows = session.ask(|client| async move {
            let values: [(&(dyn ToSql + Sync), Type); 7] = [
                (&change, Type::INT8),
                (&count, Type::INT8),
                (&FORM, Type::INT4),
                (&batch.id, Type::TEXT),
                (&events, Type::TEXT_ARRAY),
                (&names, Type::TEXT_ARRAY),
                (&contents, Type::TEXT_ARRAY),
            ];
            Ok(client.query_typed(WRITE, &values).await?.len())
        })?;
        Ok(rows == 1)
    }

    /// Writes what is not there. The lock proves that the session is over which may have written it.
    fn put_unless_there(&mut self, batch: &Batch<'_>) -> Result<bool, SessionFault> {
        let until = Instant::now() + LOOK_UP;
        let look_up = |session: &DatabaseSession| {
            session.ask(|client| command(client, LOCK))?;
            session.ask(|client| async move {
                let values: [(&(dyn ToSql + Sync), Type); 1] = [(&batch.id, Type::TEXT)];
                let row = client.query_typed_one(WRITTEN, &values).await?;
                Ok(row.get::<_, bool>(0))
            })
        };
        let is_there = loop {
            match self.database.with_session(look_up) {
                Ok((session, is_there)) => {
                    self.session = Some(session);
                    break is_there;
                }
                Err(fault) if Instant::now() >= until || fault.is_final() => return Err(fault),
                Err(_) => thread::sleep(REST / 2),
            }
        };
        match is_there {
            true => Ok(true),
            false => self.put(batch),
        }
    }
}
