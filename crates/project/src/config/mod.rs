//! `payrun.yaml`, typed: where the ledger is, which wall clock rules, and the gateway accounts.
//!
//! What is typed in is read by [`load`], which reports every mistake at once with its place.
//! Secrets are references in the file and secret strings here; they never print.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

pub use client::ClientError;
pub use payrun_domain::policy::Rate;
pub use payrun_gateway::cbtis::account::{
    AccessToken, CbtisConfig, CbtisCustoms, CustomsAmounts, TokenRequest,
};
pub use payrun_gateway::egms::account::EgmsConfig;
pub use payrun_gateway::hipopay::account::HipopayConfig;
pub use payrun_gateway::wechat::account::{
    MerchantKey, Platform, PublicKey, WechatConfig, WechatMode,
};

mod alerts;
pub mod calendars;
mod cbtis;
mod client;
mod egms;
mod hipopay;
mod lane;
pub mod load;
mod ownership;
mod retention;
mod secrets;
mod server;
mod urls;
mod wechat;
pub mod zones;

pub use alerts::{AlertsConfig, DailyMail, MailConfig, MailSecurity, MonthlyReport};
pub(crate) use alerts::{WORKFLOW_RULE, rule};
pub use ownership::{OthersRule, StatementOwnership};
pub use retention::RetentionConfig;
pub use server::{
    ConnectionsConfig, PublicUrl, REPORTS, ServerConfig, TlsConfig, report_link_or_place,
};

/// The largest item file that is planned where nothing is said, in MiB.
pub const INPUT_MIB: u64 = 1024;

/// A whole configuration.
#[derive(Debug)]
pub struct Config {
    /// The folder of `payrun.yaml`; relative paths start here.
    pub folder: PathBuf,
    /// Where the ledger is.
    pub database: Database,
    /// How sure it must be who the server of the database is.
    pub database_tls: DatabaseTls,
    /// The wall clock of schedules and of dates in reports.
    pub timezone: chrono_tz::Tz,
    /// A folder of job kinds that override the built-in ones.
    pub jobs: Option<PathBuf>,
    /// The keys under which personal data is kept, base64 of 32 bytes each: the first seals, any
    /// opens.
    pub encryption_keys: Vec<SecretString>,
    /// Files of secrets that other users can read, each with what to do about it.
    pub open_secrets: Vec<String>,
    /// Where statements and reports go: a folder, or a bucket's address.
    pub files: String,
    /// The folder of the workflows that the service runs.
    pub workflows: PathBuf,
    /// More folders from which runs by schedule and over the API may take item files.
    pub inputs: Vec<PathBuf>,
    /// The largest item file that is planned, in MiB.
    pub input_mib: u64,
    /// Where the service listens.
    pub server: ServerConfig,
    /// How long what is kept.
    pub retention: RetentionConfig,
    /// The folder of the business-day calendars, whether or not it is there.
    pub calendar_folder: PathBuf,
    /// Business-day calendars by name, as they were when this was read.
    pub calendars: calendars::Calendars,
    /// Who hears of what, and how.
    pub alerts: AlertsConfig,
    /// Gateway accounts by name.
    pub gateways: BTreeMap<String, GatewayConfig>,
}

impl Config {
    /// What a file says that names nothing but its ledger.
    pub fn with_ledger(folder: PathBuf, database: Database) -> Self {
        Self {
            workflows: folder.join("workflows"),
            calendar_folder: folder.join("calendars"),
            folder,
            database,
            database_tls: DatabaseTls::default(),
            timezone: chrono_tz::UTC,
            jobs: None,
            encryption_keys: Vec::new(),
            open_secrets: Vec::new(),
            files: "files".to_owned(),
            inputs: Vec::new(),
            input_mib: INPUT_MIB,
            server: ServerConfig::default(),
            retention: RetentionConfig::default(),
            calendars: calendars::Calendars::default(),
            alerts: AlertsConfig::default(),
            gateways: BTreeMap::new(),
        }
    }
}

/// Where the ledger is.
#[derive(Debug, Clone)]
pub enum Database {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database: its address, which may hold a password.
    Postgres(SecretString),
}

/// How sure it must be who a PostgreSQL server on another machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DatabaseTls {
    /// Its certificate is verified, and is for its host.
    #[default]
    Verified,
    /// Whoever is on the way may read and change what is said.
    Unverified,
}

impl DatabaseTls {
    /// The words for it in `payrun.yaml`.
    pub const WORDS: [&str; 2] = ["verified", "unverified"];

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "verified" => Some(Self::Verified),
            "unverified" => Some(Self::Unverified),
            _ => None,
        }
    }
}

/// One gateway account and its lane.
#[derive(Debug)]
pub struct GatewayConfig {
    /// Its name in `payrun.yaml`.
    pub name: String,
    /// How many calls a second the account allows.
    pub rate: Rate,
    /// How many calls may be under way at once.
    pub concurrency: u32,
    /// How long one call may take.
    pub timeout: Duration,
    /// How long to leave one order alone between two queries.
    pub query_interval: Duration,
    /// How long to leave between two refunds of one payment.
    pub refund_interval: Duration,
    /// How long nothing of a kind of job is sent when our balance is too small for it.
    pub funds_interval: Duration,
    /// How many calls beyond the rate may fall into one span of it.
    pub burst: u32,
    /// After how many failures nothing more is sent.
    pub stop_after: StopAfter,
    /// Whether orders may be withdrawn right after they were made.
    pub withdraw_at_once: bool,
    /// What is particular to customs declarations on this account.
    pub customs: CustomsConfig,
    /// Which lines of its statements are ours; none: all of them.
    pub ownership: Option<StatementOwnership>,
    /// What is particular to the kind of gateway.
    pub kind: GatewayKind,
}

/// After how many failures in a row nothing more is sent until a person has looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopAfter {
    /// Replies that cannot be verified: the account's lane is stopped.
    pub unverified: u32,
    /// Items of a job that are refused for the same fault of the request, before any of it went
    /// well: the job is stopped.
    pub refused: u32,
}

impl Default for StopAfter {
    fn default() -> Self {
        Self {
            unverified: 5,
            refused: 5,
        }
    }
}

/// What is particular to customs declarations on an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomsConfig {
    /// Codes of customs beside those that the job kinds list.
    pub ports: Vec<String>,
    /// Whether orders may be declared by their sub-orders.
    pub sub_orders: bool,
    /// How long after the payment it may be declared, if not as the job kind says.
    pub declare_within: Option<Duration>,
}

impl Default for CustomsConfig {
    fn default() -> Self {
        Self {
            ports: Vec::new(),
            sub_orders: true,
            declare_within: None,
        }
    }
}

/// What is particular to a kind of gateway.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a handful of accounts, each read once"
)]
pub enum GatewayKind {
    /// WeChat Pay Global, APIv3.
    Wechat(WechatConfig),
    /// HipoPay.
    Hipopay(HipopayConfig),
    /// EGMS of EVO Cloud.
    Egms(EgmsConfig),
    /// CBTIS (AiscPay).
    Cbtis(CbtisConfig),
}

impl GatewayConfig {
    /// The same lane with another account's settings, such as those of a fake gateway.
    #[must_use]
    pub fn with(&self, kind: GatewayKind) -> Self {
        Self {
            name: self.name.clone(),
            customs: self.customs.clone(),
            ownership: self.ownership.clone(),
            kind,
            ..*self
        }
    }

    /// Whether the gateway is another machine: not a sandbox here.
    pub fn is_remote(&self) -> bool {
        let base_url = match &self.kind {
            GatewayKind::Wechat(account) => &account.base_url,
            GatewayKind::Hipopay(account) => &account.base_url,
            GatewayKind::Egms(account) => &account.base_url,
            GatewayKind::Cbtis(account) => &account.base_url,
        };
        // Plain HTTP is for this machine only: what is read of payrun.yaml has been checked.
        base_url.starts_with("https://")
    }

    /// The host that the gateway sends notifications to.
    pub fn notify_host(&self) -> Option<&str> {
        let url = match &self.kind {
            GatewayKind::Wechat(account) => &account.notify_url,
            GatewayKind::Hipopay(account) => &account.notify_url,
            GatewayKind::Egms(account) => &account.notify_url,
            GatewayKind::Cbtis(account) => &account.notify_url,
        };
        urls::url_parts(url).ok().map(|(host, _)| host)
    }

    /// The account as the gateway tells accounts apart, whatever its name here: what may happen
    /// once may happen once on it. CBTIS's documents name no id of a merchant; there the name in
    /// the file has to do.
    pub fn identity(&self) -> String {
        let id = match &self.kind {
            GatewayKind::Wechat(wechat) => match &wechat.mode {
                WechatMode::Common { mchid, .. } => mchid.clone(),
                WechatMode::Institutional {
                    sp_mchid,
                    sub_mchid,
                    ..
                } => format!("{sp_mchid}/{sub_mchid}"),
            },
            GatewayKind::Hipopay(hipopay) => hipopay.merchant_no.clone(),
            GatewayKind::Egms(egms) => egms.sid.clone(),
            GatewayKind::Cbtis(_) => self.name.clone(),
        };
        format!("{}/{id}", self.kind.as_str())
    }
}

impl GatewayKind {
    /// The word for this kind, as `kind:` in `payrun.yaml` and the outcome tables spell it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Wechat(_) => "wechat",
            Self::Hipopay(_) => "hipopay",
            Self::Egms(_) => "egms",
            Self::Cbtis(_) => "cbtis",
        }
    }
}
