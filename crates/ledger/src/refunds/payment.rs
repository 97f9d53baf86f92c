//! Payments that refunds take from: what was paid, and that all refunds together do not exceed it.
//!
//! What counts is the sum of the items' amounts in every state in which money may have moved or be
//! moving. It is checked, and the item is noted as taking from the payment, in one transaction
//! before anything is sent.

use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::Ledger;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::claimed_item::Claimed;
use crate::items::item_rows::{amount_in, amount_of};
use crate::items::run_withdrawal::of_withdrawn_run;
use payrun_domain::history::EventKind;
use payrun_domain::ids::KeyHash;
use payrun_domain::money::Amount;
use payrun_domain::time::Timestamp;

/// A payment as a gateway shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The merchant's number.
    pub order_no: String,
    /// The gateway's.
    pub transaction_id: String,
    /// What was paid.
    pub amount: Amount,
    /// What a later lookup said was paid, where that differs: a person has to find out which is
    /// so.
    pub other: Option<Amount>,
}

/// What is to be taken from a payment.
#[derive(Debug, Clone, Copy)]
pub struct RefundReservation<'a> {
    /// From which.
    pub payment: &'a Payment,
    /// Fingerprint of the account.
    pub account: KeyHash,
    /// How long to leave between two.
    pub interval: Duration,
    /// When.
    pub now: Timestamp,
}

/// An item that declared a payment to customs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeclaredItem {
    /// The item.
    pub item_id: i64,
    /// Whether it is of a sub-order, with amounts.
    pub is_split: bool,
}

/// Whether there is room in a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundCapacity {
    /// The item may be sent: it counts against the payment from now on.
    Taken,
    /// All together would exceed what was paid.
    Exceeded,
    /// Another is being sent.
    Busy,
    /// It is not known what became of another, which is asked about at this instant.
    Unknown(Option<Timestamp>),
    /// The gateway had the last one too shortly before; from this instant on it may be sent.
    TooSoon(Timestamp),
}

impl Ledger {
    /// The payment of this number, as it was looked up before.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn payment(
        &self,
        account: KeyHash,
        order_no: Option<&str>,
        transaction_id: Option<&str>,
    ) -> Result<Option<Payment>, LedgerError> {
        let failed = |source| LedgerError::of("looking for a payment", source);
        let query = format!(
            "select {PAYMENT_COLUMNS} from payments as p \
             where p.account = $1 and (p.transaction_id = $2 or ($2 is null and p.order_no = $3)) limit 1"
        );
        let found = sqlx::query(AssertSqlSafe(query))
            .bind(account.as_bytes().to_vec())
            .bind(transaction_id)
            .bind(order_no)
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?;
        found.as_ref().map(payment_row).transpose()
    }

    /// Whether a person has had an item tried again since its payment was looked up for it last.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn is_to_look_up_again(&self, item_id: i64) -> Result<bool, LedgerError> {
        let query = "select coalesce(max(case when event = $2 then version end), 0) \
                       - coalesce(max(case when event = $3 then version end), 0) from events where item_id = $1";
        let since = sqlx::query_scalar::<_, i64>(query)
            .bind(item_id)
            .bind(EventKind::Retry.as_str())
            .bind(EventKind::LookedUp.as_str())
            .fetch_one(&self.read)
            .await;
        since
            .map(|since| since > 0)
            .map_err(|source| LedgerError::of("looking for a lookup", source))
    }

    /// Remembers what a lookup says of a payment, and says what is known of it then; none if the
    /// ledger has another payment under one of its two numbers.
    ///
    /// What was said first stays. Another amount is kept beside it, until a person has had the
    /// payment looked up again (`for_person`) and one of the two was said once more.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn record_payment(
        &self,
        account: KeyHash,
        payment: &Payment,
        for_person: bool,
        now: Timestamp,
    ) -> Result<Option<Payment>, LedgerError> {
        let failed = |source| LedgerError::of("remembering a payment", source);
        let mut tx = self.begin_write("remembering a payment").await?;
        let insert = "insert into payments (account, order_no, transaction_id, amount, currency, seen_at) \
                      values ($1, $2, $3, $4, $5, $6) on conflict do nothing";
        sqlx::query(insert)
            .bind(account.as_bytes().to_vec())
            .bind(&payment.order_no)
            .bind(&payment.transaction_id)
            .bind(payment.amount.minor())
            .bind(payment.amount.currency().code())
            .bind(now.millis())
            .execute(tx.connection())
            .await
            .map_err(failed)?;
        let known = "select id, order_no, transaction_id, amount, currency, conflicting_amount, conflicting_currency from payments \
                     where account = $1 and order_no = $2 and transaction_id = $3";
        let known = sqlx::query(known)
            .bind(account.as_bytes().to_vec())
            .bind(&payment.order_no)
            .bind(&payment.transaction_id)
            .fetch_optional(tx.connection())
            .await
            .map_err(failed)?;
        let Some(row) = known else {
            tx.rollback().await?;
            return Ok(None);
        };
        let known = with_paid_amount(payment_row(&row)?, payment.amount, for_person);
        sqlx::query(
            "update payments set amount = $2, currency = $3, conflicting_amount = $4, conflicting_currency = $5, seen_at = $6 \
             where id = $1",
        )
        .bind(row.try_get::<i64, _>("id").map_err(failed)?)
        .bind(known.amount.minor())
        .bind(known.amount.currency().code())
        .bind(known.other.map(Amount::minor))
        .bind(known.other.map(|other| other.currency().code().to_owned()))
        .bind(now.millis())
        .execute(tx.connection())
        .await
        .map_err(failed)?;
        tx.commit().await?;
        Ok(Some(known))
    }

    /// The items that declared a payment of an account to customs, or modified or repeated that,
    /// oldest first: those whose key begins with the payment's number, as the job kinds make it.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn declarations_of(
        &self,
        lane: &str,
        order_no: &str,
        limit: u32,
    ) -> Result<Vec<DeclaredItem>, LedgerError> {
        let failed = |source| LedgerError::of("looking for declarations of a payment", source);
        // `0` follows `/` in every collation by bytes.
        let query = "select i.id, i.key from items as i join jobs as j on j.id = i.job_id \
                     where i.key >= $1 and i.key < $2 and i.state in ('succeeded', 'pending', 'unknown', 'needs_review') \
                       and j.kind in ('declare', 'redeclare') and j.lane = $3 \
                     order by i.id limit $4";
        let prefix = format!("{order_no}/");
        let found = sqlx::query(query)
            .bind(prefix.clone())
            .bind(format!("{order_no}0"));
        let rows = found
            .bind(lane)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let declared = |row: &AnyRow| {
            let key: &str = row.try_get(1)?;
            Ok(DeclaredItem {
                item_id: row.try_get(0)?,
                is_split: !key[prefix.len()..].starts_with('/'),
            })
        };
        rows.iter()
            .map(declared)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// Whether a refund of the payment of this number was made here, or may have been.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn is_refunded(&self, account: KeyHash, order_no: &str) -> Result<bool, LedgerError> {
        // Every refund looks its payment up first.
        let Some(payment) = self.payment(account, Some(order_no), None).await? else {
            return Ok(false);
        };
        let query = "select count(*) from items where refunded_payment = $1 \
                     and state in ('sending', 'pending', 'unknown', 'needs_review', 'succeeded')";
        let taken = fingerprint(account, &payment.transaction_id)
            .as_bytes()
            .to_vec();
        let taken = sqlx::query_scalar::<_, i64>(query)
            .bind(taken)
            .fetch_one(&self.read)
            .await;
        taken
            .map(|taken| taken > 0)
            .map_err(|source| LedgerError::of("looking for refunds of a payment", source))
    }

    /// Notes that an item takes from a payment, if there is room.
    ///
    /// # Errors
    /// Whatever the database says; then nothing may be sent.
    pub async fn reserve_refund(
        &self,
        claimed: &Claimed,
        taking: RefundReservation<'_>,
    ) -> Result<RefundCapacity, LedgerError> {
        let mut tx = self.begin_write("taking from a payment").await?;
        let room = room(&mut tx, claimed, taking).await?;
        if room == RefundCapacity::Taken {
            tx.commit().await
        } else {
            tx.rollback().await
        }
        .map(|()| room)
    }
}

/// What is known of a payment when it is said that so much was paid.
fn with_paid_amount(known: Payment, amount: Amount, for_person: bool) -> Payment {
    let other = match known.other {
        None => Some(amount).filter(|amount| *amount != known.amount),
        Some(other) if for_person && (amount == other || amount == known.amount) => {
            return Payment {
                amount,
                other: None,
                ..known
            };
        }
        Some(other) if amount == known.amount => Some(other),
        Some(_) => Some(amount),
    };
    Payment { other, ..known }
}

/// Items of the same payment: how much they are, whether one is under way, and when it was known of
/// the last that the gateway had it: by the reply to it, or, where that was lost, by what told of
/// it later.
const OTHERS: &str = include_str!("refunds_of_payment.sql");

/// Of what its amount counts against its payment: money may have moved, or be moving.
pub(crate) const COUNTS: &str = "(items.state in ('sending', 'pending', 'unknown', 'needs_review', 'succeeded') \
    or exists (select 1 from events as e where e.item_id = items.id and e.alarm = 'money_moved'))";

/// What is known of a payment.
pub(crate) const PAYMENT_COLUMNS: &str = "p.id, p.order_no, p.transaction_id, p.amount, p.currency, p.conflicting_amount, p.conflicting_currency";

/// The interval between two refunds is longer by this part of it, since the clocks of nodes differ,
/// and a gateway may count in whole seconds.
const MARGIN: u32 = 20;

async fn room(
    tx: &mut WriteTx,
    claimed: &Claimed,
    taking: RefundReservation<'_>,
) -> Result<RefundCapacity, LedgerError> {
    let failed = |source| LedgerError::of("taking from a payment", source);
    let fingerprint = fingerprint(taking.account, &taking.payment.transaction_id);
    let others = format!("{OTHERS} and {COUNTS}");
    let row = sqlx::query(AssertSqlSafe(others))
        .bind(fingerprint.as_bytes().to_vec())
        .bind(claimed.id())
        .fetch_one(tx.connection())
        .await
        .map_err(failed)?;
    let (sum, busy): (i64, i64) = (
        row.try_get("sum").map_err(failed)?,
        row.try_get("busy").map_err(failed)?,
    );
    let without_amount: Option<i64> = row.try_get("without_amount").map_err(failed)?;
    if let Some(item) = without_amount {
        return Err(LedgerError::corrupt("items", item, "amount"));
    }
    let last: Option<i64> = row.try_get("last").map_err(failed)?;
    let unknown: i64 = row.try_get("unknown").map_err(failed)?;
    #[cfg(feature = "mutation")]
    let (sum, busy, unknown) = {
        let of = (fingerprint.as_bytes().as_slice(), claimed.id());
        crate::mutation::other_refunds(tx, (sum, busy, unknown), of).await?
    };
    if busy > 0 || unknown > 0 {
        let asked_at: Option<i64> = row.try_get("asked_at").map_err(failed)?;
        return Ok(if busy > 0 {
            RefundCapacity::Busy
        } else {
            RefundCapacity::Unknown(asked_at.map(Timestamp::from_millis))
        });
    }
    let apart = taking.interval + taking.interval / MARGIN;
    let free = last.map(|last| Timestamp::from_millis(last).plus(apart));
    if let Some(until) = free.filter(|until| *until > taking.now) {
        return Ok(RefundCapacity::TooSoon(until));
    }
    let ours = claimed.amount().map_or(0, Amount::minor);
    let exceeds = sum.saturating_add(ours) > taking.payment.amount.minor();
    #[cfg(feature = "mutation")]
    let exceeds = crate::mutation::exceeds(exceeds);
    if exceeds {
        return Ok(RefundCapacity::Exceeded);
    }
    let noted = sqlx::query(concat!(
        "update items set refunded_payment = $1 where id = $2 and version = $3 and state = 'sending' and withdrawn is null and not ",
        of_withdrawn_run!("items")
    ))
    .bind(fingerprint.as_bytes().to_vec())
    .bind(claimed.id())
    .bind(claimed.version())
    .execute(tx.connection())
    .await
    .map_err(failed)?;
    // The claim is no longer ours, since the lease has run out; or a person has just withdrawn the
    // item.
    Ok(if noted.rows_affected() == 1 {
        RefundCapacity::Taken
    } else {
        RefundCapacity::Busy
    })
}

/// Of a payment: what the items that take from it have in common.
pub(crate) fn fingerprint(account: KeyHash, transaction_id: &str) -> KeyHash {
    let account = hex::encode(account.as_bytes());
    KeyHash::of(&account, "payment", transaction_id)
}

pub(crate) fn payment_row(row: &AnyRow) -> Result<Payment, LedgerError> {
    let failed = |source| LedgerError::of("reading a payment", source);
    let id: i64 = row.try_get("id").map_err(failed)?;
    let corrupt = || LedgerError::corrupt("payments", id, "amount");
    Ok(Payment {
        order_no: row.try_get("order_no").map_err(failed)?,
        transaction_id: row.try_get("transaction_id").map_err(failed)?,
        amount: amount_of(row, id)?.ok_or_else(corrupt)?,
        other: amount_in(row, id, ("conflicting_amount", "conflicting_currency"))?,
    })
}
