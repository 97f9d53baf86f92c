//! The memory of a whole run in one process, the gateway's other side included, without sockets. A
//! million items take half an hour on two cores, nearly all of it signatures of both sides; the
//! default is smaller.
//!
//! `cargo bench --bench memory -- [ITEMS]`

mod support;

use support::{engine_of, plan_of};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use payrun::clock::Clock;
use payrun::engine::Account;
use payrun::gateway::wechat::WechatClient;
use payrun::gateway::wechat::transport::Transport;
use payrun::sandbox::{FakeWechat, Settings, WechatAccountKeys};

#[tokio::main]
async fn main() {
    if support::only_listed() {
        return;
    }
    let items = support::argument(0, 20_000);
    let folder = tempfile::tempdir().expect("a folder");
    let config = support::project(folder.path(), "http://127.0.0.1:1", items, 64, "memory.db");
    let identity = WechatAccountKeys::load(&folder.path().join("keys")).expect("keys");
    let wechat = identity.wechat_config("http://127.0.0.1:1");
    let settings = Settings {
        books: Some(folder.path().join("books.db")),
        ..Settings::default()
    };
    let sandbox = FakeWechat::open(identity, settings, Clock::System)
        .await
        .expect("a sandbox");
    let mut engine = engine_of(&config).await;
    let client = WechatClient::new(
        &wechat,
        Transport::InProcess(sandbox.clone()),
        Clock::System,
    )
    .expect("a client");
    let account = Account {
        withdraw_at_once: true,
        ownership: None,
        ..Account::over(&engine.config.gateways["hk"], Box::new(client))
    };
    engine.accounts = BTreeMap::from([("hk".to_owned(), Arc::new(account))]);
    let engine = Arc::new(engine);
    let run = plan_of(&config, &folder.path().join("workflow.yaml"), &engine).await;
    println!(
        "planned {items} items, peak resident {} MiB",
        support::peak_kib() / 1024
    );
    let node = engine
        .ledger
        .join(1, engine.clock.now())
        .await
        .expect("a node");
    let (stop, told) = tokio::sync::watch::channel(false);
    let began = Instant::now();
    let workers = tokio::spawn(payrun::worker::run(Arc::clone(&engine), node.id(), told));
    let lanes = engine.accounts.keys().cloned().collect();
    let mut ticks = 0_u64;
    loop {
        let open = engine
            .ledger
            .work(run, &lanes, &std::collections::BTreeSet::new())
            .await
            .expect("work")
            .open;
        if open == 0 {
            break;
        }
        if ticks % 300 == 299 {
            println!(
                "{} to go, peak resident {} MiB",
                open,
                support::peak_kib() / 1024
            );
        }
        ticks += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.send_replace(true);
    workers.await.expect("workers").expect("no failure");
    sandbox.flush().await.expect("books");
    let charged = sandbox.totals().await.expect("totals").charged;
    assert_eq!(charged.values().map(|one| one.count).sum::<u64>(), items);
    println!(
        "run of {items} items in {} s: peak resident {} MiB",
        began.elapsed().as_secs(),
        support::peak_kib() / 1024
    );
}
