//! The whole way, against a bare loop: the engine with every intent and outcome on disk before it
//! counts, and the same signed and verified HTTP calls at the same concurrency that record nothing.
//! The gateway runs in a process of its own.
//!
//! `cargo bench --bench end_to_end -- [ITEMS] [ROUNDS]`

mod support;

use support::{engine_of, plan_of};

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use payrun::clock::Clock;
use payrun::domain::ids::{KeyHash, OrderNumber};
use payrun::domain::money::{Amount, Currency};
use payrun::gateway::{Call, Delivery};
use payrun::ledger::Ledger;
use serde_json::json;

const CONCURRENCY: u32 = 64;

fn main() {
    if support::only_listed() {
        return;
    }
    let args: Vec<String> = std::env::args().collect();
    match args.iter().position(|arg| arg == "--child") {
        Some(place) => child(
            &args[place + 1],
            Path::new(&args[place + 2]),
            args[place + 3].parse().expect("items"),
        ),
        None => compare(support::argument(0, 20_000), support::argument(1, 3)),
    }
}

/// Runs both ways in turn, each in a fresh process, and prints the ratios pair by pair.
fn compare(items: u64, rounds: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    support::project(
        folder.path(),
        "http://127.0.0.1:1",
        1,
        CONCURRENCY,
        "unused.db",
    );
    let (mut ratios, mut ours_cpu, mut bare_cpu, mut peaks) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let ours = measure("ours", folder.path(), items, round);
        let bare = measure("bare", folder.path(), items, round);
        let ratio = ours.per_second * 1000 / bare.per_second.max(1);
        println!(
            "round {round}: ours {}/s, bare {}/s, ratio 0.{ratio:03}; CPU per item ours {} us, bare {} us; peak ours {} MiB",
            ours.per_second,
            bare.per_second,
            ours.cpu_micros,
            bare.cpu_micros,
            ours.peak_kib / 1024
        );
        ratios.push(ratio);
        ours_cpu.push(ours.cpu_micros);
        bare_cpu.push(bare.cpu_micros);
        peaks.push(ours.peak_kib);
    }
    println!(
        "end to end, {items} items, {CONCURRENCY} at once, median of {rounds}: ratio {}.{:03}, CPU per item {} us (bare {} us), peak resident {} MiB",
        support::median(ratios.clone()) / 1000,
        support::median(ratios) % 1000,
        support::median(ours_cpu),
        support::median(bare_cpu),
        support::median(peaks) / 1024
    );
}

struct Measured {
    per_second: u64,
    cpu_micros: u64,
    peak_kib: u64,
}

fn measure(way: &str, folder: &Path, items: u64, round: u64) -> Measured {
    for old in ["books.db", "books.db-wal", "books.db-shm"] {
        std::fs::remove_file(folder.join(old)).ok();
    }
    let gateway = support::GatewayProcess::start(folder);
    support::project(
        folder,
        &gateway.url,
        items,
        CONCURRENCY,
        &format!("{way}-{round}.db"),
    );
    let me = std::env::current_exe().expect("this bench");
    let out = Command::new(me)
        .args([
            "--child",
            way,
            folder.to_str().expect("a path"),
            &items.to_string(),
        ])
        .output()
        .expect("a child");
    let text = String::from_utf8_lossy(&out.stdout);
    let numbers: Vec<u64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [millis, cpu, peak_kib] = numbers[..] else {
        panic!("{way}: {text}{}", String::from_utf8_lossy(&out.stderr));
    };
    Measured {
        per_second: items * 1000 / millis.max(1),
        cpu_micros: cpu * 1000 / items,
        peak_kib,
    }
}

#[tokio::main]
async fn child(way: &str, folder: &Path, items: u64) {
    let config = folder.join("payrun.yaml");
    if way == "ours" {
        ours(&config, folder, items).await
    } else {
        bare(&config, items).await
    }
}

async fn ours(config: &Path, folder: &Path, items: u64) {
    let engine = Arc::new(engine_of(config).await);
    let run = plan_of(config, &folder.join("workflow.yaml"), &engine).await;
    let node = engine
        .ledger
        .join(1, engine.clock.now())
        .await
        .expect("a node");
    let (stop, told) = tokio::sync::watch::channel(false);
    let (began, cpu) = (Instant::now(), support::cpu_millis());
    let workers = tokio::spawn(payrun::worker::run(Arc::clone(&engine), node.id(), told));
    let lanes = engine.accounts.keys().cloned().collect();
    while engine
        .ledger
        .work(run, &lanes, &std::collections::BTreeSet::new())
        .await
        .expect("work")
        .open
        > 0
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (millis, cpu) = (began.elapsed().as_millis(), support::cpu_millis() - cpu);
    stop.send_replace(true);
    workers.await.expect("workers").expect("no failure");
    let totals = engine.ledger.totals(run).await.expect("totals");
    assert!(
        totals
            .iter()
            .all(|total| total.state.as_str() == "succeeded"),
        "{totals:?}"
    );
    assert_eq!(totals.iter().map(|total| total.items).sum::<u64>(), items);
    println!("{millis} {cpu} {}", support::peak_kib());
}

async fn bare(config: &Path, items: u64) {
    let ledger = Ledger::open(&config.with_file_name("unused.db"))
        .await
        .expect("a ledger");
    let engine = Arc::new(support::engine_over(config, ledger).await);
    let next = Arc::new(AtomicU64::new(1));
    let (began, cpu) = (Instant::now(), support::cpu_millis());
    let mut loops = tokio::task::JoinSet::new();
    for _ in 0..CONCURRENCY {
        let (engine, next) = (Arc::clone(&engine), Arc::clone(&next));
        loops.spawn(async move {
            let account = &engine.accounts["hk"];
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number > items {
                    break;
                }
                let observed = account.gateway.call(&call(number)).await;
                assert_eq!(observed.delivery, Delivery::Replied);
            }
        });
    }
    while loops.join_next().await.is_some() {}
    println!(
        "{} {} {}",
        began.elapsed().as_millis(),
        support::cpu_millis() - cpu,
        support::peak_kib()
    );
}

fn call(number: u64) -> Call {
    let input = json!({
        "contract_id": format!("Wx{number:012}"), "description": "basic 2026-11", "merchant_category_code": "4900",
    });
    Call {
        operation: "deduct".into(),
        order_no: OrderNumber::derive(
            KeyHash::of(
                "bare",
                &Clock::System.now().to_string(),
                &number.to_string(),
            ),
            1,
        ),
        input: input.as_object().cloned().unwrap_or_default(),
        amount: Currency::parse("HKD")
            .ok()
            .and_then(|hkd| Amount::from_minor(3800, hkd).ok()),
        timeout: Duration::from_secs(10),
    }
}
