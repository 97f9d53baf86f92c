//! Who claims: a process with a random id and a lock file beside the ledger that the operating system holds for it.
//!
//! When the process dies, however it dies, the lock is gone, and whoever finds that expires the dead node's leases: what it
//! had in flight is asked about at once instead of when the lease has run out. A lock that cannot be read proves nothing;
//! the lease decides then.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::Ledger;
use super::error::LedgerError;
use crate::domain::time::Timestamp;

/// The identity of a process for the ledger; fresh at each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeId(pub(super) i64);

/// A process that may claim, as long as this value lives.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    /// Let go by the operating system when the process ends, however it ends. The file stays: whoever finds it unlocked looks
    /// after what was left, and removes it.
    _lock: File,
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
    /// If the lock file cannot be made or locked.
    pub fn join(&self, random: u64) -> Result<Node, LedgerError> {
        let id = i64::try_from(random >> 1).unwrap_or(0);
        let folder = self.locks();
        let path = folder.join(format!("{id:016x}"));
        let failed = |source| LedgerError::Lock { path: path.clone(), source };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        // Locked before it has its name: nobody ever finds it unlocked while this process lives.
        let unnamed = folder.join(format!("{id:016x}.new"));
        let lock = File::create(&unnamed).map_err(failed)?;
        lock.try_lock().map_err(|error| failed(error.into()))?;
        std::fs::rename(&unnamed, &path).map_err(failed)?;
        Ok(Node { id: NodeId(id), _lock: lock })
    }

    /// Expires the leases of nodes that are provably dead; says how many items that frees to be asked about.
    ///
    /// # Errors
    /// Whatever keeps the ledger from being written.
    pub async fn bury_dead_nodes(&self, now: Timestamp) -> Result<u64, LedgerError> {
        let mut freed = 0;
        for (id, path) in dead_nodes(&self.locks()) {
            let mut connection = self.write.lock().await;
            let expired = sqlx::query(
                "update items set due_at = min(due_at, ?2) \
                 where state in ('sending', 'pending', 'unknown', 'parked') and node = ?1",
            )
            .bind(id)
            .bind(now.millis())
            .execute(&mut *connection)
            .await
            .map_err(|source| LedgerError::of("expiring the leases of a dead process", source))?;
            freed += expired.rows_affected();
            std::fs::remove_file(path).ok();
        }
        if freed > 0 {
            self.woken.notify_waiters();
        }
        Ok(freed)
    }

    fn locks(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push("-nodes");
        self.path.with_file_name(name)
    }
}

/// Nodes whose lock file nobody holds. Taking the lock is the proof; it is let go again with the file.
fn dead_nodes(folder: &Path) -> Vec<(i64, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut dead = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let id = path.file_name().and_then(|name| name.to_str()).and_then(|name| i64::from_str_radix(name, 16).ok());
        let Some(id) = id else { continue };
        match File::open(&path).map(|file| file.try_lock()) {
            Ok(Ok(())) => dead.push((id, path)),
            Ok(Err(TryLockError::WouldBlock | TryLockError::Error(_))) | Err(_) => {}
        }
    }
    dead
}
