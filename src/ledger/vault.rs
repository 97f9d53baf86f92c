//! Proof that the key for personal data is the one the ledger was begun with. What the proof is made of is not known here.

use super::Ledger;
use super::error::LedgerError;

impl Ledger {
    /// The proof that was kept first: this one, if there was none.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn vault_proof(&self, proof: &str) -> Result<String, LedgerError> {
        let failed = |source| LedgerError::of("looking for the proof of the key", source);
        let mut turn = self.turn("looking for the proof of the key").await?;
        let keep = sqlx::query("insert into vault (id, proof) values (1, $1) on conflict do nothing").bind(proof);
        keep.execute(turn.connection()).await.map_err(failed)?;
        let kept = sqlx::query_scalar("select proof from vault where id = 1");
        let kept = kept.fetch_one(turn.connection()).await.map_err(failed)?;
        turn.commit().await?;
        Ok(kept)
    }
}
