//! `payrun sandbox`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::net::TcpListener;

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{count, say};
use super::scaffold::{KEYS, SANDBOX_PORT};
use super::signals::stop_switch;
use crate::clock::Clock;
use crate::sandbox::faults::{Fault, FaultPlan, Level};
use crate::sandbox::{Gateways, Identity, IdentityError, Ready, Sandbox, Settings, cbtis, egms, hipopay, server};

/// Arguments of `payrun sandbox`.
#[derive(Debug, Args)]
pub(super) struct SandboxArgs {
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = SANDBOX_PORT)]
    port: u16,
    /// How much goes wrong
    #[arg(long, value_enum, default_value_t = Faults::None)]
    faults: Faults,
    /// Every order meets this one fault once, whatever --faults says
    #[arg(long, value_name = "FAULT", value_parser = parse_fault)]
    only: Option<Fault>,
    /// The same seed gives the same faults to the same order numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long every reply takes, in milliseconds
    #[arg(long, default_value_t = 20, value_name = "MS")]
    latency: u64,
    /// The client's patience that the fault "slow" plays with, in milliseconds
    #[arg(long, default_value_t = 5000, value_name = "MS")]
    timeout: u64,
    /// Be as slow as the real gateways: a minute between refunds of a payment, 5 minutes before a close
    #[arg(long)]
    real_waits: bool,
    /// The folder of the keys; made by `payrun init`
    #[arg(long, value_name = "FOLDER")]
    keys: Option<PathBuf>,
    /// Where the gateway keeps its books
    #[arg(long, value_name = "FILE")]
    books: Option<PathBuf>,
}

/// Where something goes wrong, statements and settlements are late by so many requests.
const LATE_REQUESTS: u32 = 2;

/// How much goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Faults {
    /// Nothing
    None,
    /// 15 % of orders meet one to three faults
    Some,
    /// 60 % of orders meet one to six faults
    Heavy,
}

impl From<Faults> for Level {
    fn from(faults: Faults) -> Self {
        match faults {
            Faults::None => Self::None,
            Faults::Some => Self::Some,
            Faults::Heavy => Self::Heavy,
        }
    }
}

fn parse_fault(word: &str) -> Result<Fault, String> {
    let words = || Fault::ALL.into_iter().map(Fault::word).collect::<Vec<_>>().join(", ");
    Fault::parse(word).ok_or_else(|| format!("no such fault; the faults are {}", words()))
}

pub(super) async fn run(context: &Context, args: SandboxArgs) -> Result<Exit, Failure> {
    let folder = context.config.parent().map(PathBuf::from).unwrap_or_default();
    let keys = args.keys.unwrap_or_else(|| folder.join(KEYS));
    let identity = Identity::load(&keys).map_err(|error| {
        Failure::invalid(super::exit::chain(&error))
            .help("`payrun init` makes a project with keys; or name the folder with --keys")
    })?;
    let plan = args.only.map_or_else(|| FaultPlan::new(args.seed, args.faults.into()), FaultPlan::only);
    let goes_well = args.only.is_none() && args.faults == Faults::None;
    let settings = Settings {
        plan,
        latency: Duration::from_millis(args.latency),
        jitter: Duration::from_millis(args.latency / 2),
        timeout: Duration::from_millis(args.timeout),
        books: Some(args.books.unwrap_or_else(|| folder.join("sandbox.db"))),
        reverse_after: Duration::from_secs(15),
        refund_gap: if args.real_waits { Duration::from_secs(60) } else { Duration::ZERO },
        close_after: if args.real_waits { Duration::from_secs(300) } else { Duration::ZERO },
        statements: if goes_well { Ready::Always } else { Ready::AfterRequests(LATE_REQUESTS) },
        unsettled: if goes_well { 0 } else { LATE_REQUESTS },
        ..Settings::default()
    };
    let others = others(&keys, &settings)?;
    let sandbox =
        Sandbox::open(identity, settings, Clock::of_machine()).await.map_err(|error| Failure::internal(&error))?;
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), args.port);
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::invalid(format!("cannot listen on {address}: {error}")).help("name another --port")
    })?;
    let bound = listener.local_addr().map_err(|error| Failure::internal(&error))?;
    say(format!("the gateway's other side listens on http://{bound}; its books are at http://{bound}/sandbox/books"));
    say("Ctrl-C ends it");
    let mut stopped = stop_switch();
    let shutdown = async move {
        stopped.wait_for(|stop| *stop).await.ok();
    };
    let gateways = Gateways { wechat: Some(std::sync::Arc::clone(&sandbox)), ..others };
    server::serve(gateways, listener, shutdown).await.map_err(|error| Failure::internal(&error))?;
    let totals = sandbox.totals().await.map_err(|error| Failure::internal(&error))?;
    for (currency, charged) in &totals.charged {
        say(format!("charged {} orders in {currency}", count(charged.count)));
    }
    for (currency, refunded) in &totals.refunded {
        say(format!("gave back {} payments in {currency}, in part or whole", count(refunded.count)));
    }
    Ok(Exit::Success)
}

/// How long the access tokens of CBTIS's other side live.
const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// The gateways other than WeChat Pay whose keys are there. Their books are in memory.
pub(super) fn others(keys: &std::path::Path, settings: &Settings) -> Result<Gateways, Failure> {
    let mut gateways = Gateways::default();
    let at = |name: &str| Some(keys.join(name)).filter(|folder| folder.is_dir());
    let invalid = |error: IdentityError| Failure::invalid(super::exit::chain(&error));
    if let Some(folder) = at("hipopay") {
        let identity = hipopay::Identity::load(&folder).map_err(invalid)?;
        let twin = hipopay::Hipopay::open(&identity, settings.clone(), Clock::of_machine()).map_err(invalid)?;
        gateways.hipopay = Some(twin);
    }
    if let Some(folder) = at("egms") {
        let identity = egms::Identity::load(&folder).map_err(invalid)?;
        gateways.egms = Some(egms::Egms::open(&identity, settings.clone(), Clock::of_machine()));
    }
    if let Some(folder) = at("cbtis") {
        let identity = cbtis::Identity::load(&folder).map_err(invalid)?;
        gateways.cbtis = Some(cbtis::Cbtis::open(&identity, settings.clone(), TOKEN_LIFETIME, Clock::of_machine()));
    }
    Ok(gateways)
}
