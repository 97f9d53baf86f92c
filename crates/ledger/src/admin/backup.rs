//! A copy of a ledger in a file, made while it is at work: whole, checked, and fenced, so that
//! nobody works on it by mistake.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

use crate::Ledger;
use crate::db::location::{DatabaseLocation, DbKind, make_private, sibling_file};
use crate::error::LedgerError;
use payrun_domain::time::Timestamp;

/// How the fence of a backup ends, behind the name of its ledger.
pub(crate) const IS_BACKUP: &str = ", of which this is a backup";

/// What payrun knows of the backups of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastBackup {
    /// `payrun backup` has made none.
    None,
    /// The last one.
    At {
        /// Of which instant.
        at: Timestamp,
        /// The name of its file.
        file: String,
    },
    /// A server is backed up by its own tools, which payrun does not hear of.
    OfServer,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Whatever the database says.
    #[error("no backup was made")]
    Ledger(#[from] LedgerError),
    /// A server has tools of its own.
    #[error("the ledger is on a PostgreSQL server: pg_dump and the server's archive back it up")]
    Server,
    /// Nothing is written over.
    #[error("{} is there already", path.display())]
    There {
        /// The file.
        path: PathBuf,
    },
    /// The copy is not sound.
    #[error("the copy is damaged, and was removed: {found}")]
    Damaged {
        /// What was found.
        found: String,
    },
    /// The file system.
    #[error("{} cannot be written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Ledger {
    /// Copies the ledger as it is at this moment into a new file. Work goes on meanwhile.
    ///
    /// # Errors
    /// [`BackupError`]; then there is no file of that name.
    pub async fn back_up(&self, path: &Path, now: Timestamp) -> Result<u64, BackupError> {
        if self.location.db_kind != DbKind::Sqlite {
            return Err(BackupError::Server);
        }
        if path.exists() {
            return Err(BackupError::There {
                path: path.to_owned(),
            });
        }
        let failed = |source| BackupError::File {
            path: path.to_owned(),
            source,
        };
        let half = sibling_file(path, ".half");
        remove(&half).map_err(failed)?;
        copy(&mut self.location.connect().await?, &half).await?;
        if let Err(error) = checked(&half, self.name(), now).await {
            remove(&half).ok();
            return Err(error);
        }
        sync(&half).map_err(failed)?;
        std::fs::rename(&half, path).map_err(failed)?;
        sync(folder_of(path)).map_err(failed)?;
        let bytes = std::fs::metadata(path).map_err(failed)?.len();
        if let Err(error) = self.note_backup(path, bytes, now).await {
            tracing::warn!(error = %error, "the backup is made, and the ledger could not note it");
        }
        Ok(bytes)
    }

    async fn note_backup(&self, path: &Path, bytes: u64, at: Timestamp) -> Result<(), LedgerError> {
        let operation = "noting a backup";
        let name = path.file_name().unwrap_or_default();
        let mut tx = self.begin_write(operation).await?;
        sqlx::query("insert into backups (at, file, bytes) values ($1, $2, $3)")
            .bind(at.millis())
            .bind(name.to_string_lossy().into_owned())
            .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of(operation, source))?;
        tx.commit().await
    }

    /// The last backup that payrun has made of this ledger.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn last_backup(&self) -> Result<LastBackup, LedgerError> {
        if self.location.db_kind == DbKind::Postgres {
            return Ok(LastBackup::OfServer);
        }
        let failed = |source| LedgerError::of("reading the last backup", source);
        let row = sqlx::query("select at, file from backups order by at desc limit 1")
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?;
        let Some(row) = row else {
            return Ok(LastBackup::None);
        };
        Ok(LastBackup::At {
            at: Timestamp::from_millis(row.try_get("at").map_err(failed)?),
            file: row.try_get("file").map_err(failed)?,
        })
    }
}

/// Copies what a connection sees into a file that is not there.
pub(crate) async fn copy(connection: &mut AnyConnection, to: &Path) -> Result<(), LedgerError> {
    make_private(to);
    let text = to.display().to_string().replace('\'', "''");
    let copied = sqlx::raw_sql(AssertSqlSafe(format!("vacuum into '{text}'")))
        .execute(connection)
        .await;
    copied
        .map(|_| ())
        .map_err(|source| LedgerError::of("copying the ledger", source))
}

/// Looks whether a copy is sound, and fences it.
async fn checked(path: &Path, of: &str, now: Timestamp) -> Result<(), BackupError> {
    let copy = Ledger::open_fenced(path).await?;
    let found = copy.check().await?;
    if !found.is_empty() {
        return Err(BackupError::Damaged {
            found: found.join("; "),
        });
    }
    copy.fence(&format!("{of}{IS_BACKUP}"), now).await?;
    into_one_file(copy).await?;
    Ok(())
}

/// Closes a ledger that nobody else has open, and takes into its file what has not been taken into
/// it yet.
pub(crate) async fn into_one_file(copy: Ledger) -> Result<(), LedgerError> {
    let mut connection = copy.location.connect().await?;
    copy.close().await;
    let whole = sqlx::raw_sql("pragma wal_checkpoint(truncate); pragma journal_mode = delete")
        .execute(&mut connection)
        .await;
    whole
        .map(|_| ())
        .map_err(|source| LedgerError::of("closing the copy", source))
}

/// Keeps the file as it was before its schema is changed, beside it; nothing where no run was ever
/// planned.
pub(crate) async fn before_migration(
    location: &DatabaseLocation,
    connection: &mut AnyConnection,
    version: i64,
) -> Result<(), LedgerError> {
    let Some(file) = &location.file else {
        return Ok(());
    };
    let failed = |source| LedgerError::of("copying the ledger", source);
    if sqlx::query("select 1 from runs limit 1")
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?
        .is_none()
    {
        return Ok(());
    }
    // Of several processes each makes its own, and one of them stays.
    let half = sibling_file(file, &format!(".{:016x}", rand::random::<u64>()));
    copy(connection, &half).await?;
    let kept = sibling_file(file, &format!(".schema-{version}"));
    match schema_of(&half).await {
        // Another process has begun to migrate meanwhile: it has made its copy before.
        Ok(copied) if copied != version => remove(&half).ok(),
        Ok(_) => std::fs::rename(&half, &kept).ok(),
        Err(error) => {
            remove(&half).ok();
            return Err(error);
        }
    };
    tracing::info!(file = %kept.display(), "the ledger was copied before its schema is changed");
    Ok(())
}

/// The newest migration in a file.
async fn schema_of(file: &Path) -> Result<i64, LedgerError> {
    let mut connection = DatabaseLocation::file(file, Duration::ZERO)?
        .connect()
        .await?;
    let found = crate::db::schema::newest_migration(&mut connection).await?;
    connection
        .close()
        .await
        .map_err(|source| LedgerError::of("closing the copy", source))?;
    Ok(found)
}

fn remove(path: &Path) -> std::io::Result<()> {
    for ending in ["", "-wal", "-shm"] {
        match std::fs::remove_file(sibling_file(path, ending)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// The folder of a file; `.` for a bare name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

pub(crate) fn sync(path: &Path) -> std::io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}
