//! What a new row of an import changes in a contract that is there already.
//!
//! The end, the pay-by rule, the description and the price may change. What decides the names of
//! periods may not, once a period has been accounted for: another day could charge a period that
//! has another name already.

use chrono::NaiveDate;
use thiserror::Error;

use super::{BillingTerms, ContractStanding, PriceList, PricesError, Subscription};
use crate::money::Amount;

/// What a row says of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractOffer {
    /// When it falls due.
    pub terms: BillingTerms,
    /// How much.
    pub amount: Amount,
    /// From which day on, where the row says so.
    pub amount_from: Option<NaiveDate>,
    /// A text for the bill.
    pub description: String,
}

/// Why a row cannot change a contract.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RevisionError {
    /// It has ended.
    #[error("the contract has ended ({reason}); what has ended does not begin again")]
    Ended {
        /// Why it has.
        reason: String,
    },
    /// Other days, after periods were accounted for.
    #[error(
        "every, anchor_day and start of a contract with periods do not change; this one has periods by now"
    )]
    Days,
    /// The price.
    #[error(transparent)]
    Prices(#[from] PricesError),
}

impl ContractOffer {
    /// As a contract that is new.
    pub fn subscription(&self) -> Subscription {
        Subscription {
            terms: self.terms,
            prices: PriceList::of(self.amount, self.terms.start()),
            standing: ContractStanding::Active,
            description: self.description.clone(),
        }
    }
}

impl Subscription {
    /// The contract as a row wants it; none if it is so already. `begun`: whether a period has been
    /// accounted for.
    ///
    /// # Errors
    /// [`RevisionError`]
    pub fn revised(
        &self,
        offer: &ContractOffer,
        today: NaiveDate,
        begun: bool,
    ) -> Result<Option<Self>, RevisionError> {
        let same_days = self.terms.same_days(&offer.terms);
        let prices = if same_days || begun {
            self.priced(offer, today)?
        } else {
            offer.subscription().prices
        };
        if prices.currency() != self.prices.currency() {
            return Err(PricesError::Currency {
                ours: self.prices.currency(),
                theirs: prices.currency(),
            }
            .into());
        }
        let revised = Self {
            terms: offer.terms,
            prices,
            description: offer.description.clone(),
            standing: self.standing.clone(),
        };
        if revised == *self {
            return Ok(None);
        }
        match &self.standing {
            ContractStanding::Ended { reason, .. } => Err(RevisionError::Ended {
                reason: reason.clone(),
            }),
            ContractStanding::Active | ContractStanding::Suspended { .. }
                if begun && !same_days =>
            {
                Err(RevisionError::Days)
            }
            ContractStanding::Active | ContractStanding::Suspended { .. } => Ok(Some(revised)),
        }
    }

    /// A price without a day is that of today: a rise that is noted for later stays.
    fn priced(&self, offer: &ContractOffer, today: NaiveDate) -> Result<PriceList, PricesError> {
        let is_so = match offer.amount_from {
            Some(day) => self
                .prices
                .is_from(day.max(self.terms.start()), offer.amount),
            None => self.prices.on(today.max(self.terms.start())) == offer.amount,
        };
        if is_so {
            Ok(self.prices.clone())
        } else {
            self.prices
                .from_day(offer.amount_from.unwrap_or(today), offer.amount)
        }
    }
}
