//! Would the rig notice? Deliberate faults are planted one by one, and seeds are played until a
//! promise is seen broken.
//!
//! `cargo test --features planted --test planted -- --nocapture` prints the table of seeds to
//! detection.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use payrun::catalog::Catalog;
use payrun::config::Config;
use payrun::domain::actor::Actor;
use payrun::engine::plan::{NamedBy, PlanRequest};
use payrun::planted::{ALL, Mutation, sow};
use payrun::sandbox::Identity;
use payrun::sandbox::faults::Level;
use payrun::simulation::{BEGIN, FakeGateways, Play, play};

/// The most seeds a fault may hide in.
const SEEDS: u64 = 400;

/// Deductions, two of one contract among them, rows that are refused, and a key that stands twice.
const DEDUCTIONS: &str = "\
workflow: deductions
jobs:
  deduct:
    uses: deduct
    gateway: hk
    items: { file: deductions.csv }
    key: \"{{ item.key }}\"
    with:
      contract_id: \"{{ item.contract }}\"
      amount: \"{{ item.amount }}\"
      currency: HKD
      description: \"{{ item.key }}\"
      merchant_category_code: \"4900\"
";

const REFUNDS: &str = "\
workflow: refunds
jobs:
  refund:
    uses: refund
    gateway: hk
    items: { file: refunds.csv }
    key: \"{{ item.refund }}\"
    with:
      out_trade_no: \"{{ item.order }}\"
      amount: \"{{ item.amount }}\"
      currency: HKD
      reason: broken
";

fn project(folder: &Path) -> Arc<Config> {
    let identity = Identity::generate().unwrap();
    identity.save(&folder.join("keys")).unwrap();
    let serial = identity.merchant_serial();
    let yaml = format!(
        "database: payrun.db\ntimezone: Asia/Hong_Kong\ngateways:\n  hk:\n    kind: wechat\n    \
         base_url: http://127.0.0.1:1\n    mode: common\n    mchid: \"1900000001\"\n    appid: wx0000000000000001\n    \
         merchant_key: {{ file: keys/merchant_key.pem }}\n    merchant_serial: \"{serial}\"\n    \
         api_v3_key: {{ file: keys/api_v3_key.txt }}\n    platform: auto\n    \
         notify_url: https://example.com/notify\n    rate: 1/s\n    concurrency: 8\n    timeout: 15s\n"
    );
    std::fs::write(folder.join("payrun.yaml"), yaml).unwrap();
    let deductions: String = (1..=10)
        .map(|n| format!("K{n},C{},3{n}.00\n", n.min(9)))
        .collect();
    let odd = "K3,C3,33.00\nK11,C11,nothing\n";
    std::fs::write(
        folder.join("deductions.csv"),
        format!("key,contract,amount\n{deductions}{odd}"),
    )
    .unwrap();
    let refunds: String = (1..=8_u32)
        .map(|n| format!("R{n},ORDER-{},1{n}.50\n", n.div_ceil(2)))
        .collect();
    std::fs::write(
        folder.join("refunds.csv"),
        format!("refund,order,amount\n{refunds}"),
    )
    .unwrap();
    Arc::new(payrun::config::load::load(&folder.join("payrun.yaml")).unwrap())
}

fn plays(folder: &Path) -> Vec<Play> {
    let (config, catalog) = (project(folder), Arc::new(Catalog::built_in()));
    let play = |(name, text): (&str, &str)| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        let workflow = Arc::new(payrun::workflow::load::load(&path, &catalog, &config).unwrap());
        let request = PlanRequest {
            workflow,
            params: BTreeMap::new(),
            occurrence: "planted".to_owned(),
            at: BEGIN,
            timezone: config.timezone,
            allow_future: false,
            author: Actor::person("ann", "a test").unwrap(),
            inputs: BTreeMap::new(),
            named_by: NamedBy::Person,
            commit: true,
            shown: payrun::engine::plan::SHOWN,
        };
        let (config, catalog) = (Arc::clone(&config), Arc::clone(&catalog));
        Play {
            config,
            catalog,
            vault: None,
            request,
            faults: Level::Heavy,
            chaos: true,
            folder: folder.to_owned(),
        }
    };
    [("deductions.yaml", DEDUCTIONS), ("refunds.yaml", REFUNDS)]
        .into_iter()
        .map(play)
        .collect()
}

/// The first seed that shows the fault, and how.
fn detect(
    plays: &[Play],
    twins: &FakeGateways,
    bug: Option<Mutation>,
    seeds: u64,
) -> Option<(u64, String)> {
    sow(bug);
    let (next, found) = (AtomicU64::new(1), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed > seeds || !found.lock().unwrap().is_empty() {
                        return;
                    }
                    let what = &plays[usize::try_from(seed).unwrap() % plays.len()];
                    let how = match runtime.block_on(play(what, twins, seed)) {
                        // The database itself refuses: that is noticed too.
                        Err(error) => Some(format!("it stops: {error}")),
                        Ok(told) => told
                            .broken
                            .first()
                            .map(|one| format!("promise {}: {}", one.promise, one.what)),
                    };
                    found.lock().unwrap().extend(how.map(|how| (seed, how)));
                }
            });
        }
    });
    sow(None);
    found.into_inner().unwrap().pop_first()
}

#[test]
fn every_planted_fault_is_noticed_and_without_one_nothing_is() {
    // In memory where there is such a place: what is played is not the disk.
    let folder = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let (plays, twins) = (plays(folder.path()), FakeGateways::generate().unwrap());
    assert_eq!(
        detect(&plays, &twins, None, 40),
        None,
        "nothing is planted, and something is seen"
    );
    let mut missed = Vec::new();
    println!("| Planted | Seeds to detection | First seen as |\n|---|---|---|");
    for (bug, what) in ALL {
        match detect(&plays, &twins, Some(bug), SEEDS) {
            Some((seed, how)) => println!(
                "| {what} | {seed} | {} |",
                how.chars().take(110).collect::<String>()
            ),
            None => {
                println!("| {what} | not within {SEEDS} | |");
                missed.push(what);
            }
        }
    }
    assert_eq!(missed, Vec::<&str>::new(), "the rig does not notice these");
}
