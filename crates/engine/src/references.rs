//! The key that personal references are hashed under: random, one for a ledger, sealed in it.
//!
//! A value that names a person is looked for by its keyed hash, since nothing else of it is kept in
//! a form that an index could find. The key is not `encryption_key` itself: when that changes,
//! `payrun reseal` seals this one again, and every hash stays as it is. It is made when the first
//! workflow is planned that needs it.

use std::sync::Arc;

use aws_lc_rs::hmac;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::Engine;
use crate::vault::VaultError;
use payrun_domain::text::searchable;
use payrun_ledger::LedgerError;
use payrun_project::workflow::Workflow;

/// How many bytes the key has.
const LENGTH: usize = 32;

/// How many bytes of a hash are kept.
const KEPT: usize = 16;

/// Hashes personal references. It prints nothing.
pub struct ReferenceKey(hmac::Key);

impl std::fmt::Debug for ReferenceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReferenceKey").finish_non_exhaustive()
    }
}

/// Why there is no key for references.
#[derive(Debug, Error)]
pub enum ReferenceKeyError {
    /// It cannot be sealed or opened.
    #[error("the key that references are hashed under cannot be used")]
    Vault(#[from] VaultError),
    /// The ledger.
    #[error("the key that references are hashed under cannot be read")]
    Ledger(#[from] LedgerError),
}

impl ReferenceKey {
    /// From the hex digits that are sealed.
    fn parse(digits: &str) -> Result<Self, VaultError> {
        let bytes = Zeroizing::new(hex::decode(digits).map_err(|_| VaultError::Open)?);
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The keyed hash of a value, in hex. Values that differ by blanks around them, case or width
    /// have the same.
    pub fn hash(&self, value: &str) -> String {
        let hash = hmac::sign(&self.0, searchable(value).as_bytes());
        hex::encode(&hash.as_ref()[..KEPT])
    }
}

impl Engine {
    /// The key that personal references of this ledger are hashed under; none where none was ever
    /// needed.
    ///
    /// # Errors
    /// [`ReferenceKeyError`].
    pub async fn reference_key(&self) -> Result<Option<Arc<ReferenceKey>>, ReferenceKeyError> {
        if let Some(key) = self.reference_key.get() {
            return Ok(Some(Arc::clone(key)));
        }
        match self.ledger.reference_key().await? {
            Some(sealed) => Ok(Some(self.open_reference_key(&sealed)?)),
            None => Ok(None),
        }
    }

    /// The same; it is made where a workflow needs it and there is none.
    pub(crate) async fn reference_key_for(
        &self,
        workflow: &Workflow,
    ) -> Result<(), ReferenceKeyError> {
        let mut jobs = workflow.jobs.iter();
        let is_needed = jobs.any(|job| job.items.searchable.iter().any(|column| column.hashed));
        if !is_needed || self.reference_key().await?.is_some() {
            return Ok(());
        }
        let vault = self.vault.as_ref().ok_or(VaultError::NoVault)?;
        let mut random = Zeroizing::new([0_u8; LENGTH]);
        aws_lc_rs::rand::fill(&mut *random).map_err(|_| VaultError::Seal)?;
        let sealed = vault.seal_reference_key(&Zeroizing::new(hex::encode(*random)))?;
        // Another process may have made one meanwhile.
        let kept = self.ledger.keep_reference_key(&sealed).await?;
        self.open_reference_key(&kept)?;
        Ok(())
    }

    fn open_reference_key(&self, sealed: &str) -> Result<Arc<ReferenceKey>, VaultError> {
        let vault = self.vault.as_ref().ok_or(VaultError::NoVault)?;
        let digits = Zeroizing::new(vault.open_reference_key(sealed)?);
        let key = Arc::new(ReferenceKey::parse(&digits)?);
        // Whoever was first has put the same one there.
        Ok(Arc::clone(self.reference_key.get_or_init(|| key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_alike_have_one_hash_and_another_key_has_others() {
        let key = |byte: u8| ReferenceKey::parse(&hex::encode([byte; LENGTH])).unwrap();
        let one = key(1);
        assert_eq!(
            one.hash("+852 5109 1234"),
            one.hash("\u{3000}+852 5109 1234 ")
        );
        assert_eq!(one.hash("Ｃ1"), one.hash("c1"));
        assert_ne!(one.hash("c1"), one.hash("c2"));
        assert_ne!(one.hash("c1"), key(2).hash("c1"));
        assert_eq!(one.hash("c1").len(), 2 * KEPT);
        assert!(!format!("{one:?}").contains("01"));
    }
}
