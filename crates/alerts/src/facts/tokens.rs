//! Tokens of the API that expire soon.

use super::{DetailLookup, Fact, FactText};
use payrun_domain::alert::AlertKind;
use payrun_domain::time::Timestamp;
use payrun_ledger::{Ledger, LedgerError, TokenRow};

/// Those that are good, and soon are not.
pub(super) async fn ending(ledger: &Ledger, now: Timestamp) -> Result<Vec<Fact>, LedgerError> {
    Ok(ledger
        .tokens()
        .await?
        .iter()
        .filter(|token| token.is_ending(now))
        .map(expiring)
        .collect())
}

fn expiring(token: &TokenRow) -> Fact {
    let TokenRow {
        name,
        role,
        expires_at,
        ..
    } = token;
    let until = expires_at.map(|at| at.to_string()).unwrap_or_default();
    Fact {
        kind: AlertKind::Certificate,
        subject: format!("token {name} {until}"),
        workflow: None,
        gateway: None,
        spec: None,
        since: token.ends_soon_from(),
        payload: FactText {
            title: format!("the token of {name} expires at {until}"),
            facts: vec![
                ("token".to_owned(), format!("{name} ({role})")),
                ("good until".to_owned(), until),
            ],
            lines: Vec::new(),
            advice: format!(
                "`payrun tokens renew {name}` prints another one; what uses it is refused afterwards"
            ),
        },
        more: DetailLookup::Nothing,
    }
}
