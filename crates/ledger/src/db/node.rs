//! Who claims: a process with a random id, and a lock that is gone when it is.
//!
//! Beside a file it is a lock file that the operating system holds; on a server, an advisory lock
//! that a connection of its own holds. When the process dies, however it dies, the lock is gone,
//! and whoever finds that expires the dead node's leases: what it had in flight is asked about at
//! once instead of when the lease has run out. A lock that cannot be looked at proves nothing; the
//! lease decides then.

use std::fs::{DirEntry, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe};
use tokio::task::AbortHandle;

use crate::Ledger;
use crate::db::location::{DatabaseLocation, DbKind, sibling_file};
use crate::db::write_tx::{SILENT, WriteTx, unless_silent};
use crate::error::LedgerError;
use payrun_domain::time::Timestamp;

/// How often a node makes sure that it still holds its lock on the server.
const LOOK: Duration = Duration::from_secs(2);

/// The identity of a process for the ledger; fresh at each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeId(pub(crate) i64);

/// A process that may claim, as long as this value lives.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    _lock: Lock,
}

#[derive(Debug)]
enum Lock {
    /// Let go by the operating system when the process ends, however it ends. The file stays:
    /// whoever finds it unlocked looks after what was left, and removes it.
    File { _file: File },
    /// Let go by the server when the connection ends.
    Server(AbortHandle),
}

impl Drop for Lock {
    fn drop(&mut self) {
        match self {
            Self::File { .. } => {}
            Self::Server(holding) => holding.abort(),
        }
    }
}

impl Node {
    /// Its identity.
    pub const fn id(&self) -> NodeId {
        self.id
    }
}

impl Ledger {
    /// Joins as a node with this random number.
    ///
    /// # Errors
    /// If the lock cannot be had.
    pub async fn join(&self, random: u64, now: Timestamp) -> Result<Node, LedgerError> {
        let id = i64::try_from(random >> 1).unwrap_or(0);
        let lock = match &self.location.file {
            Some(file) => Lock::File {
                _file: lock_file(&locks(file), id)?,
            },
            None => {
                let connection = hold(&self.location, id, now).await?;
                let held = Arc::clone(&self.held);
                held.store(true, Ordering::Release);
                Lock::Server(
                    tokio::spawn(keep(self.location.clone(), connection, id, now, held))
                        .abort_handle(),
                )
            }
        };
        Ok(Node {
            id: NodeId(id),
            _lock: lock,
        })
    }

    /// Expires the leases of nodes that are provably dead, and takes away what they were planning;
    /// says how many items are asked about because of it.
    ///
    /// # Errors
    /// Whatever keeps the ledger from being written.
    pub async fn reap_dead_nodes(&self, now: Timestamp) -> Result<u64, LedgerError> {
        let freed = match &self.location.file {
            Some(file) => self.bury_by_files(&locks(file), now).await?,
            None => self.bury_by_locks(now).await?,
        };
        if freed > 0 {
            self.woken.notify_waiters();
        }
        // What is in flight comes first, and does not wait for this.
        if let Err(error) = self.clear_dead_plans().await {
            tracing::warn!(%error, "what dead processes were planning is taken away later");
        }
        Ok(freed)
    }

    /// Whether a process is at work; the leases of those that have died are expired on the way.
    pub(crate) async fn is_at_work(&self, now: Timestamp) -> Result<bool, LedgerError> {
        self.reap_dead_nodes(now).await?;
        let Some(file) = &self.location.file else {
            let living = format!("select count(*) from nodes as n where exists ({LOCK_OF_NODE})");
            let living = sqlx::query_scalar(AssertSqlSafe(living))
                .fetch_one(&self.read)
                .await;
            return living
                .map(|living: i64| living > 0)
                .map_err(|source| LedgerError::of(BURYING, source));
        };
        Ok(has_nodes(file))
    }

    async fn bury_by_files(&self, folder: &Path, now: Timestamp) -> Result<u64, LedgerError> {
        let mut freed = 0;
        for (id, path) in dead_nodes(folder) {
            let mut tx = self.begin_write(BURYING).await?;
            freed += expire(&mut tx, id, now).await?;
            tx.commit().await?;
            std::fs::remove_file(path).ok();
        }
        Ok(freed)
    }

    /// Taking the lock of a node is the proof; it is let go again with the transaction.
    async fn bury_by_locks(&self, now: Timestamp) -> Result<u64, LedgerError> {
        let failed = |source| LedgerError::of(BURYING, source);
        // Nobody dies often: looking takes no write lock.
        let dead =
            format!("select n.id from nodes as n where not exists ({LOCK_OF_NODE}) limit 100");
        let known: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(dead))
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        if known.is_empty() {
            return Ok(0);
        }
        let mut tx = self.begin_write(BURYING).await?;
        let mut freed = 0;
        for id in known {
            let locked = "select case when pg_try_advisory_xact_lock(hashtextextended(current_schema(), $1)) then 1 else 0 end";
            let locked: i32 = sqlx::query_scalar(locked)
                .bind(id)
                .fetch_one(tx.connection())
                .await
                .map_err(failed)?;
            if locked == 1 {
                freed += expire(&mut tx, id, now).await?;
                let gone = sqlx::query("delete from nodes where id = $1").bind(id);
                gone.execute(tx.connection()).await.map_err(failed)?;
            }
        }
        tx.commit_and_tell().await?;
        Ok(freed)
    }
}

const BURYING: &str = "expiring the leases of a dead process";

/// The lock that the node `n` holds while it lives.
const LOCK_OF_NODE: &str = "\
    select 1 from pg_locks as l where l.locktype = 'advisory' and l.objsubid = 1 \
      and l.database = (select oid from pg_database where datname = current_database()) \
      and (cast(l.classid as bigint) << 32) | cast(l.objid as bigint) = hashtextextended(current_schema(), n.id)";

async fn expire(tx: &mut WriteTx, id: i64, now: Timestamp) -> Result<u64, LedgerError> {
    let expire = "update items set next_at = $2, lease_until = null where state in ('sending', 'pending', 'unknown', 'needs_review') and node = $1 \
                  and lease_until > $2";
    let expired = sqlx::query(expire)
        .bind(id)
        .bind(now.millis())
        .execute(tx.connection())
        .await;
    expired
        .map(|done| done.rows_affected())
        .map_err(|source| LedgerError::of(BURYING, source))
}

pub(crate) fn locks(file: &Path) -> PathBuf {
    // All who have the file have one folder, by whatever link they came.
    let real = file.canonicalize();
    sibling_file(real.as_deref().unwrap_or(file), "-nodes")
}

pub(crate) fn lock_file(folder: &Path, id: i64) -> Result<File, LedgerError> {
    let path = lock_path(folder, id);
    let failed = |source| LedgerError::Lock {
        path: path.clone(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    // Locked before it has its name: nobody ever finds it unlocked while this process lives.
    let unnamed = folder.join(format!("{id:016x}.new"));
    let lock = File::create(&unnamed).map_err(failed)?;
    lock.try_lock().map_err(|error| failed(error.into()))?;
    std::fs::rename(&unnamed, &path).map_err(failed)?;
    Ok(lock)
}

/// Whether a living process has joined the ledger in this file, or one that was there before.
pub(crate) fn has_nodes(file: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(locks(file)) else {
        return false;
    };
    let held = |entry: DirEntry| {
        matches!(
            File::open(entry.path()).map(|file| file.try_lock()),
            Ok(Err(_))
        )
    };
    entries.flatten().any(held)
}

/// Whether somebody holds the lock of this name. One that cannot be looked at proves nothing.
pub(crate) fn is_locked(folder: &Path, id: i64) -> bool {
    match File::open(lock_path(folder, id)) {
        Ok(file) => file.try_lock().is_err(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Where the lock of this name is.
pub(crate) fn lock_path(folder: &Path, id: i64) -> PathBuf {
    folder.join(format!("{id:016x}"))
}

/// Nodes whose lock file nobody holds. Taking the lock is the proof; it is let go again with the
/// file.
fn dead_nodes(folder: &Path) -> Vec<(i64, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut dead = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let id = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| i64::from_str_radix(name, 16).ok());
        let Some(id) = id else { continue };
        match File::open(&path).map(|file| file.try_lock()) {
            Ok(Ok(())) => dead.push((id, path)),
            Ok(Err(TryLockError::WouldBlock | TryLockError::Error(_))) | Err(_) => {}
        }
    }
    dead
}

/// Takes the lock on a connection that does nothing else, and is known from then on.
async fn hold(
    location: &DatabaseLocation,
    id: i64,
    now: Timestamp,
) -> Result<AnyConnection, LedgerError> {
    let failed = |source| LedgerError::of("joining", source);
    let mut connection = location.connect().await?;
    let lock = "select pg_advisory_lock(hashtextextended(current_schema(), $1))";
    sqlx::query(lock)
        .bind(id)
        .execute(&mut connection)
        .await
        .map_err(failed)?;
    let known =
        sqlx::query("insert into nodes (id, joined_at) values ($1, $2) on conflict do nothing");
    known
        .bind(id)
        .bind(now.millis())
        .execute(&mut connection)
        .await
        .map_err(failed)?;
    Ok(connection)
}

/// Holds the lock for as long as it is let, and takes it again where it was lost. `held`: nothing
/// is claimed without it.
async fn keep(
    location: DatabaseLocation,
    connection: AnyConnection,
    id: i64,
    now: Timestamp,
    held: Arc<AtomicBool>,
) {
    let mut connection = Some(connection);
    loop {
        tokio::time::sleep(LOOK).await;
        if let Some(mut kept) = connection.take() {
            // Another may have taken the node for dead meanwhile and struck it off.
            let known = "insert into nodes (id, joined_at) values ($1, $2) on conflict do nothing";
            let known = async {
                let known = sqlx::query(known)
                    .bind(id)
                    .bind(now.millis())
                    .execute(&mut kept)
                    .await;
                known.map_err(|source| LedgerError::of("joining", source))
            };
            if unless_silent(location.db_kind, SILENT, "joining", known)
                .await
                .is_ok()
            {
                connection = Some(kept);
                continue;
            }
            held.store(false, Ordering::Release);
            tracing::warn!(
                "the connection that holds this node's lock was lost; nothing is claimed until it is back"
            );
        }
        if let Ok(again) = unless_silent(
            location.db_kind,
            SILENT,
            "joining",
            hold(&location, id, now),
        )
        .await
        {
            connection = Some(again);
            held.store(true, Ordering::Release);
        }
    }
}

impl Ledger {
    /// Whether this process may claim: others do not take it for dead.
    pub(crate) fn may_claim(&self) -> bool {
        self.location.db_kind == DbKind::Sqlite || self.held.load(Ordering::Acquire)
    }
}
