//! What goes wrong, and when. Pure: which fault an order meets is a function of the seed, the order
//! number and how often the order was called, so a run goes the same way whatever its timing and
//! concurrency.
//!
//! Every order meets a bounded number of faults ([`Level::most`]), so that everything can be
//! resolved in the end.

use std::fmt;

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// In-process: as if the connection had been refused. Over sockets the request has been read by
    /// the time the order is known, so there it is a connection closed without a byte, which a
    /// client must take for lost, not for unsent.
    Refused,
    /// The connection is reset, and nothing has happened.
    ResetBefore,
    /// The connection is reset after the effect.
    ResetAfter,
    /// Nothing comes back, and nothing has happened.
    SilentBefore,
    /// Nothing comes back after the effect.
    SilentAfter,
    /// A 5xx, and nothing has happened.
    ErrorBefore,
    /// A 5xx after the effect.
    ErrorAfter,
    /// 429 with `Retry-After`; nothing has happened.
    Limited,
    /// The effect, and a reply whose signature is of another body.
    WrongSignature,
    /// The effect, and a reply that breaks off.
    Truncated,
    /// The effect, and a reply that names another amount; queries name the right one.
    OtherAmount,
    /// A code no document lists; half of the time after the effect.
    UnmappedCode,
    /// `USERPAYING`; decided after some queries or some time, three times in four for success.
    Pending,
    /// The effect, a reset, and queries that say "no such order" for a while.
    LateVisible,
    /// `NOT_ENOUGH`; queries say `NOTPAY`. The same number may be sent again.
    SoftDecline,
    /// `CONTRACT_NOT_EXIST` or `USER_ACCOUNT_ABNORMAL`; nothing was created.
    HardDecline,
    /// The effect, and a reply just before or just after the client's patience ends.
    Slow,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Refused,
        Self::ResetBefore,
        Self::ResetAfter,
        Self::SilentBefore,
        Self::SilentAfter,
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::Limited,
        Self::WrongSignature,
        Self::Truncated,
        Self::OtherAmount,
        Self::UnmappedCode,
        Self::Pending,
        Self::LateVisible,
        Self::SoftDecline,
        Self::HardDecline,
        Self::Slow,
    ];

    /// Those a query can meet: it has no effect of its own.
    const OF_QUERIES: [Self; 8] = [
        Self::Refused,
        Self::ResetBefore,
        Self::SilentBefore,
        Self::ErrorBefore,
        Self::Limited,
        Self::WrongSignature,
        Self::Truncated,
        Self::Slow,
    ];

    /// The word in books and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::ResetBefore => "reset_before",
            Self::ResetAfter => "reset_after",
            Self::SilentBefore => "silent_before",
            Self::SilentAfter => "silent_after",
            Self::ErrorBefore => "error_before",
            Self::ErrorAfter => "error_after",
            Self::Limited => "limited",
            Self::WrongSignature => "wrong_signature",
            Self::Truncated => "truncated",
            Self::OtherAmount => "other_amount",
            Self::UnmappedCode => "unmapped_code",
            Self::Pending => "pending",
            Self::LateVisible => "late_visible",
            Self::SoftDecline => "soft_decline",
            Self::HardDecline => "hard_decline",
            Self::Slow => "slow",
        }
    }

    /// The fault with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == word)
    }

    /// Whether it strikes before anything has happened.
    pub(crate) const fn is_before(self) -> bool {
        match self {
            Self::Refused
            | Self::ResetBefore
            | Self::SilentBefore
            | Self::ErrorBefore
            | Self::Limited => true,
            Self::ResetAfter
            | Self::SilentAfter
            | Self::ErrorAfter
            | Self::WrongSignature
            | Self::Truncated
            | Self::OtherAmount
            | Self::UnmappedCode
            | Self::Pending
            | Self::LateVisible
            | Self::SoftDecline
            | Self::HardDecline
            | Self::Slow => false,
        }
    }

    /// Whether it changes what becomes of an order, and so means nothing for one that is already
    /// decided.
    pub(crate) const fn is_outcome(self) -> bool {
        match self {
            Self::OtherAmount
            | Self::UnmappedCode
            | Self::Pending
            | Self::LateVisible
            | Self::SoftDecline
            | Self::HardDecline => true,
            Self::Refused
            | Self::ResetBefore
            | Self::ResetAfter
            | Self::SilentBefore
            | Self::SilentAfter
            | Self::ErrorBefore
            | Self::ErrorAfter
            | Self::Limited
            | Self::WrongSignature
            | Self::Truncated
            | Self::Slow => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing.
    None,
    /// 15 % of orders meet one to three faults.
    Some,
    /// 60 % of orders meet one to six faults.
    Heavy,
}

impl Level {
    /// The level with this word: `none`, `some` or `heavy`.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::None, Self::Some, Self::Heavy]
            .into_iter()
            .find(|level| level.as_str() == word)
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Some => "some",
            Self::Heavy => "heavy",
        }
    }

    /// How many orders in a hundred meet anything.
    const fn share(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Some => 15,
            Self::Heavy => 60,
        }
    }

    /// How many faults one order meets at most.
    pub const fn most(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Some => 3,
            Self::Heavy => 6,
        }
    }
}

/// What kind of call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// It is meant to have an effect.
    Submit,
    /// It only asks.
    Query,
}

/// Who meets what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultPlan {
    /// What everything is derived from.
    pub seed: u64,
    /// How much goes wrong.
    pub level: Level,
    /// If set, every order meets this one fault exactly once, at its first call that can meet it,
    /// whatever the level.
    pub only: Option<Fault>,
    /// If set, only calls of this kind meet faults.
    pub on: Option<CallKind>,
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        seed: 0,
        level: Level::None,
        only: None,
        on: None,
    };

    /// A plan of this level.
    pub const fn new(seed: u64, level: Level) -> Self {
        Self {
            seed,
            level,
            only: None,
            on: None,
        }
    }

    /// A plan in which every order meets this one fault once.
    pub const fn only(fault: Fault) -> Self {
        Self {
            seed: 0,
            level: Level::None,
            only: Some(fault),
            on: None,
        }
    }

    /// The fault of an order's call: `calls` came before it, `met` of them met a fault.
    pub fn meets(&self, order_no: &str, calls: u32, met: u32, kind: CallKind) -> Option<Fault> {
        if self.on.is_some_and(|on| on != kind) {
            return None;
        }
        let faults: &[Fault] = match kind {
            CallKind::Submit => &Fault::ALL,
            CallKind::Query => &Fault::OF_QUERIES,
        };
        if let Some(only) = self.only {
            return (met == 0 && faults.contains(&only)).then_some(only);
        }
        let has_fault = self.draw(order_no, "troubled", 0) % 100 < self.level.share();
        let bound = 1 + self.draw(order_no, "bound", 0) % u64::from(self.level.most().max(1));
        if !has_fault || u64::from(met) >= bound {
            return None;
        }
        let drawn = self.draw(order_no, "fault", u64::from(calls)) % faults.len() as u64;
        usize::try_from(drawn)
            .ok()
            .and_then(|index| faults.get(index))
            .copied()
    }

    /// Whether a fault that may go either way goes the first way for this order.
    pub(crate) fn coin_flip(&self, order_no: &str) -> bool {
        self.draw(order_no, "coin", 0).is_multiple_of(2)
    }

    /// A number that depends on seed, order, purpose and count alone: FNV-1a, mixed once more as
    /// splitmix64 does.
    pub fn draw(&self, order_no: &str, purpose: &str, count: u64) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325 ^ self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for byte in order_no
            .bytes()
            .chain([0])
            .chain(purpose.bytes())
            .chain(count.to_be_bytes())
        {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders_with_faults(plan: FaultPlan) -> usize {
        (0..10_000)
            .filter(|n| {
                plan.meets(&format!("order-{n}"), 0, 0, CallKind::Submit)
                    .is_some()
            })
            .count()
    }

    #[test]
    fn about_as_many_orders_are_troubled_as_the_level_says() {
        assert_eq!(orders_with_faults(FaultPlan::new(1, Level::None)), 0);
        assert!((1_350..1_650).contains(&orders_with_faults(FaultPlan::new(1, Level::Some))));
        assert!((5_700..6_300).contains(&orders_with_faults(FaultPlan::new(1, Level::Heavy))));
    }

    #[test]
    fn no_order_meets_more_faults_than_its_level_allows() {
        for level in [Level::Some, Level::Heavy] {
            let plan = FaultPlan::new(7, level);
            for n in 0..1_000 {
                let mut met = 0;
                for calls in 0..50 {
                    met += u32::from(
                        plan.meets(&format!("o{n}"), calls, met, CallKind::Query)
                            .is_some(),
                    );
                }
                assert!(met <= level.most());
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_seed_others() {
        let faults = |seed| -> Vec<_> {
            let plan = FaultPlan::new(seed, Level::Heavy);
            (0..500)
                .map(|n| plan.meets(&format!("o{n}"), 0, 0, CallKind::Submit))
                .collect()
        };
        assert_eq!(faults(1), faults(1));
        assert_ne!(faults(1), faults(2));
    }

    #[test]
    fn under_heavy_every_fault_is_met_by_someone() {
        let plan = FaultPlan::new(3, Level::Heavy);
        let met: std::collections::BTreeSet<_> = (0..2_000)
            .filter_map(|n| plan.meets(&format!("o{n}"), 0, 0, CallKind::Submit))
            .collect();
        assert_eq!(met.len(), Fault::ALL.len());
    }

    #[test]
    fn words_lead_back_to_their_faults() {
        for fault in Fault::ALL {
            assert_eq!(Fault::parse(fault.as_str()), Some(fault));
        }
    }
}
