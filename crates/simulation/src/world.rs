//! The world of a play: fake gateways with keys of their own, and the accounts that lead to
//! them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::SimulationError;
use super::network::{Network, NetworkLink};
use payrun_engine::{Account, AccountWatch};
use payrun_gateway::transport::Transport;
use payrun_project::config::{Config, GatewayConfig, GatewayKind};
use payrun_project::workflow::Workflow;
use payrun_sandbox::faults::{FaultPlan, Level};
use payrun_sandbox::{FakeGateway, FakeWechat, Gateways, Settings, SignsWith, WechatAccountKeys};
use payrun_system::clock::Clock;

/// How long an access token lives.
const TOKEN: Duration = Duration::from_secs(86_400 * 3650);

/// Where in-process requests are said to go.
const BASE: &str = "https://simulated.invalid";

/// Keys for the fake gateways. They take a while to make, so all seeds of a process share
/// them.
#[derive(Debug)]
pub struct FakeGateways {
    wechat: WechatAccountKeys,
    hipopay: payrun_sandbox::hipopay::HipopayAccountKeys,
    egms: payrun_sandbox::egms::EgmsAccountKeys,
    cbtis: payrun_sandbox::cbtis::CbtisAccountKeys,
}

impl FakeGateways {
    /// Fresh keys.
    ///
    /// # Errors
    /// If the machine has no randomness to give.
    pub fn generate() -> Result<Self, SimulationError> {
        let failed =
            |error: payrun_sandbox::AccountKeysError| SimulationError::Sandbox(error.to_string());
        Ok(Self {
            wechat: WechatAccountKeys::generate().map_err(failed)?,
            hipopay: payrun_sandbox::hipopay::HipopayAccountKeys::generate().map_err(failed)?,
            egms: payrun_sandbox::egms::EgmsAccountKeys::generate().map_err(failed)?,
            cbtis: payrun_sandbox::cbtis::CbtisAccountKeys::generate().map_err(failed)?,
        })
    }
}

/// A fake gateway, behind one account.
pub(super) struct SimAccount {
    /// The account's lane, with the keys of the play in place of its own.
    config: GatewayConfig,
    /// Which account it is in `payrun.yaml`.
    identity: String,
    pub gateways: Gateways,
    fake: Arc<dyn FakeGateway>,
}

/// The fakes of the accounts that a workflow names, by their names: what nothing is sent to
/// has no part in a play.
pub(super) async fn places(
    config: &Config,
    workflow: &Workflow,
    fakes: &FakeGateways,
    plan: FaultPlan,
    clock: &Clock,
) -> Result<BTreeMap<String, SimAccount>, SimulationError> {
    let mut places = BTreeMap::new();
    for (name, account) in &config.gateways {
        if workflow.jobs.iter().any(|job| job.gateway == *name) {
            places.insert(name.clone(), place(account, fakes, plan, clock).await?);
        }
    }
    Ok(places)
}

async fn place(
    account: &GatewayConfig,
    fakes: &FakeGateways,
    plan: FaultPlan,
    clock: &Clock,
) -> Result<SimAccount, SimulationError> {
    let settings = Settings {
        plan,
        // What is slow is played by the network.
        timeout: Duration::ZERO,
        pending: Duration::from_secs(60),
        late: Duration::from_secs(20),
        signs_with: SignsWith::PublicKey,
        unsettled: if plan.level == Level::None { 0 } else { 2 },
        notes_ends: true,
        ..Settings::default()
    };
    let failed = |error: &dyn std::fmt::Display| SimulationError::Sandbox(error.to_string());
    let mut gateways = Gateways::default();
    let clock = clock.clone();
    let (fake, kind): (Arc<dyn FakeGateway>, GatewayKind) = match &account.kind {
        GatewayKind::Wechat(theirs) => {
            let mut identity = fakes.wechat.clone();
            identity.mode = theirs.mode.clone();
            let config = identity.wechat_config_with_public_key(BASE);
            let fake = FakeWechat::open(identity, settings, clock)
                .await
                .map_err(|error| failed(&error))?;
            gateways.wechat = Some(Arc::clone(&fake));
            (fake, GatewayKind::Wechat(config))
        }
        GatewayKind::Hipopay(_) => {
            let fake = payrun_sandbox::hipopay::FakeHipopay::open(&fakes.hipopay, settings, clock);
            let fake = fake.map_err(|error| failed(&error))?;
            gateways.hipopay = Some(Arc::clone(&fake));
            (fake, GatewayKind::Hipopay(fakes.hipopay.config(BASE)))
        }
        GatewayKind::Egms(_) => {
            let fake = payrun_sandbox::egms::FakeEgms::open(&fakes.egms, settings, clock);
            gateways.egms = Some(Arc::clone(&fake));
            (fake, GatewayKind::Egms(fakes.egms.config(BASE)))
        }
        GatewayKind::Cbtis(_) => {
            let fake = payrun_sandbox::cbtis::FakeCbtis::open(&fakes.cbtis, settings, TOKEN, clock);
            gateways.cbtis = Some(Arc::clone(&fake));
            (
                fake,
                GatewayKind::Cbtis(fakes.cbtis.config_with_fixed_token(BASE)),
            )
        }
    };
    Ok(SimAccount {
        config: account.with(kind),
        identity: account.identity(),
        gateways,
        fake,
    })
}

impl SimAccount {
    /// The kind of gateway.
    pub const fn as_str(&self) -> &'static str {
        self.config.kind.as_str()
    }

    /// The path by which the gateway knows where its notifications go, where it signs that.
    pub fn signed_path(&self) -> &str {
        match &self.config.kind {
            GatewayKind::Egms(config) => &config.notify_path,
            GatewayKind::Wechat(_) | GatewayKind::Hipopay(_) | GatewayKind::Cbtis(_) => "",
        }
    }

    /// The account as a node has it, by its own clock.
    pub fn account(
        &self,
        network: &Arc<Network>,
        clock: &Clock,
    ) -> Result<Account, SimulationError> {
        let line = NetworkLink {
            network: Arc::clone(network),
            fake: Arc::clone(&self.fake),
        };
        let (transport, clock) = (Transport::InProcess(Arc::new(line)), clock.clone());
        let account = Account::open(&self.config, transport, clock)
            .map_err(|error| SimulationError::Sandbox(error.to_string()))?;
        Ok(Account {
            identity: self.identity.clone(),
            withdraw_at_once: true,
            ownership: None,
            is_remote: false,
            watch: AccountWatch::default(),
            ..account
        })
    }
}
