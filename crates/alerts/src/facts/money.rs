//! Facts about money: answers that contradict each other, and books that differ.

use serde_json::{Map, Value};

use super::{DetailLookup, Fact, FactText, InstantRange, NEWS_MAX, of_run};
use crate::mask::masked;
use crate::withdrawal::remedy;
use payrun_domain::alert::AlertKind;
use payrun_domain::item::Alarm;
use payrun_ledger::{AlarmedItem, Ledger, LedgerError, ReconcileDifference};
use payrun_project::config::{PublicUrl, report_link_or_place};

/// Counts of a reconciliation that people need not hear of.
const PLAIN: [&str; 7] = [
    "lines",
    "matched_lines",
    "items",
    "lines_of_others",
    "differences",
    "open_differences",
    "new_differences",
];

/// Answers that contradicted what was known.
pub(super) async fn alarms(
    ledger: &Ledger,
    window: InstantRange,
) -> Result<Vec<Fact>, LedgerError> {
    let alarms = ledger.alarms(window.after, NEWS_MAX).await?;
    Ok(alarms.iter().map(alarm).collect())
}

/// Declarations whose buyer is not the payer.
pub(super) async fn other_payers(
    ledger: &Ledger,
    window: InstantRange,
) -> Result<Vec<Fact>, LedgerError> {
    let found = ledger.other_payers(window.after, NEWS_MAX).await?;
    let other_payer = |found: &AlarmedItem| {
        let fact = alarm(found);
        let advice = if found.alarm == Alarm::PayerUnknown.as_str() {
            format!(
                "the declaration went through; `payrun show --item {}` has what the gateway answered in place of the check, and the \
                 job kind identity asks again",
                found.item_id
            )
        } else {
            other(found.item_id)
        };
        Fact {
            kind: AlertKind::PayerDiffers,
            payload: FactText {
                lines: Vec::new(),
                advice,
                ..fact.payload
            },
            ..fact
        }
    };
    Ok(found.iter().map(other_payer).collect())
}

fn other(item_id: i64) -> String {
    format!(
        "the filing goes on, and customs may refuse it: mend the buyer of your own order, or let the buyer pay. \
         `payrun show --item {item_id}` has the answer; at HipoPay, declare again with way: modify and the right person"
    )
}

fn alarm(alarmed: &AlarmedItem) -> Fact {
    let AlarmedItem {
        run,
        item_id,
        version,
        key,
        at,
        alarm,
        detail,
        kind,
    } = alarmed;
    let mut facts = of_run(run);
    facts.extend([
        ("item".to_owned(), item_id.to_string()),
        ("key".to_owned(), key.clone()),
    ]);
    let said =
        Some(masked(detail)).filter(|said| !said.is_empty() && said != Alarm::meaning_of(alarm));
    Fact {
        kind: AlertKind::Alarm,
        subject: format!("item {item_id} version {version}"),
        workflow: Some(run.workflow.clone()),
        gateway: None,
        spec: None,
        since: Some(*at),
        payload: FactText {
            title: format!("{}: {}", run.workflow, Alarm::meaning_of(alarm)),
            facts,
            lines: [format!("alarm: {alarm}")]
                .into_iter()
                .chain(said)
                .collect(),
            advice: match Alarm::parse(alarm) {
                Some(Alarm::Withdrawn) => remedy(kind, *item_id),
                _ => format!(
                    "`payrun show --item {item_id}` has every answer; compare with the gateway's own records"
                ),
            },
        },
        more: DetailLookup::Nothing,
    }
}

/// Reconciliations that found differences, or could not be made.
pub(super) async fn differences(
    ledger: &Ledger,
    window: InstantRange,
    public_url: Option<&PublicUrl>,
) -> Result<Vec<Fact>, LedgerError> {
    let found = ledger
        .differences(window.after, window.until, NEWS_MAX)
        .await?;
    let found = found.iter();
    Ok(found.map(|found| difference(found, public_url)).collect())
}

fn difference(found: &ReconcileDifference, public_url: Option<&PublicUrl>) -> Fact {
    let result: serde_json::Result<Map<String, Value>> = serde_json::from_str(&found.result);
    let count = |result: &Map<String, Value>| match result.get("new_differences") {
        None | Some(Value::Null) => Ok(None),
        Some(count) => count.as_u64().map(Some).ok_or(()),
    };
    let title = match result.as_ref().map_err(|_| ()).and_then(count) {
        Err(()) => {
            let unread = LedgerError::corrupt("items", found.item_id, "result");
            format!("{}: {unread}", found.lane)
        }
        Ok(Some(1)) => format!("{}: a new difference from the statement", found.lane),
        Ok(Some(number)) => format!(
            "{}: {number} new differences from the statement",
            found.lane
        ),
        Ok(None) => format!("{}: the books could not be compared", found.lane),
    };
    let result = result.unwrap_or_default();
    let mut facts = of_run(&found.run);
    facts.push(("gateway".to_owned(), found.lane.clone()));
    facts.extend(
        result
            .get("report_html")
            .and_then(Value::as_str)
            .map(|place| {
                let report = report_link_or_place(public_url, place);
                ("report".to_owned(), report)
            }),
    );
    Fact {
        kind: AlertKind::Difference,
        subject: format!("item {} ended {}", found.item_id, found.at.millis()),
        workflow: Some(found.run.workflow.clone()),
        gateway: Some(found.lane.clone()),
        spec: None,
        since: Some(found.at),
        payload: FactText {
            title,
            facts,
            lines: counts(&result),
            advice: format!(
                "`payrun differences list --gateway {}` lists what is open, and `payrun differences show NUMBER` says what to do; the report \
                 of `payrun show --item {}` names every one",
                found.lane, found.item_id
            ),
        },
        more: DetailLookup::Nothing,
    }
}

/// The named differences that there are, and how many of each.
fn counts(result: &Map<String, Value>) -> Vec<String> {
    let named = result
        .iter()
        .filter(|(name, _)| !PLAIN.contains(&name.as_str()));
    let some =
        named.filter_map(|(name, value)| Some((name, value.as_u64().filter(|count| *count > 0)?)));
    some.map(|(name, count)| format!("{count} × {}", name.replace('_', " ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use payrun_domain::time::Timestamp;
    use payrun_ledger::RunRef;
    use payrun_project::config::PublicUrl;

    #[test]
    fn a_difference_names_the_link_to_its_report_where_there_is_one() {
        let place = "/srv/files/reports/hk/reconcile-2026-03-01-2026-03-02.html";
        let found = ReconcileDifference {
            run: RunRef {
                run_id: 1,
                workflow: "w".to_owned(),
                occurrence: "o".to_owned(),
            },
            item_id: 1,
            lane: "hk".to_owned(),
            at: Timestamp::from_millis(0),
            result: format!("{{\"differences\": 1, \"report_html\": \"{place}\"}}"),
        };
        let report = |url: Option<&PublicUrl>| {
            let facts = difference(&found, url).payload.facts;
            let report = facts.into_iter().find(|(name, _)| name == "report");
            report.unwrap().1
        };
        assert_eq!(report(None), place);
        let url = PublicUrl::parse("https://pay.example.com/").unwrap();
        assert_eq!(
            report(Some(&url)),
            "https://pay.example.com/api/v1/reports/hk/reconcile-2026-03-01-2026-03-02.html"
        );
    }
}
