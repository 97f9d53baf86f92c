//! How the fake gateways behave.

use std::path::PathBuf;
use std::time::Duration;

use crate::faults::FaultPlan;
use crate::shared::statements::StatementDelay;

/// How a sandbox behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What goes wrong.
    pub plan: FaultPlan,
    /// How long every reply takes at least.
    pub latency: Duration,
    /// How much longer it may take, by seed.
    pub jitter: Duration,
    /// The client's patience, which [`Fault::Slow`](crate::faults::Fault::Slow) just keeps within
    /// or just exceeds.
    pub timeout: Duration,
    /// After how long a pending order is decided, if not by queries before.
    pub pending: Duration,
    /// How long [`Fault::LateVisible`](crate::faults::Fault::LateVisible) hides an order from
    /// queries.
    pub late: Duration,
    /// Where the books are kept; temporary if none.
    pub books: Option<PathBuf>,
    /// How far two refunds of a payment of WeChat Pay must be apart: a minute at the real one
    /// (docs/gateways/wechat.md, "Limits").
    pub refund_gap: Duration,
    /// How many looks at a payment that was put into the books show one minor unit more than was
    /// paid.
    pub misread: u32,
    /// How old a payment must be to be reversed: 15 seconds at the real WeChat Pay
    /// (docs/gateways/wechat.md, "Withdrawing").
    pub reverse_after: Duration,
    /// How old an order must be to be closed: 5 minutes at the real WeChat Pay
    /// (docs/gateways/wechat.md, "Withdrawing").
    pub close_after: Duration,
    /// By what replies are signed.
    pub signs_with: SignsWith,
    /// When the statement of a day is there.
    pub statements: StatementDelay,
    /// How many queries for settlement batches see all of them unsettled.
    pub unsettled: u32,
    /// Whether settlements are asked for by the sub-merchant, as of an ordinary service provider.
    pub settlements_by_sub_merchant: bool,
    /// Codes of customs beside those that the gateways list.
    pub ports: Vec<String>,
    /// Whether it is noted which orders have reached an end, so that their notifications can be
    /// sent.
    pub notes_ends: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            plan: FaultPlan::NONE,
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            timeout: Duration::from_secs(5),
            pending: Duration::from_secs(3),
            late: Duration::from_secs(1),
            books: None,
            refund_gap: Duration::ZERO,
            misread: 0,
            reverse_after: Duration::ZERO,
            close_after: Duration::ZERO,
            signs_with: SignsWith::Certificate,
            statements: StatementDelay::Always,
            unsettled: 0,
            settlements_by_sub_merchant: false,
            ports: Vec::new(),
            notes_ends: false,
        }
    }
}

impl Settings {
    /// Whether this gateway, which lists these, declares to customs of a code.
    pub(crate) fn declares_to(&self, listed: &[&str], code: &str) -> bool {
        listed.contains(&code) || self.ports.iter().any(|port| port == code)
    }
}

/// By what a platform signs its replies (docs/gateways/wechat.md, "Platform keys").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignsWith {
    /// The newest platform certificate.
    Certificate,
    /// The newest public key's counterpart, under its id; that of the identity is
    /// [`PUBLIC_KEY_ID`](crate::wechat::account_keys::PUBLIC_KEY_ID).
    PublicKey,
}
