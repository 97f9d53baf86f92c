//! From a rendered row to an item: within what its key may happen once, under which numbers, and
//! its personal data sealed.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::Engine;
use crate::references::ReferenceKey;
use crate::vault::{StoredInputError, Vault, VaultError, open_input, open_stored};
use payrun_domain::ids::{KEY_MAX, KeyHash, OrderNumber};
use payrun_domain::message::Message;
use payrun_domain::text::searchable;
use payrun_ledger::{
    ItemPart, ItemReference, NewItem, PaymentNames, RejectedRow, ReplacementCheck,
};
use payrun_project::job_kinds::{JobKind, Operations};
use payrun_project::workflow::Job;
use payrun_project::workflow::render::{PersonalValues, RenderedItem, RowNames};

/// The longest order number of the user's own behind which a generation may come to stand: 32 less
/// a dash and up to four digits.
const OWN_NUMBER_MAX: usize = OrderNumber::MAX - 5;

/// Within what a key may happen at most once.
pub(crate) struct ItemBuilder {
    /// As the gateway tells accounts apart: another name for it in the configuration makes it no
    /// other account.
    account: String,
    kind: Arc<JobKind>,
    /// Set for kinds without effect: they may be done again in every run.
    run: Option<String>,
    /// The field of which one value is in flight once.
    one_at_a_time: String,
    /// Why a generation may come to stand behind an order number; none where none can.
    generations: Option<Message>,
    /// Whether the gateway finds a part by its number alone.
    own_parts: bool,
    /// Seals personal data.
    vault: Option<Arc<Vault>>,
    /// Searchable columns that may be personal, and what hashes them.
    hashed: BTreeSet<String>,
    reference_key: Option<Arc<ReferenceKey>>,
}

impl ItemBuilder {
    pub(crate) fn of(job: &Job, run_id: i64, engine: &Engine) -> Self {
        let operations = engine
            .accounts
            .get(&job.gateway)
            .and_then(|account| job.kind.gateways.get(account.kind));
        let generations = if !job.policy.dunning.is_empty() {
            Some(DUNNING)
        } else {
            let spends = operations.is_none_or(Operations::spends_numbers);
            spends.then_some(SPENT)
        };
        Self {
            generations,
            own_parts: job.kind.whole_or_parts.as_ref().is_some_and(|split| {
                operations.is_some_and(|operations| operations.named_by.contains(&split.part))
            }),
            account: engine
                .accounts
                .get(&job.gateway)
                .map_or(&job.gateway, |account| &account.identity)
                .clone(),
            vault: engine.vault.clone(),
            hashed: job
                .items
                .searchable
                .iter()
                .filter(|column| column.hashed)
                .map(|column| column.name.clone())
                .collect(),
            reference_key: engine.reference_key.get().cloned(),
            kind: Arc::clone(&job.kind),
            run: (!job.kind.effect).then(|| format!("{run_id}/{}", job.name)),
            one_at_a_time: job.kind.one_at_a_time.clone().unwrap_or_default(),
        }
    }

    /// The fingerprint of a key of something with an effect, or of the generation of it that does
    /// it again.
    pub(crate) fn key_of(&self, key: &str, generation: usize) -> KeyHash {
        match generation {
            1 => KeyHash::of(&self.account, &self.kind.name, key),
            _ => KeyHash::of(
                &self.account,
                &format!("{}/filed again {generation}", self.kind.name),
                key,
            ),
        }
    }

    /// The fingerprint of the key of a row that was refused; none for kinds that may be done again.
    pub(crate) fn refused_key(&self, key: &str) -> Option<KeyHash> {
        self.run.is_none().then(|| self.key_of(key, 1))
    }

    /// A row that makes no item, with what can be told of it.
    pub(crate) fn rejected(&self, line: u64, reason: Message, names: RowNames) -> RejectedRow {
        RejectedRow {
            key: names.key.unwrap_or_default(),
            order_number: names.order_number,
            references: self.references(&names.references).unwrap_or_default(),
            ..RejectedRow::of_line(line, reason)
        }
    }

    /// What seals personal data.
    pub(crate) fn vault(&self) -> Option<&Vault> {
        self.vault.as_deref()
    }

    /// An item's input, personal data opened.
    pub(crate) fn opened(
        &self,
        input: Map<String, Value>,
        key: KeyHash,
    ) -> Result<Map<String, Value>, VaultError> {
        open_input(self.vault(), input, &self.kind.fields, key)
    }

    /// The same of an item that stands in the ledger.
    pub(crate) fn opened_stored(
        &self,
        input: Map<String, Value>,
        item: (i64, KeyHash),
    ) -> Result<Map<String, Value>, StoredInputError> {
        open_stored(self.vault(), input, &self.kind.fields, item)
    }

    /// The item of a rendered row.
    pub(crate) fn item(&self, line: u64, rendered: RenderedItem) -> Result<NewItem, Message> {
        let key = rendered.key;
        if key.is_empty() || key.chars().count() > KEY_MAX {
            let wrong = Message::new(
                "key-length",
                "the key has {length} characters; it takes 1 to {most}",
            );
            return Err(wrong
                .with("length", key.chars().count())
                .with("most", KEY_MAX));
        }
        if let Some(number) = rendered
            .order_number
            .as_ref()
            .filter(|_| self.run.is_none())
        {
            fits_generations(number, self.generations.as_ref())?;
        }
        let key_hash = match &self.run {
            None => self.key_of(&key, 1),
            Some(run) => KeyHash::of(&self.account, &format!("{}/{run}", self.kind.name), &key),
        };
        Ok(NewItem {
            line,
            key_hash,
            content_hash: KeyHash::of(&self.account, &self.kind.name, &rendered.identity),
            exclusive_key: rendered
                .exclusive_key
                .map(|value| KeyHash::one_at_a_time(&self.account, &self.one_at_a_time, &value)),
            // A lookup's number belongs to an order of somebody else's; it is no claim to that
            // number.
            custom_order_no: rendered.order_number.filter(|_| self.run.is_none()),
            amount: rendered.amount,
            shared: rendered.shared,
            payment: rendered
                .payment
                .and_then(|numbers| self.payment(numbers, rendered.part.as_deref())),
            part: rendered.part.and_then(|values| self.part(values)),
            again: ReplacementCheck::Never,
            references: self.references(&rendered.references)?,
            input: self.sealed(rendered.input, &rendered.private, key_hash)?,
            key,
        })
    }
}

impl ItemBuilder {
    /// What an item is for, where that is a whole or a part of one.
    fn part(&self, values: Vec<String>) -> Option<ItemPart> {
        let split = self.kind.whole_or_parts.as_ref()?;
        let whole: Vec<&str> = values
            .iter()
            .map(String::as_str)
            .take(split.of.len())
            .collect();
        Some(ItemPart {
            of: KeyHash::part_of(&self.account, &split.of, &whole),
            fields: split.of.iter().chain([&split.part]).cloned().collect(),
            values,
            once: self.kind.redo_with.is_some(),
        })
    }

    /// The payment that an item is of, where its kind names it by two numbers.
    fn payment(&self, numbers: [String; 2], part: Option<&[String]>) -> Option<PaymentNames> {
        let names = self.kind.payment_names.as_ref()?;
        Some(PaymentNames {
            account: self.account.clone(),
            fields: [names.ours.clone(), names.theirs.clone()],
            numbers,
            part: part.and_then(|values| self.own_part(&names.ours, values)),
        })
    }

    /// What the part is called where the gateway finds it by its number alone: without the payment.
    fn own_part(&self, payment: &str, values: &[String]) -> Option<Vec<String>> {
        let split = self.kind.whole_or_parts.as_ref()?;
        let name = values.last().filter(|name| !name.is_empty())?;
        if !self.own_parts {
            return None;
        }
        let beside = split.of.iter().zip(values);
        let beside = beside.filter(|(field, _)| *field != payment);
        Some(
            beside
                .map(|(_, value)| value)
                .chain([name])
                .cloned()
                .collect(),
        )
    }

    /// By what else the item is found: what may be personal as a keyed hash.
    fn references(&self, values: &PersonalValues) -> Result<Vec<ItemReference>, Message> {
        let reference = |(column, value): (&str, &str)| {
            let hashed = self.hashed.contains(column);
            let text = match (hashed, &self.reference_key) {
                (false, _) => searchable(value),
                (true, Some(key)) => key.hash(value),
                (true, None) => return Err(VaultError::NoVault.message()),
            };
            Ok(ItemReference {
                column: column.to_owned(),
                text,
                hashed,
            })
        };
        values.iter().map(reference).collect()
    }

    /// The input with personal data in it, sealed.
    fn sealed(
        &self,
        input: String,
        private: &PersonalValues,
        key: KeyHash,
    ) -> Result<String, Message> {
        if private.is_empty() {
            return Ok(input);
        }
        let vault = self.vault.as_ref().ok_or(VaultError::NoVault);
        vault
            .and_then(|vault| vault.seal_into(input, private, key))
            .map_err(|error| error.message())
    }
}

/// What is put behind an order number of the user's.
const DUNNING: Message = Message::new(
    "number-dunning",
    "a dunning step is put behind it (dunning: [] in the workflow leaves none)",
);
const SPENT: Message = Message::new(
    "number-spent",
    "the gateway may want another number when it is tried again, which is put behind it",
);

/// A number of the user's must leave room for a generation that may be put behind it, and must not
/// look as if it had one.
fn fits_generations(number: &OrderNumber, generations: Option<&Message>) -> Result<(), Message> {
    let text = number.as_str();
    if let Some(why) = generations.filter(|_| text.len() > OWN_NUMBER_MAX) {
        let longer = Message::new(
            "order-number-no-room",
            "the order number has {length} characters; here one of your own may have {own} of the gateway's {most}, since {why}",
        );
        return Err(longer
            .with("length", text.len())
            .with("own", OWN_NUMBER_MAX)
            .with("most", OrderNumber::MAX)
            .with("why", why.clone()));
    }
    let step = text
        .rsplit_once('-')
        .is_some_and(|(_, end)| !end.is_empty() && end.bytes().all(|b| b.is_ascii_digit()));
    if step {
        return Err(Message::new(
            "order-number-like-dunning",
            "the order number ends in a dash and digits, which is how dunning steps are told apart",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use payrun_project::job_kinds::JobKinds;

    #[test]
    fn a_number_of_ones_own_may_have_all_characters_where_no_generation_follows() {
        let number = OrderNumber::parse(&"n".repeat(OrderNumber::MAX)).unwrap();
        assert_eq!(fits_generations(&number, None), Ok(()));
        let refused = fits_generations(&number, Some(&DUNNING))
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("may have 27 of the gateway's 32, since a dunning step"),
            "{refused}"
        );
        let short = OrderNumber::parse(&"n".repeat(27)).unwrap();
        assert_eq!(fits_generations(&short, Some(&DUNNING)), Ok(()));
    }

    #[test]
    fn only_a_refusal_that_spends_the_number_lets_another_one_follow() {
        let job_kinds = JobKinds::built_in();
        let spends =
            |kind: &str, gateway: &str| job_kinds.by_name[kind].gateways[gateway].spends_numbers();
        assert!(spends("deduct", "wechat") && spends("pay", "egms") && spends("refund", "hipopay"));
        assert!(
            !spends("refund", "wechat")
                && !spends("declare", "wechat")
                && !spends("cancel", "egms")
        );
    }
}
