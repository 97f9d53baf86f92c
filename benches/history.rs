//! Claim and settle, and pages of items, among ten million items of history.
//!
//! `cargo bench --bench history -- [HISTORY] [ITEMS] [postgres://…]`. The history is a hundred runs
//! of items that went well but for one in a thousand; it is put into the tables directly, without
//! calls and moves.

mod support;

use std::time::{Duration, Instant};

use payrun::clock::Clock;
use payrun::domain::item::State;
use payrun::ledger::{ItemFilter, Ledger};
use sqlx::{AssertSqlSafe, Connection, Executor};
use support::queue::{claim_and_settle, plan};

const RUNS: u64 = 100;

/// How often each list is asked for.
const LOOKS: u64 = 200;

/// What both engines understand of making up rows; `{n}` is the row's number and `{hash}` 32 bytes
/// of its own.
const ROWS: &str = "\
    insert into items (job_id, line, key, key_hash, content_hash, exclusive_key, order_no, state, version, amount, currency, input, receipt) \
    select 1 + (n - 1) / {per}, n, 'C-' || n || '/2025-01', {hash}, {hash}, {hash}, 'order-' || n, \
      case when n % 1000 = 7 then 'failed' else 'succeeded' end, 2, 3800, 'HKD', \
      '{\"contract_id\":\"C-1\",\"description\":\"Membership\",\"merchant_category_code\":\"4900\"}', '4200000000000001' \
    from {numbers}";

async fn history(folder: &std::path::Path, items: u64) {
    let per = items / RUNS;
    let runs = "insert into runs (id, workflow, occurrence, source, params, started_at, finished_at) \
                select n, 'w', 'h' || n, '', '{}', 1, 2 from {numbers}";
    let jobs = "insert into jobs (id, run_id, name, kind, lane, needs, policy, started, finished_at, first_item, last_item) \
                select n, n, 'deduct', 'deduct', 'hk', '[]', '{}', 1, 2, (n - 1) * {per} + 1, n * {per} from {numbers}";
    let fill = |text: &str, server: bool, rows: u64| {
        let numbers = if server {
            format!("generate_series(1, {rows}) as s (n)")
        } else {
            format!(
                "(with recursive s (n) as (select 1 union all select n + 1 from s where n < {rows}) select n from s)"
            )
        };
        let hash = if server {
            "decode(md5(n::text) || md5((-n)::text), 'hex')"
        } else {
            "randomblob(32)"
        };
        text.replace("{numbers}", &numbers)
            .replace("{per}", &per.to_string())
            .replace("{hash}", hash)
    };
    let statements = |server: bool| {
        [(runs, RUNS), (jobs, RUNS), (ROWS, items)].map(|(text, rows)| fill(text, server, rows))
    };
    if let Some(address) = support::server() {
        let mut server = sqlx::PgConnection::connect(&address)
            .await
            .expect("the server");
        for statement in statements(true) {
            server
                .execute(AssertSqlSafe(statement))
                .await
                .expect("history");
        }
        for table in ["runs", "jobs"] {
            let next = format!("select setval(pg_get_serial_sequence('{table}', 'id'), {RUNS})");
            server
                .execute(AssertSqlSafe(next))
                .await
                .expect("a sequence");
        }
        server.execute("vacuum analyze").await.expect("statistics");
    } else {
        let url = format!("sqlite://{}", folder.join("bench.db").display());
        let mut file = sqlx::SqliteConnection::connect(&url)
            .await
            .expect("the file");
        for statement in statements(false) {
            file.execute(AssertSqlSafe(statement))
                .await
                .expect("history");
        }
    }
}

/// The time that 95 of 100 looks take at most, and the most any took.
async fn looks(ledger: &Ledger, name: &str, items: u64, filter: impl Fn(u64) -> (ItemFilter, i64)) {
    let mut times = Vec::new();
    for look in 0..LOOKS {
        let place = look.wrapping_mul(0x9e37_79b9_7f4a_7c15) % items.max(1);
        let (filter, after) = filter(place);
        let began = Instant::now();
        let page = ledger.items(&filter, after, 100).await.expect("a page");
        times.push(began.elapsed());
        assert!(!page.is_empty(), "{name}: {filter:?} after {after}");
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
        "{name}: median {}, p95 {}, most {}",
        shown(at(50)),
        shown(at(95)),
        shown(at(100))
    );
}

#[tokio::main]
async fn main() {
    if support::only_listed() {
        return;
    }
    let (rows, items) = (
        support::argument(0, 10_000_000),
        support::argument(1, 20_000),
    );
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = support::ledger(folder.path()).await;
    let began = Instant::now();
    history(folder.path(), rows).await;
    println!(
        "{rows} items of history made in {} s",
        began.elapsed().as_secs()
    );
    let run_of = |place: u64| {
        i64::try_from(1 + place * RUNS / rows.max(1))
            .unwrap_or(1)
            .min(100)
    };
    let of_run = |run: i64| ItemFilter {
        run_id: Some(run),
        ..ItemFilter::default()
    };
    let with = |states: &[State]| ItemFilter {
        states: states.to_vec(),
        ..ItemFilter::default()
    };
    let id = |place: u64| i64::try_from(place).unwrap_or(0);
    looks(&ledger, "any page of all items", rows - 1000, |place| {
        (ItemFilter::default(), id(place))
    })
    .await;
    looks(&ledger, "the first page of a run", rows, |place| {
        (of_run(run_of(place)), 0)
    })
    .await;
    looks(&ledger, "what failed in a run", rows, |place| {
        (
            ItemFilter {
                states: vec![State::Failed],
                ..of_run(run_of(place))
            },
            0,
        )
    })
    .await;
    looks(&ledger, "what failed, any page", rows - 2000, |place| {
        (with(&[State::Failed]), id(place))
    })
    .await;
    looks(&ledger, "a key", rows - 1, |place| {
        (
            ItemFilter {
                key: Some(format!("C-{}/2025-01", place + 1)),
                ..ItemFilter::default()
            },
            0,
        )
    })
    .await;
    for name in ["first", "second"] {
        let job = plan(&ledger, name, items, &Clock::System).await;
        let began = Instant::now();
        let done = claim_and_settle(
            &ledger,
            job,
            usize::try_from(items).unwrap_or(0),
            &Clock::System,
        )
        .await;
        let rate = done as u128 * 1000 / began.elapsed().as_millis().max(1);
        println!("{name}: claimed and settled {done} at {rate} items/s");
    }
    ledger.close().await;
}
