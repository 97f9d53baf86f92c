//! What the benches share: a project in a temporary folder, a gateway in a process of its own, and
//! what the operating system says of a process.

#![allow(dead_code, reason = "each bench uses its own part")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use payrun::app::Project;
use payrun::clock::Clock;
use payrun::domain::actor::Actor;
use payrun::engine::Engine;
use payrun::engine::planning::RunRequest;
use payrun::ledger::Ledger;
use payrun::sandbox::WechatAccountKeys;

pub mod queue;

/// The engine of a project.
pub async fn engine_of(config: &Path) -> Engine {
    let ledger = Project::open(config).expect("a project").ledger().await;
    engine_over(config, ledger.expect("a ledger")).await
}

/// The engine of a project over another ledger.
pub async fn engine_over(config: &Path, ledger: Ledger) -> Engine {
    let project = Project::open(config).expect("a project");
    let engine = project.engine(ledger, Clock::of_machine());
    engine.await.expect("an engine")
}

/// Plans a workflow once; the run's id.
pub async fn plan_of(config: &Path, workflow: &Path, engine: &Engine) -> i64 {
    let project = Project::open(config).expect("a project");
    let (workflow, now) = (
        project.workflow(workflow).expect("a workflow"),
        engine.clock.now(),
    );
    let request = RunRequest::manual(workflow, &project.config, &[], Actor::payrun(), now);
    let (request, rows) = (request.expect("its parameters"), Arc::default());
    let planned = engine.plan(&request, &rows).await;
    planned.expect("a plan").run_id
}

/// The binary under test, of the same profile as the bench.
pub const PAYRUN: &str = env!("CARGO_BIN_EXE_payrun");

/// A gateway process; ends with this value.
pub struct GatewayProcess {
    child: Child,
    pub url: String,
}

impl GatewayProcess {
    /// Starts the sandbox on a free port of loopback, without faults and without latency.
    pub fn start(folder: &Path) -> Self {
        let mut child = Command::new(PAYRUN)
            .current_dir(folder)
            .args(["sandbox", "--port", "0", "--latency", "0", "--books"])
            .arg(folder.join("books.db"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sandbox starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output"))
            .read_line(&mut line)
            .expect("its first line");
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .expect("its address");
        Self {
            url: url.trim_end_matches(';').to_owned(),
            child,
        }
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A project folder with keys, contracts and a workflow, whose account allows `concurrency` calls
/// at once.
pub fn project(folder: &Path, url: &str, items: u64, concurrency: u32, database: &str) -> PathBuf {
    let keys = folder.join("keys");
    if !keys.exists() {
        WechatAccountKeys::generate()
            .expect("keys")
            .save(&keys)
            .expect("saved keys");
    }
    let identity = WechatAccountKeys::load(&keys).expect("keys");
    let serial = identity.merchant_serial();
    let yaml = format!(
        "database: {database}\ntimezone: Asia/Hong_Kong\ngateways:\n  hk:\n    kind: wechat\n    base_url: {url}\n    mode: common\n    \
         mchid: \"1900000001\"\n    appid: wx0000000000000001\n    merchant_key: {{ file: keys/merchant_key.pem }}\n    \
         merchant_serial: \"{serial}\"\n    api_v3_key: {{ file: keys/api_v3_key.txt }}\n    platform: auto\n    \
         notify_url: https://example.com/notify\n    rate: 1000000/s\n    concurrency: {concurrency}\n    timeout: 10s\n    \
         query_interval: 100ms\n"
    );
    std::fs::write(folder.join("payrun.yaml"), yaml).expect("payrun.yaml");
    let workflow = "workflow: bench\ndescription: Charges contracts.\njobs:\n  deduct:\n    uses: deduct\n    gateway: hk\n    items: { file: contracts.csv }\n    \
         key: \"{{ item.contract_id }}/{{ run.month }}\"\n    with:\n      contract_id: \"{{ item.contract_id }}\"\n      \
         amount: \"{{ item.amount }}\"\n      currency: \"{{ item.currency }}\"\n      description: \"{{ item.plan }} {{ run.month }}\"\n      \
         merchant_category_code: \"4900\"\n    query: { schedule: [200ms], grace: 3s, horizon: 2m }\n";
    std::fs::write(folder.join("workflow.yaml"), workflow).expect("workflow.yaml");
    let mut csv = String::from("contract_id,plan,amount,currency\n");
    for number in 1..=items {
        csv.push_str(&format!("Wx{number:012},basic,38.00,HKD\n"));
    }
    std::fs::write(folder.join("contracts.csv"), csv).expect("contracts.csv");
    folder.join("payrun.yaml")
}

/// Processor time this process has used so far, in milliseconds; the kernel counts in hundredths of
/// a second.
pub fn cpu_millis() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("stat");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks = |place: usize| {
        fields
            .get(place)
            .and_then(|field| field.parse::<u64>().ok())
            .unwrap_or(0)
    };
    (ticks(11) + ticks(12)) * 10
}

/// The most memory this process has held, in KiB.
pub fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap_or("");
    line.split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// The middle one.
pub fn median(mut figures: Vec<u64>) -> u64 {
    figures.sort_unstable();
    figures[figures.len() / 2]
}

/// The first whole number among the arguments that are not options, by place.
pub fn argument(place: usize, default: u64) -> u64 {
    std::env::args()
        .skip(1)
        .filter_map(|arg| arg.parse::<u64>().ok())
        .nth(place)
        .unwrap_or(default)
}

/// Whether the runner only wants to know which tests there are: these are benches, and there are
/// none.
pub fn only_listed() -> bool {
    std::env::args().any(|arg| arg == "--list")
}

/// The address of a PostgreSQL server among the arguments, if there is one.
pub fn server() -> Option<String> {
    std::env::args().find(|arg| arg.starts_with("postgres://"))
}

/// The ledger on the server that is named; else a file in this folder.
pub async fn ledger(folder: &Path) -> Ledger {
    match server() {
        Some(address) => Ledger::connect(&address).await.expect("a ledger"),
        None => Ledger::open(&folder.join("bench.db"))
            .await
            .expect("a ledger"),
    }
}
