//! From a rendered row to an item: within what its key may happen once, under which numbers, and its personal data sealed.

use std::sync::Arc;

use super::Engine;
use super::vault::Vault;
use crate::domain::ids::{KEY_MAX, KeyHash, OrderNumber};
use crate::ledger::NewItem;
use crate::workflow::Job;
use crate::workflow::render::{Private, Rendered};

/// The longest order number of the user's own: 32 less a dash and up to four digits.
const OWN_NUMBER_MAX: usize = OrderNumber::MAX - 5;

/// Within what a key may happen at most once.
pub(super) struct Scope {
    /// As the gateway tells accounts apart: another name for it in the configuration makes it no other account.
    account: String,
    kind: String,
    /// Set for kinds without effect: they may be done again in every run.
    run: Option<String>,
    /// The field of which one value is in flight once.
    serial: String,
    /// Seals personal data.
    vault: Option<Arc<Vault>>,
}

impl Scope {
    pub(super) fn of(job: &Job, run_id: i64, engine: &Engine) -> Self {
        Self {
            account: engine.accounts.get(&job.gateway).map_or(&job.gateway, |account| &account.identity).clone(),
            vault: engine.vault.clone(),
            kind: job.kind.name.clone(),
            run: (!job.kind.effect).then(|| format!("{run_id}/{}", job.name)),
            serial: job.kind.one_at_a_time.clone().unwrap_or_default(),
        }
    }

    /// The item of a rendered row.
    pub(super) fn item(&self, line: u64, rendered: Rendered) -> Result<NewItem, String> {
        let key = rendered.key;
        if key.is_empty() || key.chars().count() > KEY_MAX {
            return Err(format!("the key has {} characters; 1 to {KEY_MAX} are possible", key.chars().count()));
        }
        if let Some(number) = rendered.order_number.as_ref().filter(|_| self.run.is_none()) {
            fits_generations(number)?;
        }
        let key_hash = match &self.run {
            None => KeyHash::of(&self.account, &self.kind, &key),
            Some(run) => KeyHash::of(&self.account, &format!("{}/{run}", self.kind), &key),
        };
        Ok(NewItem {
            line,
            key_hash,
            identity: KeyHash::of(&self.account, &self.kind, &rendered.identity),
            serial: rendered.serial.map(|value| serial(&self.account, &self.serial, &value)),
            // A look-up's number belongs to an order of somebody else's; it is no claim to that number.
            custom_no: rendered.order_number.filter(|_| self.run.is_none()),
            amount: rendered.amount,
            input: self.sealed(rendered.input, &rendered.private, key_hash)?,
            key,
        })
    }
}

/// The fingerprint of what may be in flight once at a time on an account: a value of this field.
pub(super) fn serial(account: &str, field: &str, value: &str) -> KeyHash {
    KeyHash::of(account, &format!("one at a time/{field}"), value)
}

impl Scope {
    /// The input with personal data in it, sealed.
    fn sealed(&self, input: String, private: &Private, key: KeyHash) -> Result<String, String> {
        if private.is_empty() {
            return Ok(input);
        }
        let vault = self.vault.as_ref().ok_or("personal data needs encryption_key in payrun.yaml")?;
        vault.seal_into(input, private, key).map_err(|error| error.to_string())
    }
}

/// A number of the user's must leave room for the generation that dunning puts behind it, and must not look like one.
fn fits_generations(number: &OrderNumber) -> Result<(), String> {
    let text = number.as_str();
    if text.len() > OWN_NUMBER_MAX {
        return Err(format!(
            "the order number has {} characters; one of your own may have {OWN_NUMBER_MAX}, since a dunning step is put behind it",
            text.len()
        ));
    }
    let step = text.rsplit_once('-').is_some_and(|(_, end)| !end.is_empty() && end.bytes().all(|b| b.is_ascii_digit()));
    if step {
        return Err("the order number ends in a dash and digits, which is how dunning steps are told apart".to_owned());
    }
    Ok(())
}
