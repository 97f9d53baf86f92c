//! A gateway account that can be called, and the bounds of its lane.

use std::time::Duration;

use payrun_domain::policy::Rate;
use payrun_gateway::Gateway;
use payrun_gateway::transport::Transport;
use payrun_project::config::{ClientError, GatewayConfig, StatementOwnership};
use payrun_system::clock::Clock;

use crate::{AccountWatch, CallPace};

/// A gateway account that can be called, and the bounds of its lane.
pub struct Account {
    /// Its name in the configuration.
    pub name: String,
    /// Which account it is, as the gateway tells accounts apart, whatever its name here.
    pub identity: String,
    /// The kind of gateway, as the outcome tables spell it.
    pub kind: &'static str,
    /// How it is called.
    pub gateway: Box<dyn Gateway>,
    /// How many calls it allows.
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
    /// Whether orders may be withdrawn right after they were made.
    pub withdraw_at_once: bool,
    /// Which lines of its statements are ours; none: all of them.
    pub ownership: Option<StatementOwnership>,
    /// Whether the gateway is another machine: not a sandbox here.
    pub is_remote: bool,
    /// Keeps the rate in every span of it; none where nothing is called over a network.
    pub pace: Option<CallPace>,
    /// What this process remembers of its calls.
    pub watch: AccountWatch,
}

/// The time between the end of the longest call and the end of its lease.
const LEASE_MARGIN: Duration = Duration::from_secs(30);

impl Account {
    /// The account of the configuration, called through `transport`.
    ///
    /// # Errors
    /// What its client says of its settings.
    pub fn open(
        config: &GatewayConfig,
        transport: Transport,
        clock: Clock,
    ) -> Result<Self, ClientError> {
        let is_networked = matches!(transport, Transport::Http(_));
        let account = Self::over(config, config.kind.client(transport, clock)?);
        Ok(Self {
            pace: is_networked.then(|| CallPace::of(config.rate, config.burst)),
            ..account
        })
    }

    /// The account of the configuration, called by a client in this process.
    pub fn over(config: &GatewayConfig, gateway: Box<dyn Gateway>) -> Self {
        Self {
            name: config.name.clone(),
            identity: config.identity(),
            kind: config.kind.as_str(),
            gateway,
            rate: config.rate,
            concurrency: config.concurrency,
            timeout: config.timeout,
            query_interval: config.query_interval,
            refund_interval: config.refund_interval,
            funds_interval: config.funds_interval,
            withdraw_at_once: config.withdraw_at_once,
            ownership: config.ownership.clone(),
            is_remote: config.is_remote(),
            pace: None,
            watch: AccountWatch::new(config.stop_after),
        }
    }

    /// How long a claim holds: a call of the longest length, and time to write it down.
    pub fn lease(&self) -> Duration {
        self.timeout * 2 + LEASE_MARGIN
    }
}
