//! The project under test: a folder with payrun.yaml, keys, a workflow and contracts, and the
//! sandbox that listens for it.

pub mod compare_books;
pub mod engine_builder;
pub mod gateways;
pub mod planned_files;
pub mod postgres;
pub mod process;
pub mod recording_proxy;
pub mod rng;
pub mod said;
pub mod scripted_gateway;
pub mod service;
pub mod smtp;
pub mod visitor;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use payrun::clock::Clock;
use payrun::domain::actor::{Actor, Authorization, Reason};
use payrun::ledger::{EventRow, ItemFilter, ItemRow, Ledger};
use payrun::sandbox::faults::FaultPlan;
use payrun::sandbox::{FakeWechat, Settings, WechatAccountKeys, server};
use serde_json::Value;
use tempfile::TempDir;

use postgres::Schema;
pub use process::{ExitedProcess, Running};
use recording_proxy::Wire;

/// How long a run may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The day every test's runs are for, so that keys and order numbers are always the same.
pub const DATE: &str = "2026-03-31";

/// The workflow's name from the project folder.
pub const WORKFLOW: &str = "workflows/deductions.yaml";

/// What a project is made of.
pub struct Setup {
    /// What goes wrong at the gateway.
    pub faults: FaultPlan,
    /// How long each of its replies takes.
    pub latency: Duration,
    /// How many calls at once.
    pub concurrency: u32,
    /// How many calls a second.
    pub rate: &'static str,
    /// How long payrun waits for a reply.
    pub timeout: &'static str,
    /// The rows of contracts.csv.
    pub contracts: String,
    /// More lines of the job, such as limits.
    pub job: &'static str,
    /// Whether the gateway may refuse requests for what they are.
    pub refusals: bool,
    /// Whether to note what goes over the wire.
    pub wire: bool,
    /// Whether the ledger is on a server.
    pub server: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            faults: FaultPlan::NONE,
            latency: Duration::ZERO,
            concurrency: 32,
            rate: "5000/s",
            timeout: "1s",
            contracts: contracts("C", 20),
            job: "",
            refusals: false,
            wire: false,
            // By hand, every test can be run on a server.
            server: std::env::var_os("PAYRUN_TEST_ENGINE")
                .is_some_and(|engine| engine == "postgres"),
        }
    }
}

/// A project, and the gateway it is configured for. Dropping it compares the books.
pub struct App {
    folder: TempDir,
    runtime: tokio::runtime::Runtime,
    sandbox: Arc<FakeWechat>,
    wire: Option<Arc<Wire>>,
    refusals: bool,
    /// Where the ledger is, if it is on a server.
    schema: Option<Schema>,
}

impl App {
    /// A project with these contracts and a gateway without faults.
    pub fn with_contracts(contracts: &str) -> Self {
        Self::of(Setup {
            contracts: contracts.to_owned(),
            ..Setup::default()
        })
    }

    /// A project.
    pub fn of(setup: Setup) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let settings = Settings {
            plan: setup.faults,
            latency: setup.latency,
            jitter: setup.latency / 2,
            timeout: Duration::from_secs(1),
            pending: Duration::from_millis(700),
            late: Duration::from_millis(500),
            ..Settings::default()
        };
        let (sandbox, address, wire) = runtime.block_on(async {
            let sandbox = FakeWechat::open(identity(), settings, Clock::System)
                .await
                .unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(server::serve(
                Arc::clone(&sandbox),
                listener,
                std::future::pending(),
            ));
            let wire = if setup.wire {
                Some(Wire::before(address).await)
            } else {
                None
            };
            let address = wire.as_ref().map_or(address, |wire| wire.address);
            (sandbox, address, wire)
        });
        let folder = tempfile::tempdir().unwrap();
        let schema = setup.server.then(|| runtime.block_on(Schema::fresh()));
        let database = schema
            .as_ref()
            .map_or_else(|| "payrun.db".to_owned(), Schema::address);
        let app = Self {
            folder,
            runtime,
            sandbox,
            wire,
            refusals: setup.refusals,
            schema,
        };
        identity().save(&app.path("keys")).unwrap();
        app.write("payrun.yaml", payrun_yaml(&database, address, &setup));
        app.write(WORKFLOW, workflow("contracts.csv", setup.job));
        app.write("data/contracts.csv", &setup.contracts);
        app
    }

    /// A path in the project's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the project.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Replaces a text in a file of the project that stands there once.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{from:?} in {name}");
        self.write(name, text.replace(from, to));
    }

    /// The binary, to be run in the project's folder.
    pub fn command(&self, args: &[&str]) -> Command {
        process::payrun(self.folder.path(), args)
    }

    /// Runs the binary to its end.
    pub fn payrun(&self, args: &[&str]) -> ExitedProcess {
        self.start(args).wait(PATIENCE)
    }

    /// Starts the binary.
    pub fn start(&self, args: &[&str]) -> Running {
        Running::start(self.command(args))
    }

    /// Starts it so that it dies when it reaches a place for the nth time.
    pub fn start_to_die_at(&self, args: &[&str], place: &str, nth: u32) -> Running {
        let mut command = self.command(args);
        command.env("PAYRUN_FAILPOINT", format!("{place}:{nth}"));
        Running::start(command)
    }

    /// A fresh token of somebody.
    pub fn token(&self, name: &str, role: &str) -> String {
        self.payrun(&["tokens", "create", name, "--role", role])
            .exits(0)
            .stdout
            .trim()
            .to_owned()
    }

    /// Runs the binary to its end, as the owner of a token.
    pub fn payrun_as(&self, token: &str, args: &[&str]) -> ExitedProcess {
        let mut command = self.command(args);
        command.env("PAYRUN_TOKEN", token);
        Running::start(command).wait(PATIENCE)
    }

    /// `payrun run` of the workflow.
    pub fn run(&self) -> ExitedProcess {
        self.payrun(&["run", WORKFLOW, "--date", DATE])
    }

    /// What a command prints as JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        let ended = self.payrun(args);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    }

    /// A JSON value a line.
    pub fn json_lines(&self, args: &[&str]) -> Vec<Value> {
        let ended = self.payrun(args).exits(0);
        ended
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// From now on the ledger is there.
    pub fn moved_to(&mut self, schema: Schema) {
        self.schema = Some(schema);
    }

    /// How many items of the newest run are in each state.
    pub fn by_state(&self) -> Value {
        self.json(&["show", "--json"])["by_state"].clone()
    }

    /// What the gateway has noted.
    pub fn totals(&self) -> payrun::sandbox::Totals {
        self.runtime.block_on(self.sandbox.totals()).unwrap()
    }

    /// How many charges there were.
    pub fn charges(&self) -> u64 {
        self.totals()
            .charged
            .values()
            .map(|charged| charged.count)
            .sum()
    }

    /// The gateway.
    pub fn sandbox_shared(&self) -> Arc<FakeWechat> {
        Arc::clone(&self.sandbox)
    }

    /// The fake gateway.
    pub fn sandbox(&self) -> &FakeWechat {
        &self.sandbox
    }

    /// What went over the wire.
    pub fn wire(&self) -> &Wire {
        self.wire.as_ref().expect("a setup with a wire")
    }

    /// Changes the ledger behind payrun's back.
    pub fn change(&self, statement: &str) {
        self.wait_for(change(&self.database(), statement));
    }

    /// The ledger's file.
    pub fn database(&self) -> PathBuf {
        self.path("payrun.db")
    }

    /// Where the ledger is on the server.
    pub fn schema(&self) -> &Schema {
        self.schema
            .as_ref()
            .expect("a project with its ledger on a server")
    }

    /// The ledger, as one more process opens it.
    pub async fn ledger(&self) -> Ledger {
        match &self.schema {
            None => Ledger::open(&self.database()).await.unwrap(),
            Some(schema) => Ledger::connect(&schema.address()).await.unwrap(),
        }
    }

    /// Every item with its moves, oldest first.
    pub fn histories(&self) -> Vec<(ItemRow, Vec<EventRow>)> {
        self.wait_for(async {
            let ledger = self.ledger().await;
            let mut histories = Vec::new();
            for item in ledger
                .items(&ItemFilter::default(), 0, 100_000)
                .await
                .unwrap()
            {
                let events = ledger.events(item.id).await.unwrap();
                histories.push((item, events));
            }
            ledger.close().await;
            histories
        })
    }

    /// Begins on the project's own runtime, and waits for nothing.
    pub fn spawn<F: Future<Output: Send + 'static> + Send + 'static>(
        &self,
        future: F,
    ) -> tokio::task::JoinHandle<F::Output> {
        self.runtime.spawn(future)
    }

    /// Waits on the project's own runtime.
    pub fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// What must be true at every moment, also right after the process was killed.
    pub fn assert_nothing_wrong_yet(&self) {
        self.wait_for(async {
            let ledger = self.ledger().await;
            compare_books::assert_nothing_wrong_yet(&ledger, &self.sandbox).await;
            ledger.close().await;
        });
    }

    /// What must be true when everything has ended.
    pub fn assert_books_match(&self) {
        self.wait_for(async {
            let ledger = self.ledger().await;
            compare_books::assert_match(&ledger, &self.sandbox, self.refusals).await;
            ledger.close().await;
        });
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if self.schema.is_some() || self.database().exists() {
            self.assert_books_match();
        } else {
            assert_eq!(self.charges(), 0, "money moved, and there is no ledger");
        }
    }
}

/// Somebody with a reason.
pub fn by(name: &str) -> Authorization {
    Authorization {
        actor: Actor::person(name, "a test").unwrap(),
        reason: Reason::parse("a test").unwrap(),
    }
}

/// Keys take a while to make, so all projects of a process share them.
pub fn identity() -> WechatAccountKeys {
    static IDENTITY: OnceLock<WechatAccountKeys> = OnceLock::new();
    IDENTITY
        .get_or_init(|| WechatAccountKeys::generate().unwrap())
        .clone()
}

/// A file of contracts, `PREFIX-0001` and so on, at 38.00 HKD and more.
pub fn contracts(prefix: &str, how_many: u32) -> String {
    let rows = (1..=how_many).map(|n| format!("{prefix}-{n:04},basic,{}.00,HKD,yes\n", 38 + n % 7));
    std::iter::once("contract_id,plan,amount,currency,active\n".to_owned())
        .chain(rows)
        .collect()
}

/// The configuration of a project whose gateway listens here.
fn payrun_yaml(database: &str, address: SocketAddr, setup: &Setup) -> String {
    let Setup {
        rate,
        concurrency,
        timeout,
        ..
    } = setup;
    let serial = identity().merchant_serial().to_owned();
    format!(
        "\
database: {database}
timezone: Asia/Hong_Kong
gateways:
  hk:
    kind: wechat
    base_url: http://{address}
    mode: common
    mchid: \"1900000001\"
    appid: wx0000000000000001
    merchant_key: {{ file: keys/merchant_key.pem }}
    merchant_serial: \"{serial}\"
    api_v3_key: {{ file: keys/api_v3_key.txt }}
    platform: auto
    notify_url: https://example.com/payrun/notify/hk
    rate: {rate}
    concurrency: {concurrency}
    timeout: {timeout}
    query_interval: 50ms
    stop_after: {{ unverified: 1000 }}
"
    )
}

/// A workflow of one job, with the waits of a test.
pub fn workflow(file: &str, more: &str) -> String {
    format!(
        "\
workflow: deductions
jobs:
  deduct:
    uses: deduct
    gateway: hk
    items:
      file: ../data/{file}
      where: item.active == \"yes\"
    key: \"{{{{ item.contract_id }}}}/{{{{ run.month }}}}\"
    with:
      contract_id: \"{{{{ item.contract_id }}}}\"
      amount: \"{{{{ item.amount }}}}\"
      currency: \"{{{{ item.currency }}}}\"
      description: \"{{{{ item.plan }}}} {{{{ run.month }}}}\"
      merchant_category_code: \"4900\"
    retry: {{ attempts: 40, first: 50ms, max: 500ms }}
    query: {{ schedule: [50ms, 100ms, 200ms, 400ms], grace: 1200ms, horizon: 5m }}
    dunning: [200ms, 400ms]
{more}"
    )
}

/// Waits until a condition holds; fails with what was waited for when it takes too long.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Changes a ledger's file behind payrun's back.
pub async fn change(ledger: &Path, statement: &str) {
    use sqlx::Connection as _;
    let url = format!("sqlite://{}", ledger.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let changed = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap();
    assert!(changed.rows_affected() > 0, "{statement}");
    connection.close().await.unwrap();
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
