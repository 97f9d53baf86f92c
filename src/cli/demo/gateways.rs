//! What the demo is played on: a fresh folder with a project, rows to work on, and all four
//! gateways on one port.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::DemoArgs;
use super::left_to_do::{ALERTS, write_workflows};
use crate::cli::exit::Failure;
use crate::cli::sandbox::others;
use crate::cli::scaffold::{
    KEYS, LaneBounds, SampleCurrencies, contracts_csv, keys, other_accounts, payrun_yaml,
    personal_key,
};
use crate::cli::schema;
use crate::cli::write_new::write_new;
use crate::clock::Clock;
use crate::sandbox::faults::FaultPlan;
use crate::sandbox::{FakeWechat, Gateways, Settings, StatementDelay, server};

/// The demo's folder, and the file by which it is known to be ours to replace.
pub(super) const FOLDER: &str = "payrun-demo";
const MARKER: &str = ".payrun-demo";

/// The workflow, and what it does on each gateway but the first.
const DAY: &str = include_str!("day.yaml");
const OTHERS: &str = include_str!("others.yaml");

/// What a payment needs at each gateway beside amount and description.
const NEEDS: [(&str, &str, &str); 3] = [
    (
        "hipopay",
        "\n      appid: wx0000000000000001\n      openid: \"{{ item.openid }}\"\n      client_ip: \"{{ item.client_ip }}\"",
        "[]",
    ),
    ("egms", "\n      platform: WEB", "[openid, client_ip]"),
    ("cbtis", "", "[openid, client_ip]"),
];

/// When the first gateway changes its certificate.
const ROTATION: Duration = Duration::from_secs(1);

/// The gateways, and where they listen.
pub(super) struct DemoGateways {
    pub sandbox: Arc<FakeWechat>,
    pub gateways: Gateways,
    pub address: SocketAddr,
}

/// Makes the folder, and gateways that listen.
pub(super) async fn set_up(folder: &Path, args: &DemoArgs) -> Result<DemoGateways, Failure> {
    clear(folder)?;
    write_new(
        folder,
        MARKER,
        "made by `payrun demo`, which replaces this folder each time\n",
    )?;
    let internal = |error: std::io::Error| Failure::internal(&error);
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .map_err(internal)?;
    let address = listener.local_addr().map_err(internal)?;
    let identity = keys(folder)?;
    personal_key(folder)?;
    let base_url = format!("http://{address}");
    let mut config =
        payrun_yaml(&identity, &base_url, BOUNDS) + &other_accounts(folder, &base_url, BOUNDS)?;
    write_new(folder, "workflows/a-day.yaml", &workflow())?;
    if args.serve {
        config.push_str(ALERTS);
        write_workflows(folder)?;
    }
    write_new(folder, "payrun.yaml", &config)?;
    schema::write(folder)?;
    std::fs::create_dir_all(folder.join("data")).map_err(internal)?;
    contracts_csv(
        &folder.join("data").join("contracts.csv"),
        args.items,
        args.seed,
        SampleCurrencies::TwoCurrencies,
    )?;
    write_new(folder, "data/payments.csv", &payments_csv(args.items))?;
    let settings = Settings {
        plan: FaultPlan::new(args.seed, args.faults.into()),
        latency: Duration::from_millis(5),
        jitter: Duration::from_millis(10),
        timeout: Duration::from_secs(1),
        pending: Duration::from_secs(1),
        books: Some(folder.join("gateway-books.db")),
        statements: StatementDelay::AfterRequests(1),
        unsettled: 2,
        ..Settings::default()
    };
    let others = others(&folder.join(KEYS), &settings)?;
    let sandbox = FakeWechat::open(identity, settings, Clock::of_machine())
        .await
        .map_err(|error| Failure::internal(&error))?;
    let gateways = Gateways {
        wechat: Some(Arc::clone(&sandbox)),
        ..others
    };
    tokio::spawn(server::serve(
        gateways.clone(),
        listener,
        std::future::pending(),
    ));
    tokio::spawn(rotate(Arc::clone(&sandbox)));
    Ok(DemoGateways {
        sandbox,
        gateways,
        address,
    })
}

/// How the demo's accounts are called.
const BOUNDS: LaneBounds = LaneBounds {
    rate: "5000/s",
    concurrency: 256,
    timeout: "1s",
    query_interval: "100ms",
    refund_interval: "200ms",
    funds_interval: "1s",
    more: "    # The faults are asked for: nobody has to look.\n    stop_after: { unverified: 1000, refused: 1000 }\n",
};

fn clear(folder: &Path) -> Result<(), Failure> {
    if !folder.exists() {
        return Ok(());
    }
    if !folder.join(MARKER).exists() {
        return Err(
            Failure::invalid(format!("{FOLDER}/ is there and was not made by the demo"))
                .help("run the demo elsewhere"),
        );
    }
    std::fs::remove_dir_all(folder).map_err(|error| Failure::internal(&error))
}

/// The gateway changes its certificate in the middle of the day.
async fn rotate(sandbox: Arc<FakeWechat>) {
    tokio::time::sleep(ROTATION).await;
    if let Err(error) = sandbox.rotate_platform() {
        tracing::warn!(error = %error, "the demo's gateway keeps its certificate");
    }
}

fn workflow() -> String {
    let others = NEEDS.map(|(gateway, with, unused)| {
        OTHERS
            .replace("@GATEWAY@", gateway)
            .replace("@WITH@", with)
            .replace("@UNUSED@", unused)
    });
    DAY.replace("@OTHERS@\n", &others.concat())
}

/// A payment for each hundredth contract, and at least 20.
fn payments_csv(items: u64) -> String {
    let mut rows = "payment,amount,currency,description,openid,client_ip\n".to_owned();
    for number in 1..=(items / 100).max(20) {
        writeln!(
            rows,
            "P-{number:06},{}.50,HKD,order {number},o-{number:06},203.0.113.7",
            20 + number % 60
        )
        .ok();
    }
    rows
}
