//! Which headings of a file a person has said are which columns of a job.

use std::collections::BTreeMap;

use crate::Ledger;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use payrun_domain::ids::KeyHash;
use payrun_domain::time::Timestamp;

/// Headings by the columns that they are.
pub type ChosenColumns = BTreeMap<String, String>;

/// The files of a job that have one header.
#[derive(Debug, Clone, Copy)]
pub struct HeaderOfJob<'a> {
    /// The workflow's name.
    pub workflow: &'a str,
    /// The job's.
    pub job: &'a str,
    /// The headings, in their order.
    pub header: &'a [String],
}

impl HeaderOfJob<'_> {
    fn fingerprint(&self) -> Vec<u8> {
        // As JSON no two headers are spelt alike.
        let header = list(self.header);
        KeyHash::of(self.workflow, self.job, &header)
            .as_bytes()
            .to_vec()
    }
}

impl Ledger {
    /// What a person has said last of files with this header; none if nobody has.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if it cannot be read, and whatever the database says.
    pub async fn chosen_columns(
        &self,
        of: HeaderOfJob<'_>,
    ) -> Result<Option<ChosenColumns>, LedgerError> {
        let query =
            "select columns from column_mappings where workflow = $1 and job = $2 and header = $3";
        let found: Option<String> = sqlx::query_scalar(query)
            .bind(of.workflow.to_owned())
            .bind(of.job.to_owned())
            .bind(of.fingerprint())
            .fetch_optional(&self.read)
            .await
            .map_err(|source| LedgerError::of("reading the columns of a file", source))?;
        let read = |text: String| {
            serde_json::from_str(&text)
                .map_err(|_| LedgerError::corrupt("column_mappings", of.job, "columns"))
        };
        found.map(read).transpose()
    }

    /// Remembers what a person says of files with this header.
    ///
    /// # Errors
    /// Whatever the database says; then what was said before stands.
    pub async fn keep_chosen_columns(
        &self,
        of: HeaderOfJob<'_>,
        columns: &ChosenColumns,
        (person, now): (&str, Timestamp),
    ) -> Result<(), LedgerError> {
        const OPERATION: &str = "keeping the columns of a file";
        let mut tx = self.begin_write(OPERATION).await?;
        let keep = "insert into column_mappings (workflow, job, header, columns, person, at) values ($1, $2, $3, $4, $5, $6) \
                    on conflict (workflow, job, header) do update set columns = excluded.columns, person = excluded.person, at = excluded.at";
        sqlx::query(keep)
            .bind(of.workflow)
            .bind(of.job)
            .bind(of.fingerprint())
            .bind(serde_json::to_string(columns).unwrap_or_default())
            .bind(person)
            .bind(now.millis())
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of(OPERATION, source))?;
        tx.commit().await
    }
}
