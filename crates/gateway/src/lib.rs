//! The port to payment gateways: what the engine may ask of one, and what comes back.
//!
//! A gateway reports what it *observed*; it does not judge. Which observation means which answer is
//! data, in the `outcomes:` tables of the job kinds. A gateway never sees the ledger.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::statement::BillNames;
use notification::{Notification, NotificationProtocol, OrderKind};
use payrun_domain::ids::OrderNumber;
use payrun_domain::money::Amount;
use payrun_domain::time::Timestamp;

pub mod cbtis;
mod customs;
pub mod egms;
mod exchange;
pub mod hipopay;
pub mod in_process;
pub mod key_check;
mod keys;
#[cfg(feature = "mutation")]
mod mutation;
pub mod notification;
pub mod redaction;
pub mod statement;
mod statement_file;
pub mod transport;
pub mod wechat;

/// The longest reply that is read, in bytes.
pub const REPLY_MAX: usize = 256 * 1024;
/// The longest file that is fetched, in bytes.
pub const FILE_MAX: usize = 64 * 1024 * 1024;

/// The facts of a reply that are numbers of what was asked for, beside the gateway's own one: what
/// was done is found by them.
pub const NUMBERS: [&str; 1] = ["verify_department_trade_id"];

/// One call to a gateway. What names a person in its input does not print.
#[derive(Clone)]
pub struct Call {
    /// Which operation of the gateway, as the job kind names it: `deduct`, `transaction`,
    /// `contract`.
    pub operation: String,
    /// The order number of the item.
    pub order_no: OrderNumber,
    /// The item's checked input: text values by field name, without amount and currency.
    pub input: Map<String, Value>,
    /// The item's amount, where the operation moves or compares money.
    pub amount: Option<Amount>,
    /// How long the call may take in all; it is aborted then.
    pub timeout: Duration,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("operation", &self.operation)
            .field("order_no", &self.order_no)
            .field("input", &redaction::RedactedInput(&self.input))
            .field("amount", &self.amount)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// What came back from a call, unjudged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// How far the call came.
    pub delivery: Delivery,
    /// The HTTP status, where there was a reply.
    pub http: Option<u16>,
    /// The gateway's error code, where the reply has one.
    pub code: Option<String>,
    /// What the gateway says of it in words, and the field that it names, where the reply refuses.
    pub message: Option<String>,
    /// The order's state in the gateway's words, where the reply has one.
    pub state: Option<String>,
    /// The order number the reply speaks of.
    pub order_no: Option<String>,
    /// The gateway's own number.
    pub receipt: Option<String>,
    /// The amount the reply speaks of; `Some(Err)` if it is there and is no amount.
    pub amount: Option<Result<Amount, String>>,
    /// How long the gateway asked us to wait before coming back.
    pub retry_after: Option<Duration>,
    /// What a notification is about; of a reply none, since what was asked says so.
    pub about: Option<OrderKind>,
    /// Facts of the reply worth keeping as the item's result; nothing sensitive.
    pub result: Map<String, Value>,
    /// The file that was fetched, where the operation fetches one: a statement, as it is to be
    /// kept.
    pub file: Option<Bytes>,
    /// The rows of a list, where the operation asks for one: settlement batches, the refunds of a
    /// payment.
    pub records: Vec<Map<String, Value>>,
    /// The reply as it came, sensitive fields masked; empty if there was none.
    pub evidence: String,
}

/// How far a call came. The line that matters runs between [`Delivery::NotSent`] and everything
/// else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Nothing was sent, though the gateway may be there. Says why.
    NotSent(String),
    /// Nothing was sent: there was no connection. Says which way it failed, and what the system
    /// calls it.
    Unreachable(NoConnection, String),
    /// The gateway refuses us as such, or our keys do not fit its own: nothing of the order
    /// happened. Says why.
    Refused(String),
    /// Nothing was sent, nor ever can be with this input. Says why.
    Unsendable(String),
    /// Something was sent, and no whole reply came before the deadline.
    TimedOut,
    /// Something was sent, and the connection broke. Says how.
    Lost(String),
    /// A reply came that cannot be read: truncated, not JSON, wrong types, too long. Says what.
    Unreadable(String),
    /// A reply came whose signature is missing, stale or wrong. Says what.
    Unverified(String),
    /// A notification came that cannot be verified before the gateway's keys can be had. Says why
    /// they cannot.
    NoKeys(String),
    /// A reply came, was verified and read.
    Replied,
}

/// Why there was no connection. The line between them is where a person looks: at the gateway, the
/// network, or the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoConnection {
    /// The machine is there and takes no connection.
    Refused,
    /// Nobody answered in time.
    TimedOut,
    /// The host's name is not known (DNS).
    NameUnknown,
    /// Anything else: no route, no TLS.
    Other,
}

impl NoConnection {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Refused => "connection refused",
            Self::TimedOut => "connecting timed out",
            Self::NameUnknown => "the host's name is not found (DNS)",
            Self::Other => "no connection (network or TLS)",
        }
    }
}

impl Delivery {
    /// What is known of why it came no further, in brackets; empty where there is nothing to say.
    pub fn why(&self) -> String {
        match self {
            Self::NotSent(why)
            | Self::Unreachable(_, why)
            | Self::Refused(why)
            | Self::Unsendable(why)
            | Self::Lost(why)
            | Self::Unreadable(why)
            | Self::Unverified(why)
            | Self::NoKeys(why) => format!("({why})"),
            Self::TimedOut => "(no reply)".to_owned(),
            Self::Replied => String::new(),
        }
    }
}

impl Observation {
    /// What it names of order number and amount, and what is ours, for people.
    pub fn differs(&self, order_no: &str, amount: Option<Amount>) -> String {
        let ours = amount.map_or_else(|| "none".to_owned(), |amount| amount.to_string());
        if let Some(theirs) = self
            .order_no
            .as_deref()
            .filter(|theirs| *theirs != order_no)
        {
            return format!("it names the order {theirs}, ours is {order_no}");
        }
        match &self.amount {
            Some(Ok(theirs)) => format!("it names {theirs}, ours is {ours}"),
            Some(Err(why)) => format!("its amount is none: {why}; ours is {ours}"),
            None => format!("it names no amount, ours is {ours}"),
        }
    }

    /// Nothing but how far the call came.
    pub fn of(delivery: Delivery) -> Self {
        Self {
            delivery,
            http: None,
            code: None,
            message: None,
            state: None,
            order_no: None,
            receipt: None,
            amount: None,
            retry_after: None,
            about: None,
            result: Map::new(),
            file: None,
            records: Vec::new(),
            evidence: String::new(),
        }
    }
}

/// What a look at a gateway without any order found.
#[derive(Debug, Clone)]
pub struct Probe {
    /// What was tried, in words: `reach https://…`, `platform keys`, `clock`.
    pub step: &'static str,
    /// What was found; or what is wrong and what to do.
    pub found: Result<String, String>,
}

/// A future of the port.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A gateway account that can be called.
pub trait Gateway: Send + Sync {
    /// Makes one call and reports what was observed. Never fails: every failure is an observation.
    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Observation>;

    /// Gets what every call needs beforehand, such as certificates or a token, in less than this
    /// time. It is got once for all who wait for it.
    ///
    /// # Errors
    /// Why it cannot be had: nothing can be sent then.
    fn prepare(&self, _within: Duration) -> BoxFuture<'_, Result<(), Observation>> {
        Box::pin(async { Ok(()) })
    }

    /// What expires of the keys by which we and the gateway know each other, as far as it is known,
    /// and when.
    fn certificates(&self) -> Vec<(&'static str, Timestamp)> {
        Vec::new()
    }

    /// Verifies a notification and reads it. Never fails either: one that is not the gateway's is
    /// an observation too.
    fn verify_notification<'a>(&'a self, notice: &'a Notification) -> BoxFuture<'a, Observation>;

    /// What of a notification's body its signature covers: two bodies with the same are one
    /// notification. The body itself, where the gateway signs that.
    fn signed_part<'a>(&self, body: &'a [u8]) -> Cow<'a, [u8]> {
        Cow::Borrowed(body)
    }

    /// What its statements call things, where that is not what its document does.
    fn bill_names(&self) -> BillNames {
        BillNames::default()
    }

    /// How this gateway talks, and wants to be answered.
    fn notification_protocol(&self) -> NotificationProtocol;

    /// The fields of `payrun.yaml` by which the gateway knows us and we know it: what to look at
    /// where one refuses the other.
    fn credentials(&self) -> &'static str;

    /// Tries keys, clock and reachability without touching an order.
    fn probe(&self) -> BoxFuture<'_, Vec<Probe>>;
}
