//! `payrun sandbox`

use std::collections::BTreeMap;
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
use crate::app::Project;
use crate::clock::Clock;
use crate::config::{self, Config, GatewayKind, WechatConfig};
use crate::sandbox::faults::{Fault, FaultPlan, Level};
use crate::sandbox::notifications::sender::{Address, NotificationSender};
use crate::sandbox::{
    AccountKeysError, FakeWechat, Gateways, Settings, StatementDelay, WechatAccountKeys, cbtis,
    egms, hipopay, server,
};

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
    /// Be as slow as the real gateways: a minute between refunds of a payment, 5 minutes before a
    /// close
    #[arg(long)]
    real_waits: bool,
    /// Send notifications to this address and the name of the gateway behind it:
    /// http://127.0.0.1:8420/notify
    #[arg(long, value_name = "URL", value_parser = parse_local)]
    notify: Option<String>,
    /// By how much notifications are repeated sooner than the real gateways do
    #[arg(long, default_value_t = 100, value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    notify_faster: u32,
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
    let words = || {
        Fault::ALL
            .into_iter()
            .map(Fault::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    };
    Fault::parse(word).ok_or_else(|| format!("no such fault; the faults are {}", words()))
}

pub(super) async fn run(context: &Context, args: SandboxArgs) -> Result<Exit, Failure> {
    let folder = context
        .config
        .parent()
        .map(PathBuf::from)
        .unwrap_or_default();
    let keys = args.keys.unwrap_or_else(|| folder.join(KEYS));
    let config = config::load::load(&context.config).ok();
    let mut identity = WechatAccountKeys::load(&keys).map_err(|error| {
        Failure::invalid(super::exit::chain(&error))
            .help("`payrun init` makes a project with keys; or name the folder with --keys")
    })?;
    // It plays the gateway of the account that its keys are of, as it stands in payrun.yaml.
    let account = config
        .as_ref()
        .and_then(|config| account_of(config, &identity));
    if let Some(account) = account {
        identity.mode = account.mode.clone();
    }
    let plan = args.only.map_or_else(
        || FaultPlan::new(args.seed, args.faults.into()),
        FaultPlan::only,
    );
    let goes_well = args.only.is_none() && args.faults == Faults::None;
    let settings = Settings {
        plan,
        latency: Duration::from_millis(args.latency),
        jitter: Duration::from_millis(args.latency / 2),
        timeout: Duration::from_millis(args.timeout),
        books: Some(args.books.unwrap_or_else(|| folder.join("sandbox.db"))),
        reverse_after: Duration::from_secs(15),
        refund_gap: if args.real_waits {
            Duration::from_secs(60)
        } else {
            Duration::ZERO
        },
        close_after: if args.real_waits {
            Duration::from_secs(300)
        } else {
            Duration::ZERO
        },
        statements: if goes_well {
            StatementDelay::Always
        } else {
            StatementDelay::AfterRequests(LATE_REQUESTS)
        },
        unsettled: if goes_well { 0 } else { LATE_REQUESTS },
        notes_ends: args.notify.is_some(),
        settlements_by_sub_merchant: account
            .is_some_and(|account| account.settlements_by_sub_merchant),
        ports: config
            .iter()
            .flat_map(|config| config.gateways.values())
            .flat_map(|one| one.customs.ports.clone())
            .collect(),
        ..Settings::default()
    };
    let notifies = args
        .notify
        .as_deref()
        .map(|url| address(context, url, args.notify_faster))
        .transpose()?;
    let others = others(&keys, &settings)?;
    let sandbox = FakeWechat::open(identity, settings, Clock::of_machine())
        .await
        .map_err(|error| Failure::internal(&error))?;
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), args.port);
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let help = format!(
            "another sandbox or program may listen there. End it, or take another port: --port {0}, and then base_url: \
             http://127.0.0.1:{0} of the accounts in payrun.yaml",
            args.port.wrapping_add(1).max(1024)
        );
        Failure::invalid(format!("cannot listen on {address}: {error}")).help(help)
    })?;
    let bound = listener
        .local_addr()
        .map_err(|error| Failure::internal(&error))?;
    say(format!(
        "the fake gateway listens on http://{bound}; its books are at http://{bound}/sandbox/books"
    ));
    say("Ctrl-C ends it");
    let mut stopped = stop_switch();
    let shutdown = async move {
        stopped.wait_for(|stop| *stop).await.ok();
    };
    let gateways = Gateways {
        wechat: Some(std::sync::Arc::clone(&sandbox)),
        ..others
    };
    let sender = notifies.map(|address| {
        tokio::spawn(NotificationSender::new(gateways.clone(), address, plan).run())
    });
    let served = server::serve(gateways, listener, shutdown).await;
    if let Some(sender) = sender {
        sender.abort();
    }
    served.map_err(|error| Failure::internal(&error))?;
    let totals = sandbox
        .totals()
        .await
        .map_err(|error| Failure::internal(&error))?;
    for (currency, charged) in &totals.charged {
        say(format!(
            "charged {} orders in {currency}",
            count(charged.count)
        ));
    }
    for (currency, refunded) in &totals.refunded {
        say(format!(
            "gave back {} payments in {currency}, in part or whole",
            count(refunded.count)
        ));
    }
    Ok(Exit::Success)
}

/// The account of these keys: it says whether it is a merchant's or an institution's, and its ids.
fn account_of<'a>(config: &'a Config, identity: &WechatAccountKeys) -> Option<&'a WechatConfig> {
    config
        .gateways
        .values()
        .find_map(|gateway| match &gateway.kind {
            GatewayKind::Wechat(wechat)
                if wechat
                    .merchant_keys
                    .iter()
                    .any(|key| identity.is_of(&key.serial)) =>
            {
                Some(wechat)
            }
            GatewayKind::Wechat(_)
            | GatewayKind::Hipopay(_)
            | GatewayKind::Egms(_)
            | GatewayKind::Cbtis(_) => None,
        })
}

/// Where each gateway's notifications go: to the account of that kind in payrun.yaml, the first if
/// there are several; where there is no payrun.yaml, to the name of the kind.
fn address(context: &Context, url: &str, compressed: u32) -> Result<Address, Failure> {
    let mut address = Address {
        urls: BTreeMap::new(),
        signed_path: None,
        compressed,
    };
    if !context.config.exists() {
        let names = ["wechat", "hipopay", "egms", "cbtis"];
        address.urls = names
            .into_iter()
            .map(|name| (name, format!("{url}/{name}")))
            .collect();
        return Ok(address);
    }
    for (name, gateway) in &Project::open(&context.config)?.config.gateways {
        address
            .urls
            .entry(gateway.kind.as_str())
            .or_insert_with(|| format!("{url}/{name}"));
        if let GatewayKind::Egms(egms) = &gateway.kind {
            address
                .signed_path
                .get_or_insert_with(|| egms.notify_path.clone());
        }
    }
    Ok(address)
}

/// The sandbox is no gateway: what it sends goes to this machine only.
fn parse_local(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).map_err(|error| error.to_string())?;
    let local = url
        .host_str()
        .is_some_and(|host| matches!(host, "localhost" | "[::1]") || host.starts_with("127."));
    if url.scheme() != "http" || !local || url.query().is_some() {
        return Err("an http:// address of this machine is expected, without a query".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// How long the access tokens of The fake of CBTIS live.
const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// The gateways other than WeChat Pay whose keys are there. Their books are in memory.
pub(super) fn others(keys: &std::path::Path, settings: &Settings) -> Result<Gateways, Failure> {
    let mut gateways = Gateways::default();
    let at = |name: &str| Some(keys.join(name)).filter(|folder| folder.is_dir());
    let invalid = |error: AccountKeysError| Failure::invalid(super::exit::chain(&error));
    if let Some(folder) = at("hipopay") {
        let identity = hipopay::HipopayAccountKeys::load(&folder).map_err(invalid)?;
        let fake = hipopay::FakeHipopay::open(&identity, settings.clone(), Clock::of_machine())
            .map_err(invalid)?;
        gateways.hipopay = Some(fake);
    }
    if let Some(folder) = at("egms") {
        let identity = egms::EgmsAccountKeys::load(&folder).map_err(invalid)?;
        gateways.egms = Some(egms::FakeEgms::open(
            &identity,
            settings.clone(),
            Clock::of_machine(),
        ));
    }
    if let Some(folder) = at("cbtis") {
        let identity = cbtis::CbtisAccountKeys::load(&folder).map_err(invalid)?;
        gateways.cbtis = Some(cbtis::FakeCbtis::open(
            &identity,
            settings.clone(),
            TOKEN_LIFETIME,
            Clock::of_machine(),
        ));
    }
    Ok(gateways)
}
