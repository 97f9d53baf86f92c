//! Would the rig notice? Seeded faults are activated one by one, and seeds are played until a
//! promise is seen broken. A fault of what is signed is shown by the fake gateway, which
//! builds what it verifies from the gateway's page.
//!
//! `cargo test --features mutation --test mutation -- --nocapture` prints the table of seeds.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use payrun::clock::Clock;
use payrun::config::Config;
use payrun::domain::actor::Actor;
use payrun::domain::ids::OrderNumber;
use payrun::domain::money::{Amount, Currency};
use payrun::engine::planning::RunRequest;
use payrun::gateway::transport::Transport;
use payrun::gateway::{Call, Delivery, Gateway, cbtis, egms, hipopay, wechat};
use payrun::job_kinds::JobKinds;
use payrun::mutation::{ALL, Mutation, OF_SIGNATURES, activate};
use payrun::sandbox::faults::Level;
use payrun::sandbox::{FakeWechat, Settings, SignsWith, WechatAccountKeys};
use payrun::sandbox::{cbtis as cbtis_fake, egms as egms_fake, hipopay as hipopay_fake};
use payrun::simulation::{BEGIN, FakeGateways, SimulationSetup, simulate};

/// The most seeds a fault may hide in.
const SEEDS: u64 = 400;

/// Faults that few seeds show, and from which seed on each is looked for: from the first on it would take
/// as long as all others together.
fn first_seed(bug: Mutation) -> u64 {
    const RARE: [(Mutation, u64); 3] = [
        (Mutation::AbsentIsFailed, 59),
        (Mutation::LeaseNotChecked, 84),
        (Mutation::WithdrawalNotReadAgain, 230),
    ];
    let rare = RARE.iter().find(|(rare, _)| *rare == bug);
    rare.map_or(1, |(_, seed)| *seed)
}

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
    let identity = WechatAccountKeys::generate().unwrap();
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

fn plays(folder: &Path) -> Vec<SimulationSetup> {
    let (config, job_kinds) = (project(folder), Arc::new(JobKinds::built_in()));
    let play = |(name, text): (&str, &str)| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        let workflow = Arc::new(payrun::workflow::load::load(&path, &job_kinds, &config).unwrap());
        let author = Actor::person("ann", "a test").unwrap();
        let request = RunRequest::manual(workflow, &config, &[], author, BEGIN).unwrap();
        let (config, job_kinds) = (Arc::clone(&config), Arc::clone(&job_kinds));
        SimulationSetup {
            config,
            job_kinds,
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

/// The first seed that shows the fault, of so many, and how.
fn detect(
    plays: &[SimulationSetup],
    fakes: &FakeGateways,
    bug: Option<Mutation>,
    seeds: u64,
) -> Option<(u64, String)> {
    activate(bug);
    let first = bug.map_or(1, first_seed);
    let (next, found) = (AtomicU64::new(first), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + seeds || !found.lock().unwrap().is_empty() {
                        return;
                    }
                    let what = &plays[usize::try_from(seed).unwrap() % plays.len()];
                    let how = match runtime.block_on(simulate(what, fakes, seed)) {
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
    activate(None);
    found.into_inner().unwrap().pop_first()
}

/// The fault that is active is one of this process: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn every_seeded_fault_is_noticed_and_without_one_nothing_is() {
    let _alone = ONE_AT_A_TIME.lock();
    // In memory where there is such a place: what is played is not the disk.
    let folder = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let (plays, fakes) = (plays(folder.path()), FakeGateways::generate().unwrap());
    assert_eq!(
        detect(&plays, &fakes, None, 40),
        None,
        "no fault is active, and something is seen"
    );
    let mut missed = Vec::new();
    println!("| Seeded fault | Found at seed | First seen as |\n|---|---|---|");
    for (bug, what) in ALL {
        match detect(&plays, &fakes, Some(bug), SEEDS) {
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

/// An account at each gateway, and its fake in this process.
struct Gateways {
    clients: Vec<(Box<dyn Gateway>, Call)>,
    cbtis: (cbtis::CbtisClient, Arc<cbtis_fake::FakeCbtis>),
}

impl Gateways {
    async fn open() -> Self {
        let (base, clock) = ("https://sandbox.invalid", || Clock::System);
        let settings = Settings::default;
        let own = WechatAccountKeys::generate().unwrap();
        let fake = FakeWechat::open(own.clone(), settings(), clock())
            .await
            .unwrap();
        fake.sign_with(SignsWith::PublicKey);
        let config = own.wechat_config_with_public_key(base);
        let wechat =
            wechat::WechatClient::new(&config, Transport::InProcess(fake), clock()).unwrap();
        let own = hipopay_fake::HipopayAccountKeys::generate().unwrap();
        let fake = hipopay_fake::FakeHipopay::open(&own, settings(), clock()).unwrap();
        let transport = Transport::InProcess(fake);
        let hipopay = hipopay::HipopayClient::new(&own.config(base), transport, clock()).unwrap();
        let own = egms_fake::EgmsAccountKeys::generate().unwrap();
        let fake = egms_fake::FakeEgms::open(&own, settings(), clock());
        let transport = Transport::InProcess(fake);
        let egms = egms::EgmsClient::new(&own.config(base), transport, clock()).unwrap();
        let own = cbtis_fake::CbtisAccountKeys::generate().unwrap();
        let hour = Duration::from_secs(3_600);
        let fake = cbtis_fake::FakeCbtis::open(&own, settings(), hour, clock());
        let transport = Transport::InProcess(fake.clone());
        let cbtis = cbtis::CbtisClient::new(&own.config(base), transport, clock()).unwrap();
        fake.seed("P-1", hkd());
        Self {
            clients: vec![
                (
                    Box::new(wechat),
                    call("contract", &[("contract_id", "C-1")]),
                ),
                (
                    Box::new(hipopay),
                    call(
                        "mini_program_payment",
                        &[
                            ("description", "two teas ~"),
                            ("appid", "wx1"),
                            ("openid", "o-1"),
                            ("client_ip", "10.1.2.3"),
                        ],
                    ),
                ),
                (Box::new(egms), call("payment_query", &[])),
            ],
            cbtis: (cbtis, fake),
        }
    }

    /// What is refused as signed wrongly, by gateway.
    async fn refused(&self) -> Vec<&'static str> {
        let mut refused = Vec::new();
        for (name, (client, call)) in ["wechat", "hipopay", "egms"].into_iter().zip(&self.clients) {
            let seen = client.call(call).await;
            let is_refusal = match seen.code.as_deref() {
                Some("SIGN_ERROR" | "ILLEGAL_SECURITY_PROFILE" | "V0010") => true,
                Some(_) | None => false,
            };
            // EGMS signs its refusal, which a client that digests otherwise cannot verify.
            if is_refusal || matches!(seen.delivery, Delivery::Unverified(_)) {
                refused.push(name);
            }
        }
        let (client, fake) = &self.cbtis;
        let (headers, body) = fake.notification("P-1").unwrap();
        if client.read_notification(&headers, &body).delivery != Delivery::Replied {
            refused.push("cbtis");
        }
        refused
    }
}

fn hkd() -> Amount {
    Amount::parse("10.00", Currency::parse("HKD").unwrap()).unwrap()
}

fn call(operation: &str, input: &[(&str, &str)]) -> Call {
    let input = input
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()));
    Call {
        operation: operation.to_owned(),
        order_no: OrderNumber::parse("P-1").unwrap(),
        input: input.collect(),
        amount: Some(hkd()),
        timeout: Duration::from_secs(5),
    }
}

#[test]
fn every_fault_of_a_signature_is_refused_and_without_one_nothing_is() {
    let _alone = ONE_AT_A_TIME.lock();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let gateways = runtime.block_on(Gateways::open());
    assert_eq!(runtime.block_on(gateways.refused()), Vec::<&str>::new());
    println!("| Seeded fault | Refused by |\n|---|---|");
    for (bug, gateway, what) in OF_SIGNATURES {
        activate(Some(bug));
        let refused = runtime.block_on(gateways.refused());
        activate(None);
        println!("| {what} | {} |", refused.join(", "));
        assert_eq!(refused, [gateway], "{what}");
    }
}
