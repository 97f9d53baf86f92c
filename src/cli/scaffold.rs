//! A project folder made from nothing: configuration, a workflow, contracts, keys for the sandbox.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use super::exit::Failure;
use super::write_new::{cannot_write, write_new};
use crate::config::WechatMode;
use crate::sandbox::{WechatAccountKeys, cbtis, egms, hipopay};

/// The ready workflow.
pub(super) const WORKFLOW: &str = include_str!("../../workflows/monthly-deductions.yaml");

/// The other ready workflows, for a project to take from.
const READY: [(&str, &str); 15] = [
    (
        "cancel-orders",
        include_str!("../../workflows/cancel-orders.yaml"),
    ),
    (
        "check-buyers",
        include_str!("../../workflows/check-buyers.yaml"),
    ),
    (
        "customs-filing",
        include_str!("../../workflows/customs-filing.yaml"),
    ),
    (
        "customs-modify",
        include_str!("../../workflows/customs-modify.yaml"),
    ),
    (
        "customs-redeclare",
        include_str!("../../workflows/customs-redeclare.yaml"),
    ),
    (
        "daily-reconciliation",
        include_str!("../../workflows/daily-reconciliation.yaml"),
    ),
    (
        "daily-statements",
        include_str!("../../workflows/daily-statements.yaml"),
    ),
    (
        "end-contracts",
        include_str!("../../workflows/end-contracts.yaml"),
    ),
    (
        "exchange-rates",
        include_str!("../../workflows/exchange-rates.yaml"),
    ),
    (
        "query-orders",
        include_str!("../../workflows/query-orders.yaml"),
    ),
    ("month-end", include_str!("../../workflows/month-end.yaml")),
    (
        "refund-batch",
        include_str!("../../workflows/refund-batch.yaml"),
    ),
    (
        "settlements",
        include_str!("../../workflows/settlements.yaml"),
    ),
    (
        "subscriptions",
        include_str!("../../workflows/subscriptions.yaml"),
    ),
    (
        "take-payments",
        include_str!("../../workflows/take-payments.yaml"),
    ),
];

/// Where `payrun sandbox` listens if nothing else is said.
pub(super) const SANDBOX_PORT: u16 = 4455;

/// The file of the key for personal data, among the keys.
const PERSONAL_KEY: &str = "personal.key";

/// The folder of the sandbox's keys.
pub(super) const KEYS: &str = "keys";

/// Fresh keys for the sandbox, in the project's folder.
pub(super) fn keys(folder: &Path) -> Result<WechatAccountKeys, Failure> {
    let identity = WechatAccountKeys::generate().map_err(|error| Failure::internal(&error))?;
    identity
        .save(&folder.join(KEYS))
        .map_err(|error| Failure::internal(&error))?;
    Ok(identity)
}

/// Fresh keys for the sandboxes of the other gateways, in folders of their own; their accounts as
/// `payrun.yaml` has them.
pub(super) fn other_accounts(
    folder: &Path,
    base_url: &str,
    bounds: LaneBounds,
) -> Result<String, Failure> {
    let internal = |error| Failure::internal(&error);
    let at = |name: &str| folder.join(KEYS).join(name);
    let hipopay = hipopay::HipopayAccountKeys::generate().map_err(internal)?;
    let egms = egms::EgmsAccountKeys::generate().map_err(internal)?;
    let cbtis = cbtis::CbtisAccountKeys::generate().map_err(internal)?;
    hipopay.save(&at("hipopay")).map_err(internal)?;
    egms.save(&at("egms")).map_err(internal)?;
    cbtis.save(&at("cbtis")).map_err(internal)?;
    let accounts = [
        (
            "hipopay",
            hipopay.yaml(base_url, &format!("{KEYS}/hipopay")),
        ),
        ("egms", egms.yaml(base_url, &format!("{KEYS}/egms"))),
        ("cbtis", cbtis.yaml(base_url, &format!("{KEYS}/cbtis"))),
    ];
    let lane = bounds.yaml();
    let mut text =
        "\n  # The sandbox has the other kinds of gateway too; remove those you have no account at.\n".to_owned();
    for (name, account) in accounts {
        write!(text, "  {name}:\n{account}{lane}\n").ok();
    }
    Ok(text.trim_end().to_owned() + "\n")
}

/// The bounds of the sandbox's lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct LaneBounds {
    pub rate: &'static str,
    pub concurrency: u32,
    pub timeout: &'static str,
    pub query_interval: &'static str,
    pub refund_interval: &'static str,
    pub funds_interval: &'static str,
    /// More of the lane: what a play with many faults at once wants otherwise.
    pub more: &'static str,
}

impl LaneBounds {
    fn yaml(&self) -> String {
        let Self {
            rate,
            concurrency,
            timeout,
            query_interval,
            refund_interval,
            funds_interval,
            more,
        } = self;
        format!(
            "    rate: {rate}\n    concurrency: {concurrency}\n    timeout: {timeout}\n    query_interval: {query_interval}\n    \
             refund_interval: {refund_interval}\n    funds_interval: {funds_interval}\n    withdraw_at_once: true\n{more}"
        )
    }
}

/// In which currencies contracts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SampleCurrencies {
    /// All in HKD.
    OneCurrency,
    /// A third of them in CNY.
    TwoCurrencies,
}

/// The key for personal data, made at random; its file is for its owner only.
pub(super) fn personal_key(folder: &Path) -> Result<(), Failure> {
    use base64::Engine as _;
    let key: [u8; 32] = rand::random();
    let text = base64::engine::general_purpose::STANDARD.encode(key) + "\n";
    write_secret(&folder.join(KEYS).join(PERSONAL_KEY), &text)
}

fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let opened = options.open(path);
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| cannot_write(path, &error))
}

/// `payrun.yaml` for the sandbox at this address.
pub(super) fn payrun_yaml(
    identity: &WechatAccountKeys,
    base_url: &str,
    bounds: LaneBounds,
) -> String {
    let serial = identity.merchant_serial();
    let ids = match &identity.mode {
        WechatMode::Common { mchid, appid } => {
            format!("    mode: common\n    mchid: \"{mchid}\"\n    appid: {appid}\n")
        }
        WechatMode::Institutional {
            sp_mchid,
            sp_appid,
            sub_mchid,
            sub_appid,
        } => {
            let sub_appid = sub_appid
                .as_ref()
                .map_or_else(String::new, |id| format!("    sub_appid: {id}\n"));
            format!(
                "    mode: institutional\n    sp_mchid: \"{sp_mchid}\"\n    sp_appid: {sp_appid}\n    sub_mchid: \"{sub_mchid}\"\n{sub_appid}"
            )
        }
    };
    let lane = bounds.yaml();
    format!(
        "# yaml-language-server: $schema=schema/payrun.schema.json
# Where the ledger is, which wall clock rules, and the gateway accounts. `payrun check` looks for mistakes.
database: payrun.db
timezone: Asia/Hong_Kong

# The key under which personal data (identity cards, names, openids) is kept: base64 of 32 bytes. Keep a copy of it elsewhere.
encryption_key: {{ file: {KEYS}/{PERSONAL_KEY} }}
# Where statements and reports go: a folder, or s3://bucket/prefix.
files: files

gateways:
  # This account is the sandbox's: `payrun sandbox` serves it on loopback. For a real account put its ids, keys and
  # base_url: https://apihk.mch.weixin.qq.com here, and leave out the three intervals, whose defaults are what a real gateway wants.
  hk:
    kind: wechat
    base_url: {base_url}
{ids}    merchant_key: {{ file: {KEYS}/merchant_key.pem }}
    merchant_serial: \"{serial}\"
    api_v3_key: {{ file: {KEYS}/api_v3_key.txt }}
    platform: auto
    notify_url: https://example.com/payrun/notify/hk
{lane}"
    )
}

/// Waits for the sandbox, in the workflow that `payrun init` makes.
const SANDBOX_IS_QUICK: &str = "
    # How soon to ask about what is not known. The sandbox is quick; leave this line out at a real gateway.
    query: { schedule: [1s, 2s, 5s], grace: 10s, horizon: 1d }
";

/// The other ready workflows, in a folder of their own: what is copied from there into `workflows/`
/// is the user's.
pub(super) fn ready_workflows(folder: &Path) -> Result<(), Failure> {
    for (name, text) in READY {
        write_new(folder, &format!("ready/{name}.yaml"), text)?;
    }
    Ok(())
}

/// The ready workflow, in a project whose gateway is the sandbox.
pub(super) fn workflow_yaml() -> String {
    let mut text = String::with_capacity(WORKFLOW.len());
    for line in WORKFLOW.lines() {
        text.push_str(line);
        text.push('\n');
        if line.trim_start().starts_with("dunning:") {
            text.push_str(SANDBOX_IS_QUICK);
        }
    }
    text
}

/// Contracts as a CSV: mostly good ones, a few that the sandbox declines by the end of their id.
pub(super) fn contracts_csv(
    path: &Path,
    items: u64,
    seed: u64,
    prices: SampleCurrencies,
) -> Result<(), Failure> {
    let file = std::fs::File::create(path).map_err(|error| cannot_write(path, &error))?;
    let mut out = std::io::BufWriter::new(file);
    let mut line = String::new();
    writeln!(out, "contract_id,plan,amount,currency,active")
        .map_err(|error| cannot_write(path, &error))?;
    for number in 1..=items {
        let draw = mixed(seed, number);
        let ending = match draw % 200 {
            0 => "-poor",
            1 => "-terminated",
            2 => "-blocked",
            _ => "",
        };
        let (plan, amount) = [
            ("basic", "38.00"),
            ("family", "68.00"),
            ("premium", "128.50"),
        ][usize::try_from(draw / 200 % 3).unwrap_or(0)];
        let currency = if plan == "premium" && prices == SampleCurrencies::TwoCurrencies {
            "CNY"
        } else {
            "HKD"
        };
        line.clear();
        writeln!(
            line,
            "Wx{seed:04}{number:09}{ending},{plan},{amount},{currency},yes"
        )
        .ok();
        out.write_all(line.as_bytes())
            .map_err(|error| cannot_write(path, &error))?;
    }
    out.flush().map_err(|error| cannot_write(path, &error))
}

/// splitmix64: the same for the same seed on every machine.
const fn mixed(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
