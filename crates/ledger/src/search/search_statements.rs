//! The statements by which things are looked for. Each goes by one index; a test holds each to it.

use serde::Serialize;

use super::MatchedBy;

/// Each account once: from one to the next by the index, however many jobs there are.
pub(super) const ACCOUNTS: &str = "\
    with recursive seen (account) as (select min(account) from jobs where account is not null union all \
      select (select min(j.account) from jobs as j where j.account > seen.account) from seen where seen.account is not null) \
    select account from seen where account is not null limit 1000";

/// One way of looking, by one index: of each item its id, and what of it.
pub(super) struct SearchWay {
    pub name: &'static str,
    statement: &'static str,
    pub matched_by: fn(String) -> MatchedBy,
}

/// What [`ways`] joins. Each reads `$7` rows at most. `$1` is the text, `$2` what comes after all that begin with it, `$3`
/// [`ExclusiveField`]s, `$4` the text as references are kept, `$5` what comes after all that begin with that,
/// `$6` its keyed hash; what is null finds nothing.
pub(super) const WAYS: [SearchWay; 8] = [
    SearchWay {
        name: "key",
        statement: "select id, '' as what from items where key = $1 order by id desc limit $7",
        matched_by: |_| MatchedBy::Key,
    },
    SearchWay {
        name: "receipt",
        statement: "select id, '' as what from items where receipt = $1 and receipt is not null order by id desc limit $7",
        matched_by: |_| MatchedBy::Receipt,
    },
    SearchWay {
        name: "gateway_number",
        statement: "select item_id as id, name as what from gateway_numbers where number = $1 order by item_id desc limit $7",
        matched_by: |name| MatchedBy::GatewayNumber { name },
    },
    // `cross join`: the list first, then what it names by an index.
    SearchWay {
        name: "exclusive_key",
        statement: "select i.id, k.value ->> 'field' as what from json_each($3) as k cross join items as i \
            where i.exclusive_key = unhex(k.value ->> 'exclusive_key') and i.exclusive_key is not null and i.key_hash is not null \
            order by i.id desc limit $7",
        matched_by: |field| MatchedBy::Exclusive { field },
    },
    SearchWay {
        name: "reference",
        statement: "select item_id as id, name as what from item_references where hashed = 0 and text = $4 \
            order by item_id desc limit $7",
        matched_by: |column| MatchedBy::Reference { column },
    },
    SearchWay {
        name: "personal_reference",
        statement: "select item_id as id, name as what from item_references where hashed = 1 and text = $6 \
            order by item_id desc limit $7",
        matched_by: |column| MatchedBy::Reference { column },
    },
    // In the order of the keys: by their age all that begin so would have to be sorted.
    SearchWay {
        name: "key_beginning",
        statement: "select id, '' as what from items where key > $1 and key < $2 order by key limit $7",
        matched_by: |_| MatchedBy::KeyBeginning,
    },
    SearchWay {
        name: "reference_beginning",
        statement: "select item_id as id, name as what from item_references where hashed = 0 and text > $4 and text < $5 \
            order by text limit $7",
        matched_by: |column| MatchedBy::ReferenceBeginning { column },
    },
];

/// All ways in one statement: one round trip.
pub(super) fn ways() -> String {
    let all = WAYS.map(|way| {
        let SearchWay {
            name, statement, ..
        } = way;
        format!("select '{name}' as way, id, what from ({statement}) as found")
    });
    all.join(" union all ")
}

/// Items whose derived number, or whose own number of the user's, the text may be.
// `cross join`: the list first, then what it names by an index.
pub(super) const BY_NUMBER: &str = "\
    select i.id, i.key_hash, i.custom_order_no, i.generation from items as i where i.key_hash = unhex($1) union all \
    select i.id, i.key_hash, i.custom_order_no, i.generation from json_each($2) as n cross join items as i \
    where i.custom_order_no = n.atom";

/// A fingerprint that a text may have, and the field that it is of.
#[derive(Serialize)]
pub(super) struct ExclusiveField<'a> {
    pub exclusive_key: String,
    pub field: &'a str,
}

/// The gateway's numbers of payments that were looked up under the merchant's: `$1` accounts, `$2`
/// the number.
// `cross join`: the list first, then what it names by an index.
pub(super) const PAYMENTS: &str = "\
    select k.atom, p.transaction_id from json_each($1) as k cross join payments as p \
    where p.account = unhex(k.atom) and p.order_no = $2 limit 1000";

// `cross join`: as above.
pub(super) const BY_REFUNDED_PAYMENT: &str = "\
    select i.id, '' as what from json_each($1) as k cross join items as i \
    where i.refunded_payment = unhex(k.atom) and i.refunded_payment is not null order by i.id desc limit $2";

/// What was sent of an amount in a span of time. Only so many are looked at before the account is
/// compared: another account may have sent as much as often.
// `cross join`: what was sent first, then the job of each.
pub(super) const SENT: &str = "\
    select sent.id, j.lane as what from \
      (select id, job_id, sent_at from items where currency = $1 and amount = $2 and sent_at >= $3 and sent_at < $4 \
         and sent_at is not null order by sent_at desc limit $5) as sent \
    cross join jobs as j where j.id = sent.job_id order by sent.sent_at desc";

pub(super) const CONTRACTS: &str =
    "select contract, account, state from contracts where contract = $1 order by id desc limit 500";

/// Lines with the text as one of their numbers, by its column, the newest statement first.
pub(super) fn lines() -> String {
    let one = |column: &str| {
        // `cross join`: the lines by the index of that number first, then the statement of each.
        format!(
            "select s.lane, s.day, l.*, '{column}' as what from statement_lines as l cross join statements as s \
             where l.{column} = $1 and l.{column} <> '' and s.id = l.statement_id and s.pruned_at is null \
               and ($2 is null or s.lane = $2) and s.day between $3 and $4"
        )
    };
    let all = ["order_no", "transaction_id", "refund_no", "refund_id"].map(one);
    format!(
        "select * from ({}) as found order by day desc, line limit $5",
        all.join(" union all ")
    )
}

/// Items with these derived numbers, numbers of the user's, or receipts (the gateway's numbers).
pub(super) const OF_LINES: &str = include_str!("items_of_lines.sql");

pub(super) const RUNS: &str = include_str!("runs_of_workflow.sql");

/// Which of these items are meant, the newest first by when they were sent, or else planned; and how
/// many in all. On a day is what was sent or asked then, and what was planned then and never sent.
pub(super) const MEANT: &str = include_str!("order_found_items.sql");

// `cross join`: the list first, then what it names by an index.
pub(super) const FOUND: &str = "\
    select i.*, j.run_id, j.name as job, j.lane, j.kind, j.file as job_file, r.workflow, r.started_at as planned_at from json_each($1) as k \
    cross join items as i cross join jobs as j cross join runs as r \
    where i.id = cast(k.atom as bigint) and j.id = i.job_id and r.id = j.run_id";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{place, steps};

    /// The steps of a statement, none of which reads a whole table.
    async fn searched(statement: &str) -> Vec<String> {
        let steps = steps(statement).await;
        // What is scanned is a list, or what a part of the statement has found.
        let is_found = |step: &&String| {
            step.contains("VIRTUAL TABLE")
                || step.starts_with("SCAN (subquery")
                || ["SCAN seen", "SCAN sent", "SCAN found", "SCAN CONSTANT ROW"]
                    .contains(&step.as_str())
        };
        let scans = |step: &&String| step.starts_with("SCAN") && !is_found(step);
        assert_eq!(steps.iter().find(scans), None, "{steps:#?}");
        steps
    }

    #[tokio::test]
    async fn every_way_of_looking_goes_by_its_index_and_reads_no_table_as_a_whole() {
        let cases = [
            (
                ACCOUNTS,
                "j USING COVERING INDEX jobs_by_account (account>?)",
            ),
            (BY_NUMBER, "i USING INDEX items_key (key_hash=?)"),
            (
                BY_NUMBER,
                "i USING INDEX items_custom_order_no (custom_order_no=?)",
            ),
            (
                PAYMENTS,
                "p USING INDEX sqlite_autoindex_payments_1 (account=? AND order_no=?)",
            ),
            (
                BY_REFUNDED_PAYMENT,
                "i USING COVERING INDEX items_refunded_payment (refunded_payment=?)",
            ),
            (
                SENT,
                "items USING COVERING INDEX items_sent (currency=? AND amount=? AND sent_at>? AND sent_at<?)",
            ),
            (
                CONTRACTS,
                "contracts USING INDEX sqlite_autoindex_contracts_1 (contract=?)",
            ),
            (OF_LINES, "i USING INDEX items_key (key_hash=?)"),
            (
                OF_LINES,
                "i USING INDEX items_custom_order_no (custom_order_no=?)",
            ),
            (OF_LINES, "i USING INDEX items_receipt (receipt=?)"),
            (
                RUNS,
                "runs USING INDEX runs_of_workflow (workflow=? AND started_at>? AND started_at<?)",
            ),
            (MEANT, "i USING INTEGER PRIMARY KEY (rowid=?)"),
            (
                MEANT,
                "a USING INDEX sqlite_autoindex_attempts_1 (item_id=?)",
            ),
            (FOUND, "i USING INTEGER PRIMARY KEY (rowid=?)"),
        ];
        for (statement, step) in cases {
            place(&searched(statement).await, step);
        }
        let steps = searched(&ways()).await;
        for step in [
            "items USING COVERING INDEX items_by_key (key=?)",
            "items USING COVERING INDEX items_receipt (receipt=?)",
            "USING COVERING INDEX gateway_numbers_by_number (number=?)",
            "i USING INDEX items_of_contract (exclusive_key=?)",
            "USING COVERING INDEX item_references_by_text (hashed=? AND text=?)",
            "items USING COVERING INDEX items_by_key (key>? AND key<?)",
            "USING COVERING INDEX item_references_by_text (hashed=? AND text>? AND text<?)",
        ] {
            place(&steps, step);
        }
        let found = searched(&lines()).await;
        for index in [
            "statement_lines_by_order (order_no=?)",
            "statement_lines_by_transaction (transaction_id=?)",
            "statement_lines_by_refund (refund_no=?)",
            "statement_lines_by_refund_id (refund_id=?)",
        ] {
            place(&found, &format!("l USING INDEX {index}"));
        }
    }
}
