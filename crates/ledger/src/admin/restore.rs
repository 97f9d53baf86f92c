//! A backup in the place of a ledger that was lost, made by payrun or by other means. It has
//! forgotten every call that was made since, and knows that it has: what it is about to send it
//! asks about first (`items/claim.rs`), under the number that the lost ledger would have used.

use crate::db::stored_values;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use sqlx::Row;

use crate::Ledger;
use crate::admin::backup::{IS_BACKUP, folder_of, into_one_file, sync};
use crate::audit::NewAuditEntry;
use crate::db::location::{make_private, sibling_file};
use crate::db::node::has_nodes;
use crate::error::LedgerError;
use payrun_domain::actor::Authorization;
use payrun_domain::item::State;
use payrun_domain::time::Timestamp;

/// For how long the runs that are planned are asked about first, whatever they are for: longer than
/// a month, so that whoever plans once more what the lost ledger had planned is on the safe side.
const ASKS_FOR: Duration = Duration::from_secs(35 * 86_400);

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// When the backup was made: what was done since is not in it.
    pub backup_at: Timestamp,
    /// Until when the runs that are planned are asked about before anything of them is sent.
    pub queries_until: Timestamp,
    /// How many items are in each state.
    pub items: BTreeMap<State, u64>,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Whatever the database says.
    #[error("nothing was restored")]
    Ledger(#[from] LedgerError),
    /// Nothing is written over.
    #[error("{} is there already; move it away first", path.display())]
    There {
        /// The file.
        path: PathBuf,
    },
    /// Not what `payrun backup` makes.
    #[error("{} is no backup that payrun has made", path.display())]
    NoBackup {
        /// The file.
        path: PathBuf,
    },
    /// The backup is not sound.
    #[error("the backup is damaged: {found}")]
    Damaged {
        /// What was found.
        found: String,
    },
    /// Who works on it would not ask about what it has in hand.
    #[error("a payrun process is at work on the ledger; stop it first")]
    AtWork,
    /// The file system.
    #[error("{} cannot be read or written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Ledger {
    /// Makes a ledger of a backup, at a place where there is none. The backup stays as it is.
    ///
    /// # Errors
    /// [`RestoreError`]; then there is no ledger there.
    pub async fn restore(
        backup: &Path,
        to: &Path,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<RestoreReport, RestoreError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RestoreError::File { path, source }
        };
        // What is left of another ledger would be taken for a part of this one.
        let parts = ["-wal", "-shm"].map(|ending| sibling_file(to, ending));
        if let Some(path) = [to]
            .into_iter()
            .chain(parts.iter().map(PathBuf::as_path))
            .find(|path| path.exists())
        {
            return Err(RestoreError::There {
                path: path.to_owned(),
            });
        }
        // It may have the file open that was moved away, and work on.
        if has_nodes(to) {
            return Err(RestoreError::AtWork);
        }
        let workshop = tempfile::tempdir_in(folder_of(to)).map_err(failed(to))?;
        let half = workshop.path().join("ledger.db");
        copy_privately(backup, &half).map_err(failed(backup))?;
        let restored = revive(&half, backup, by, now).await?;
        sync(&half).map_err(failed(&half))?;
        // Unlike a renaming this never takes the place of a file that has come to be meanwhile.
        std::fs::hard_link(&half, to).map_err(failed(to))?;
        sync(folder_of(to)).map_err(failed(to))?;
        Ok(restored)
    }

    /// Tells a ledger that other means have brought back (a server's own tools, a standby that took
    /// over, a snapshot of a disk) that it lacks what was done since `lost_since`.
    ///
    /// # Errors
    /// [`RestoreError::AtWork`], and whatever the database says.
    pub async fn was_restored(
        &self,
        lost_since: Timestamp,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<RestoreReport, RestoreError> {
        if self.is_at_work(now).await? {
            return Err(RestoreError::AtWork);
        }
        let restored = mark(self, lost_since, by, now).await?;
        // Who came in between may have claimed something before it was marked.
        if self.is_at_work(now).await? {
            return Err(RestoreError::AtWork);
        }
        Ok(restored)
    }
}

/// Copies a file into a new one; unlike `std::fs::copy` without its mode, by which others may be
/// able to read it.
fn copy_privately(from: &Path, to: &Path) -> std::io::Result<()> {
    make_private(to);
    let mut copy = std::fs::OpenOptions::new().write(true).open(to)?;
    std::io::copy(&mut std::fs::File::open(from)?, &mut copy).map(|_| ())
}

/// Makes a copy of a backup a ledger that may be worked on.
async fn revive(
    copy: &Path,
    backup: &Path,
    by: &Authorization,
    now: Timestamp,
) -> Result<RestoreReport, RestoreError> {
    let ledger = Ledger::open_fenced(copy).await?;
    let Some((fence, backup_at)) = made_at(&ledger).await? else {
        return Err(RestoreError::NoBackup {
            path: backup.to_owned(),
        });
    };
    let found = ledger.check().await?;
    if !found.is_empty() {
        return Err(RestoreError::Damaged {
            found: found.join("; "),
        });
    }
    ledger.unfence(&fence).await?;
    let restored = mark(&ledger, backup_at, by, now).await?;
    into_one_file(ledger).await?;
    Ok(restored)
}

/// What fences a backup, and when it was made; none if it is no backup.
async fn made_at(ledger: &Ledger) -> Result<Option<(String, Timestamp)>, LedgerError> {
    let failed = |source| LedgerError::of("reading the backup", source);
    let fence = sqlx::query("select moved_to, at from fence")
        .fetch_optional(&ledger.read)
        .await
        .map_err(failed)?;
    let Some(fence) = fence else { return Ok(None) };
    let of: String = fence.try_get(0).map_err(failed)?;
    let at: i64 = fence.try_get(1).map_err(failed)?;
    Ok(of
        .ends_with(IS_BACKUP)
        .then(|| (of, Timestamp::from_millis(at))))
}

async fn states(ledger: &Ledger) -> Result<BTreeMap<State, u64>, LedgerError> {
    let failed = |source| LedgerError::of("reading the backup", source);
    let query =
        "select state, cast(sum(items) as bigint) from totals group by state having sum(items) > 0";
    let rows = sqlx::query(query)
        .fetch_all(&ledger.read)
        .await
        .map_err(failed)?;
    let state = |row: &sqlx::any::AnyRow| {
        let word: &str = row.try_get(0).map_err(failed)?;
        let items: i64 = row.try_get(1).map_err(failed)?;
        let items = stored_values::count(items, "reading the backup")?;
        Ok((
            stored_values::state(word, ("totals", &word, "state"))?,
            items,
        ))
    };
    rows.iter().map(state).collect()
}

/// From here on everything is asked about before it is sent, also what was after an earlier backup
/// was restored.
async fn mark(
    ledger: &Ledger,
    backup_at: Timestamp,
    by: &Authorization,
    now: Timestamp,
) -> Result<RestoreReport, LedgerError> {
    let failed = |source| LedgerError::of("marking the ledger as restored", source);
    let restored = RestoreReport {
        backup_at,
        queries_until: now.plus(ASKS_FOR),
        items: states(ledger).await?,
    };
    let mut tx = ledger.begin_write("marking the ledger as restored").await?;
    sqlx::query(
        "insert into restores (id, backup_at, at, queries_until) values (1, $1, $2, $3) on conflict (id) do update \
         set backup_at = excluded.backup_at, at = excluded.at, queries_until = excluded.queries_until",
    )
    .bind(restored.backup_at.millis())
    .bind(now.millis())
    .bind(restored.queries_until.millis())
    .execute(tx.connection())
    .await
    .map_err(failed)?;
    let forget = sqlx::query("update items set recalled = null where recalled is not null");
    forget.execute(tx.connection()).await.map_err(failed)?;
    let after = json!({ "lost_since": backup_at.to_string(), "queries_until": restored.queries_until.to_string() });
    let note = NewAuditEntry {
        by,
        action: "ledger.restore",
        target: "ledger".to_owned(),
        before: json!({}),
        after,
        at: now,
    };
    tx.note(note).await?;
    tx.commit().await?;
    Ok(restored)
}
