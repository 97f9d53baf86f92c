//! Each way of `payrun find` among ten million items, and what its indexes cost.
//!
//! `cargo bench --bench search -- [ITEMS] [LOOKS] [postgres://…]`. Items are put into the tables
//! directly: of a hundred runs, 1,000,000 contracts, a thousand amounts, two references each (one
//! as text, one as a hash), one in four sent 88.00 HKD, spread over a year. Every look is of an item
//! drawn by chance.

mod support;

use std::time::{Duration, Instant};

use payrun::clock::Clock;
use payrun::domain::ids::{KeyHash, OrderNumber};
use payrun::domain::money::{Amount, Currency};
use payrun::domain::time::Timestamp;
use payrun::ledger::{Ledger, SearchDays, SearchFilter, SearchQuery, SearchText, TimeSpan};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use support::queue::{claim_and_settle, plan_referring};

const RUNS: u64 = 100;

/// A year of milliseconds: the items are sent one after the other in it.
const YEAR: u64 = 365 * 86_400_000;

/// The contract that some items are given in the end, so that their fingerprint is known.
const CONTRACT: &str = "C-known";

const RUN_ROWS: &str = "\
    insert into runs (id, workflow, occurrence, source, params, started_at, finished_at) \
    select n, 'w', 'h' || n, '', '{}', (n - 1) * {step}, n * {step} from {numbers}";

const JOB_ROWS: &str = "\
    insert into jobs (id, run_id, name, kind, lane, account, needs, policy, started, finished_at, first_item, last_item) \
    select n, n, 'deduct', 'deduct', case when n % 10 = 0 then 'sg' else 'hk' end, 'account', '[]', '{}', 1, n * {step}, \
      (n - 1) * {per} + 1, n * {per} from {numbers}";

const ITEM_ROWS: &str = "\
    insert into items (job_id, line, key, key_hash, content_hash, exclusive_key, order_no, state, version, sent_at, amount, currency, \
      input, receipt) \
    select 1 + (n - 1) / {per}, n, 'C-' || (n % 1000000) || '/' || n, {hash}, {hash}, {hash}, 'order-' || n, 'succeeded', 2, \
      n * {apart}, case when n % 4 = 0 then 8800 else 3000 + n % 1000 end, 'HKD', \
      '{\"contract_id\":\"C-1\",\"description\":\"Membership\",\"merchant_category_code\":\"4900\"}', '4200000000' || n \
    from {numbers}";

const REFERENCE_ROWS: &str = "\
    insert into item_references (item_id, name, hashed, text) \
    select n, 'customer_no', 0, 'cust-' || (n % 1000000) from {numbers}";

const HASH_ROWS: &str = "\
    insert into item_references (item_id, name, hashed, text) select n, 'phone', 1, {digits} from {numbers}";

const LINE_ROWS: &str = "\
    insert into statement_lines (statement_id, line, kind, time, order_no, transaction_id, refund_no, refund_id, state, amount, currency) \
    select 1, n, 'payment', '', 'theirs-' || n, 'gateway-' || n, '', '', 'SUCCESS', 8800, 'HKD' from {numbers}";

const STATEMENT: &str = "\
    insert into statements (id, lane, day, sha256, location, lines, fetched_at) values (1, 'hk', '2026-03-03', '', '', 0, 0)";

fn filled(text: &str, server: bool, rows: u64, items: u64) -> String {
    let numbers = if server {
        format!("generate_series(1::bigint, {rows}::bigint) as s (n)")
    } else {
        format!(
            "(with recursive s (n) as (select 1 union all select n + 1 from s where n < {rows}) select n from s)"
        )
    };
    let (hash, digits) = if server {
        (
            "decode(md5(n::text || random()::text), 'hex')",
            "md5(n::text || random()::text)",
        )
    } else {
        ("randomblob(16)", "lower(hex(randomblob(16)))")
    };
    text.replace("{numbers}", &numbers)
        .replace("{per}", &(items / RUNS).max(1).to_string())
        .replace("{step}", &(YEAR / RUNS).to_string())
        .replace("{apart}", &(YEAR / items.max(1)).to_string())
        .replace("{hash}", hash)
        .replace("{digits}", digits)
}

/// Fills the tables; says how long each takes.
async fn fill(folder: &std::path::Path, items: u64) {
    let tables = [
        (RUN_ROWS, RUNS),
        (JOB_ROWS, RUNS),
        (ITEM_ROWS, items),
        (REFERENCE_ROWS, items),
        (HASH_ROWS, items),
        (STATEMENT, 1),
        (LINE_ROWS, items / 10),
    ];
    match support::server() {
        Some(address) => {
            let mut server = sqlx::PgConnection::connect(&address)
                .await
                .expect("the server");
            for (text, rows) in tables {
                let statement = filled(text, true, rows, items);
                server
                    .execute(AssertSqlSafe(statement))
                    .await
                    .expect("rows");
            }
            server.execute("vacuum analyze").await.expect("statistics");
        }
        None => {
            let mut file = open(folder).await;
            for (text, rows) in tables {
                let statement = filled(text, false, rows, items);
                file.execute(AssertSqlSafe(statement)).await.expect("rows");
            }
        }
    }
}

async fn open(folder: &std::path::Path) -> sqlx::SqliteConnection {
    let url = format!("sqlite://{}", folder.join("bench.db").display());
    sqlx::SqliteConnection::connect(&url)
        .await
        .expect("the file")
}

/// What is known of an item that was drawn.
struct SearchSubject {
    key: String,
    number: String,
    receipt: String,
    customer: String,
    hash: String,
}

/// Items drawn by chance; each is made one of the known contract.
async fn drawn(folder: &std::path::Path, items: u64, looks: u64) -> Vec<SearchSubject> {
    let contract =
        hex::encode(KeyHash::one_at_a_time("account", "contract_id", CONTRACT).as_bytes());
    let columns = "i.key, i.key_hash, i.receipt, p.text as customer, h.text as hash from items as i \
         join item_references as p on p.item_id = i.id and p.name = 'customer_no' \
         join item_references as h on h.item_id = i.id and h.name = 'phone'";
    let mut known = Vec::new();
    for look in 1..=looks {
        let id = 1 + look.wrapping_mul(0x9e37_79b9_7f4a_7c15) % items;
        let select = format!("select {columns} where i.id = {id}");
        let make = |digits: &str| {
            format!("update items set exclusive_key = {digits} where id = {id} and {look} <= 12")
        };
        let row = match support::server() {
            Some(address) => {
                let mut server = sqlx::PgConnection::connect(&address)
                    .await
                    .expect("the server");
                let update = make(&format!("decode('{contract}', 'hex')"));
                server.execute(AssertSqlSafe(update)).await.expect("a row");
                let row = server
                    .fetch_one(AssertSqlSafe(select))
                    .await
                    .expect("a row");
                of_row(&row)
            }
            None => {
                let mut file = open(folder).await;
                let update = make(&format!("x'{contract}'"));
                file.execute(AssertSqlSafe(update)).await.expect("a row");
                let row = file.fetch_one(AssertSqlSafe(select)).await.expect("a row");
                of_row(&row)
            }
        };
        known.push(row);
    }
    known
}

fn of_row<R: Row>(row: &R) -> SearchSubject
where
    for<'r> String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    for<'r> Vec<u8>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    for<'n> &'n str: sqlx::ColumnIndex<R>,
{
    let hash: Vec<u8> = row.get("key_hash");
    let hash = KeyHash::from_bytes(&hash).expect("16 bytes");
    SearchSubject {
        key: row.get("key"),
        number: OrderNumber::derive(hash, 2).to_string(),
        receipt: row.get("receipt"),
        customer: row.get("customer"),
        hash: row.get("hash"),
    }
}

fn of_text(text: &str, hash: Option<&String>) -> SearchQuery {
    let exclusive = |field: &str| {
        (
            KeyHash::one_at_a_time("account", field, text),
            field.to_owned(),
        )
    };
    SearchQuery {
        text: Some(SearchText {
            text: text.to_owned(),
            reference: payrun::domain::text::searchable(text),
            reference_hash: hash.cloned(),
            exclusive_keys: vec![exclusive("contract_id"), exclusive("out_trade_no")],
            accounts: vec![KeyHash::of("account", "payment", "")],
        }),
        filter: SearchFilter::default(),
        limit: 50,
    }
}

/// A day of the year, an amount, and an account.
fn of_amount(look: u64, minor: i64, lane: Option<&str>) -> SearchQuery {
    let day = i64::try_from(look % 364).unwrap_or(0) * 86_400_000;
    let at = Timestamp::from_millis;
    SearchQuery {
        text: None,
        filter: SearchFilter {
            lane: lane.map(str::to_owned),
            days: Some(SearchDays {
                first: String::new(),
                last: String::new(),
                span: TimeSpan {
                    from: at(day),
                    until: at(day + 86_400_000),
                },
            }),
            amount: Amount::from_minor(minor, Currency::parse("HKD").expect("HKD")).ok(),
        },
        limit: 50,
    }
}

/// The time that 50 and 95 of 100 looks take at most, and the most any took; and how much the last
/// found.
async fn looks(
    ledger: &Ledger,
    name: &str,
    known: &[SearchSubject],
    query: impl Fn(u64, &SearchSubject) -> SearchQuery,
) {
    let mut times = Vec::with_capacity(known.len());
    let mut found = 0;
    for (look, item) in (0..).zip(known) {
        let query = query(look, item);
        let began = Instant::now();
        let results = ledger.search(&query).await.expect("a search");
        times.push(began.elapsed());
        found = found.max(results.items.rows.len() + results.lines.rows.len());
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let shown = |time: Duration| {
        format!(
            "{}.{:03} ms",
            time.as_micros() / 1000,
            time.as_micros() % 1000
        )
    };
    println!(
        "{name}: p50 {}, p95 {}, most {}; found up to {found}",
        shown(at(50)),
        shown(at(95)),
        shown(at(100))
    );
}

/// What the search costs whoever writes: processor time of planning 20,000 items and of claiming and
/// settling them among those that were made, in a file, without the search's indexes, with them,
/// and with two references each, in turn.
async fn costs(ledger: &Ledger, folder: &std::path::Path) {
    const ITEMS: u64 = 20_000;
    const ROUNDS: usize = 3;
    let clock = Clock::System;
    let mut figures = [const { (Vec::new(), Vec::new()) }; 3];
    for round in 0..ROUNDS {
        for (way, name) in ["without", "with", "with references"]
            .into_iter()
            .enumerate()
        {
            let mut file = open(folder).await;
            let change = match way {
                0 => "drop index items_of_contract; drop index items_sent",
                1 => INDEXES,
                _ => "select 1",
            };
            file.execute(change).await.expect("indexes");
            file.close().await.expect("the end");
            let occurrence = format!("{name} {round}");
            let began = support::cpu_millis();
            let job = plan_referring(ledger, (&occurrence, ITEMS), &clock, way == 2).await;
            figures[way].0.push(support::cpu_millis() - began);
            let began = support::cpu_millis();
            claim_and_settle(ledger, job, usize::try_from(ITEMS).unwrap_or(0), &clock).await;
            figures[way].1.push(support::cpu_millis() - began);
        }
    }
    for (name, (planned, settled)) in [
        "without the indexes",
        "with them",
        "with two references each",
    ]
    .into_iter()
    .zip(figures)
    {
        println!(
            "{name}: {ITEMS} planned in {} ms of a processor, claimed and settled in {} ms (median of {ROUNDS})",
            support::median(planned),
            support::median(settled)
        );
    }
}

/// As the migrations make them.
const INDEXES: &str = "\
    create index items_of_contract on items (exclusive_key) where exclusive_key is not null and key_hash is not null; \
    create index items_sent on items (currency, amount, sent_at, job_id) where sent_at is not null";

#[tokio::main]
async fn main() {
    if support::only_listed() {
        return;
    }
    let (items, count) = (support::argument(0, 1_000_000), support::argument(1, 300));
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = support::ledger(folder.path()).await;
    let began = Instant::now();
    fill(folder.path(), items).await;
    println!("{items} items made in {} s", began.elapsed().as_secs());
    let known = drawn(folder.path(), items, count).await;
    let nth = |look: u64| 1 + look.wrapping_mul(7_919) % (items / 10).max(1);
    looks(&ledger, "a key", &known, |_, item| of_text(&item.key, None)).await;
    looks(
        &ledger,
        "the beginning of a key (its contract)",
        &known,
        |_, item| {
            of_text(
                item.key
                    .split_once('/')
                    .map_or("", |(contract, _)| contract),
                None,
            )
        },
    )
    .await;
    looks(&ledger, "a beginning that all keys have", &known, |_, _| {
        of_text("C-", None)
    })
    .await;
    looks(
        &ledger,
        "an order number of generation 2",
        &known,
        |_, item| of_text(&item.number, None),
    )
    .await;
    looks(&ledger, "a gateway's number", &known, |_, item| {
        of_text(&item.receipt, None)
    })
    .await;
    looks(&ledger, "a contract of 12 items", &known, |_, _| {
        of_text(CONTRACT, None)
    })
    .await;
    looks(&ledger, "a reference as text", &known, |_, item| {
        of_text(&item.customer, None)
    })
    .await;
    looks(
        &ledger,
        "the beginning of a reference",
        &known,
        |_, item| of_text(&item.customer[..item.customer.len() - 1], None),
    )
    .await;
    looks(
        &ledger,
        "a personal reference by its hash",
        &known,
        |_, item| of_text("+852 5109 0002", Some(&item.hash)),
    )
    .await;
    looks(
        &ledger,
        "a statement line that is not ours",
        &known,
        |look, _| of_text(&format!("gateway-{}", nth(look)), None),
    )
    .await;
    looks(&ledger, "nothing", &known, |look, _| {
        of_text(&format!("nobody-{look}"), None)
    })
    .await;
    looks(&ledger, "an amount on a day", &known, |look, _| {
        let minor = i64::try_from(3000 + look * 37 % 1000).unwrap_or(0);
        of_amount(look, minor, Some("hk"))
    })
    .await;
    looks(
        &ledger,
        "the amount that one in four has, on a day",
        &known,
        |look, _| of_amount(look, 8800, Some("hk")),
    )
    .await;
    looks(
        &ledger,
        "the same on an account that rarely has it",
        &known,
        |look, _| of_amount(look, 8800, Some("sg")),
    )
    .await;
    if support::server().is_none() {
        costs(&ledger, folder.path()).await;
    }
    ledger.close().await;
}
