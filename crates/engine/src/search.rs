//! `payrun find`: from what a person typed to what the ledger looks for.
//!
//! The ledger keeps fingerprints and hashes; which of them a text may have is worked out here: of
//! every account there has been, of every field of which one value is in flight at a time, and of a
//! personal reference.

use std::collections::BTreeSet;

use chrono::{Days, NaiveDate, NaiveTime};
use thiserror::Error;

use crate::Engine;
use crate::references::ReferenceKeyError;
use payrun_domain::ids::KeyHash;
use payrun_domain::money::{Amount, Currency};
use payrun_domain::schedule::instant;
use payrun_domain::text::{searchable, trimmed};
use payrun_domain::time::Timestamp;
use payrun_ledger::{
    FoundItem, LedgerError, SearchDays, SearchFilter, SearchQuery, SearchResults, SearchText,
    TimeSpan,
};
use payrun_project::job_kinds::StatementRole;
use payrun_yaml::diagnostics::suggestion;

/// How many of each kind are shown if nothing is said.
pub const SHOWN: u32 = 50;

/// How many of each kind are shown at most.
pub const SHOWN_MAX: u32 = 500;

/// The longest text that is looked for, in characters.
const TEXT_MAX: usize = 200;

/// What is looked for, as it was typed.
#[derive(Debug, Clone, Default)]
pub struct SearchTerms {
    /// A key, a number, a contract, a reference.
    pub text: Option<String>,
    /// The gateway account's name.
    pub account: Option<String>,
    /// The day.
    pub day: Option<String>,
    /// Or the first day.
    pub from: Option<String>,
    /// And the last.
    pub to: Option<String>,
    /// Decimal text.
    pub amount: Option<String>,
    /// The amount's currency.
    pub currency: Option<String>,
    /// How many of each kind at most.
    pub limit: Option<u32>,
}

/// Why nothing was looked for.
#[derive(Debug, Error)]
pub enum SearchError {
    /// What was typed says nothing that could be looked for. It holds nothing of the text.
    #[error("{what}")]
    Terms {
        /// What is wrong.
        what: String,
        /// What to do.
        help: Option<String>,
    },
    /// The key of personal references.
    #[error("personal references cannot be looked for")]
    References(#[from] ReferenceKeyError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl SearchError {
    fn terms(what: impl Into<String>) -> Self {
        Self::Terms {
            what: what.into(),
            help: None,
        }
    }
}

/// Where something was looked for, for people.
pub const PLACES: [&str; 8] = [
    "items and runs by their numbers here",
    "keys and their beginnings",
    "order numbers of every generation",
    "the gateways' numbers of payments, refunds and declarations, and those of the customs",
    "contracts",
    "columns that a workflow declares searchable, and order numbers of rejected rows",
    "lines of statements",
    "notifications",
];

/// Where something without a text was looked for.
pub const PLACES_OF_AMOUNT: [&str; 1] =
    ["items by their amount and the day on which they were sent"];

impl Engine {
    /// Looks for something in every place where it may stand.
    ///
    /// # Errors
    /// [`SearchError`].
    pub async fn search(&self, terms: &SearchTerms) -> Result<SearchResults, SearchError> {
        let (text, filter) = (self.text_of(terms)?, self.filter_of(terms)?);
        let limit = terms.limit.unwrap_or(SHOWN);
        if !(1..=SHOWN_MAX).contains(&limit) {
            return Err(SearchError::terms(format!("limit is 1 to {SHOWN_MAX}")));
        }
        if text.is_none() && (filter.amount.is_none() || filter.days.is_none()) {
            return Err(SearchError::Terms {
                what: "without a text an amount, its currency and a day are needed".to_owned(),
                help: Some(
                    "such as payrun find --account hk --day 2026-03-03 --amount 88.00 --currency HKD"
                        .to_owned(),
                ),
            });
        }
        let text = match text {
            Some(text) => Some(self.forms_of(text).await?),
            None => None,
        };
        let query = SearchQuery {
            text,
            filter,
            limit,
        };
        let mut found = self.ledger.search(&query).await?;
        if let Some(account) = terms.account.as_ref() {
            let contracts = &mut found.contracts.rows;
            contracts.retain(|row| self.name_of_account(&row.account) == Some(account));
        }
        Ok(found)
    }

    /// Whether an item gives money back, so that the gateway's number is a refund's.
    pub fn is_refund(&self, found: &FoundItem) -> bool {
        let kind = self.job_kinds.by_name.get(&found.kind);
        kind.is_some_and(|kind| kind.in_statement == Some(StatementRole::Refund))
    }

    /// The name of an account, as the gateway tells accounts apart; none if it is no longer
    /// configured.
    pub fn name_of_account(&self, identity: &str) -> Option<&str> {
        let mut accounts = self.accounts.values();
        accounts
            .find(|account| account.identity == identity)
            .map(|account| account.name.as_str())
    }

    fn text_of<'t>(&self, terms: &'t SearchTerms) -> Result<Option<&'t str>, SearchError> {
        let text = terms.text.as_deref().map(trimmed);
        if text.is_some_and(|text| text.chars().count() > TEXT_MAX) {
            return Err(SearchError::terms(format!(
                "a text of more than {TEXT_MAX} characters stands nowhere"
            )));
        }
        Ok(text.filter(|text| !text.is_empty()))
    }

    fn filter_of(&self, terms: &SearchTerms) -> Result<SearchFilter, SearchError> {
        let names = || self.config.gateways.keys().map(String::as_str);
        if let Some(name) = terms
            .account
            .as_ref()
            .filter(|name| !self.config.gateways.contains_key(*name))
        {
            return Err(SearchError::Terms {
                what: "payrun.yaml has no such gateway account".to_owned(),
                help: suggestion(name, names()),
            });
        }
        Ok(SearchFilter {
            lane: terms.account.clone(),
            days: days_of(terms, self.config.timezone)?,
            amount: amount_of(terms)?,
        })
    }

    /// The forms in which a text may be kept.
    async fn forms_of(&self, text: &str) -> Result<SearchText, SearchError> {
        let accounts = self.ledger.accounts().await?;
        let fields: BTreeSet<&String> = self
            .job_kinds
            .by_name
            .values()
            .filter_map(|kind| kind.one_at_a_time.as_ref())
            .collect();
        let exclusive = |account: &String| {
            let of_field = |field: &&String| {
                let key = KeyHash::one_at_a_time(account, field, text);
                (key, (*field).clone())
            };
            fields.iter().map(of_field).collect::<Vec<_>>()
        };
        let reference_key = self.reference_key().await?;
        Ok(SearchText {
            reference: searchable(text),
            reference_hash: reference_key.map(|key| key.hash(text)),
            exclusive_keys: accounts.iter().flat_map(exclusive).collect(),
            accounts: accounts
                .iter()
                .map(|account| KeyHash::of(account, "payment", ""))
                .collect(),
            text: text.to_owned(),
        })
    }
}

fn amount_of(terms: &SearchTerms) -> Result<Option<Amount>, SearchError> {
    match (&terms.amount, &terms.currency) {
        (None, None) => Ok(None),
        (Some(amount), Some(currency)) => Currency::parse(currency)
            .and_then(|currency| Amount::parse(amount, currency))
            .map(Some)
            .map_err(|error| SearchError::terms(error.to_string())),
        (Some(_), None) | (None, Some(_)) => {
            Err(SearchError::terms("amount and currency belong together"))
        }
    }
}

fn days_of(terms: &SearchTerms, zone: chrono_tz::Tz) -> Result<Option<SearchDays>, SearchError> {
    let day = |text: &String| {
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .map_err(|_| SearchError::terms("a day is YYYY-MM-DD, such as 2026-03-03"))
    };
    let (first, last) = match (&terms.day, &terms.from, &terms.to) {
        (None, None, None) => return Ok(None),
        (Some(on), None, None) => (day(on)?, day(on)?),
        (None, Some(from), Some(to)) => (day(from)?, day(to)?),
        (None, Some(from), None) => (day(from)?, NaiveDate::MAX),
        (None, None, Some(to)) => (NaiveDate::MIN, day(to)?),
        (Some(_), _, _) => {
            return Err(SearchError::terms("either a day, or from and to"));
        }
    };
    if last < first {
        return Err(SearchError::terms("the last day is before the first"));
    }
    let text = |day: NaiveDate, end: &str| {
        let is_end = day == NaiveDate::MIN || day == NaiveDate::MAX;
        if is_end {
            end.to_owned()
        } else {
            day.to_string()
        }
    };
    Ok(Some(SearchDays {
        first: text(first, "0000-00-00"),
        last: text(last, "9999-99-99"),
        span: TimeSpan {
            from: start_of(first, zone),
            until: last
                .checked_add_days(Days::new(1))
                .map_or(Timestamp::from_millis(i64::MAX), |next| {
                    start_of(next, zone)
                }),
        },
    }))
}

/// When a day begins on a wall clock; of a day beyond what a calendar has, on that of UTC.
fn start_of(day: NaiveDate, zone: chrono_tz::Tz) -> Timestamp {
    let midnight = day.and_time(NaiveTime::MIN);
    let of_utc = || Timestamp::from_millis(midnight.and_utc().timestamp_millis());
    instant(midnight, zone).unwrap_or_else(of_utc)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(day: &str, zone: chrono_tz::Tz) -> SearchDays {
        let terms = SearchTerms {
            day: Some(day.to_owned()),
            ..SearchTerms::default()
        };
        days_of(&terms, zone).unwrap().unwrap()
    }

    #[test]
    fn a_day_is_one_of_the_projects_wall_clock() {
        let day = on("2026-03-03", chrono_tz::Asia::Hong_Kong);
        assert_eq!(day.span.from.to_string(), "2026-03-02T16:00:00Z");
        assert_eq!(day.span.until.to_string(), "2026-03-03T16:00:00Z");
        // The day on which clocks go forward at midnight.
        let short = on("2018-11-04", chrono_tz::America::Sao_Paulo);
        assert_eq!(short.span.from.to_string(), "2018-11-04T03:00:00Z");
    }

    #[test]
    fn what_cannot_be_looked_for_is_refused_without_saying_the_text() {
        let wrong = |terms: SearchTerms| {
            let found = days_of(&terms, chrono_tz::UTC).map(drop);
            found
                .and(amount_of(&terms).map(drop))
                .unwrap_err()
                .to_string()
        };
        let text = |text: &str| Some(text.to_owned());
        let terms = SearchTerms {
            from: text("2026-03-04"),
            to: text("2026-03-03"),
            ..SearchTerms::default()
        };
        assert_eq!(wrong(terms), "the last day is before the first");
        let terms = SearchTerms {
            amount: text("88.00"),
            ..SearchTerms::default()
        };
        assert_eq!(wrong(terms), "amount and currency belong together");
        let terms = SearchTerms {
            day: text("3 March"),
            ..SearchTerms::default()
        };
        assert!(wrong(terms).contains("YYYY-MM-DD"));
    }

    #[test]
    fn from_a_day_on_is_until_the_end_of_time_and_up_to_one_since_its_beginning() {
        let terms = SearchTerms {
            to: Some("2026-03-03".to_owned()),
            ..SearchTerms::default()
        };
        let days = days_of(&terms, chrono_tz::Asia::Hong_Kong)
            .unwrap()
            .unwrap();
        assert_eq!(
            (days.first.as_str(), days.last.as_str()),
            ("0000-00-00", "2026-03-03")
        );
        assert!(days.span.from.millis() < 0);
        let terms = SearchTerms {
            from: Some("2026-03-03".to_owned()),
            ..SearchTerms::default()
        };
        let days = days_of(&terms, chrono_tz::UTC).unwrap().unwrap();
        assert_eq!(
            (days.first.as_str(), days.last.as_str()),
            ("2026-03-03", "9999-99-99")
        );
        assert_eq!(days.span.until.millis(), i64::MAX);
    }
}
