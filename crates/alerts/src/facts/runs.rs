//! Facts about runs and their items: what failed, what was refused, what needs a person, what is
//! not known.

use std::collections::{BTreeMap, BTreeSet};

use super::super::mask::masked;
use super::super::rules::ScopedRule;
use super::{DetailLookup, Fact, FactText, InstantRange, NEWS_MAX, counted, of_run};
use payrun_domain::alert::{AlertKind, UNKNOWN_FOR, duration_text};
use payrun_domain::item::State;
use payrun_domain::time::Timestamp;
use payrun_ledger::{FinishedRun, ItemFilter, Ledger, LedgerError, RunRef, RunWithProblems};

/// How many examples a mail names.
const EXAMPLES: u32 = 5;

/// How many failed items are read to count their reasons.
const READ: u32 = 500;

/// A run, or a workflow file, that could not be taken up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRun {
    /// The workflow, or the file where its name is not known.
    pub workflow: String,
    /// Which firing; what tells two refusals apart.
    pub occurrence: String,
    /// When.
    pub at: Timestamp,
    /// Whether it would have exceeded a limit.
    pub limit: bool,
    /// Why; it is masked before it is told.
    pub reason: String,
    /// What to do about a workflow that was in force and whose file was removed.
    pub removed: Option<String>,
}

/// Runs that ended with failed items or with jobs without items; after as long as each rule says.
pub(super) async fn failed(
    ledger: &Ledger,
    rules: &[&ScopedRule<'_>],
    window: InstantRange,
) -> Result<Vec<Fact>, LedgerError> {
    let mut facts = Vec::new();
    let specs: BTreeMap<String, std::time::Duration> = rules
        .iter()
        .map(|scoped| (scoped.rule.spec(), scoped.rule.after))
        .collect();
    for (spec, after) in specs {
        let (from, until) = (window.after.minus(after), window.until.minus(after));
        let ended = ledger.ended_badly(from, until, NEWS_MAX).await?;
        let bad = ended
            .into_iter()
            .filter(|ended| ended.failed > 0 || ended.unplanned > 0);
        facts.extend(bad.map(|ended| failure(&ended, &spec)));
    }
    Ok(facts)
}

fn failure(ended: &FinishedRun, spec: &str) -> Fact {
    let mut parts = Vec::new();
    if ended.failed > 0 {
        parts.push(format!("{} failed", counted(ended.failed, "item")));
    }
    if ended.unplanned > 0 {
        parts.push(format!(
            "{} could not be planned",
            counted(ended.unplanned, "job")
        ));
    }
    let run = &ended.run;
    let (id, workflow) = (run.run_id, &run.workflow);
    Fact {
        kind: AlertKind::Failed,
        // A run that was taken up again and failed again is another event.
        subject: format!("run {id} ended {}", ended.finished_at.millis()),
        workflow: Some(workflow.clone()),
        gateway: None,
        spec: Some(spec.to_owned()),
        since: Some(ended.finished_at),
        payload: FactText {
            title: format!("{workflow}: a run ended, and {}", parts.join(", ")),
            facts: of_run(run),
            lines: Vec::new(),
            advice: format!(
                "`payrun items --run {id} --state failed` names them; `payrun retry` tries again"
            ),
        },
        more: DetailLookup::Failures(id),
    }
}

/// Why items of a run failed, and how often each.
pub(super) async fn failures(ledger: &Ledger, run_id: i64) -> Result<Vec<String>, LedgerError> {
    let filter = ItemFilter {
        run_id: Some(run_id),
        states: vec![State::Failed],
        ..ItemFilter::default()
    };
    let items = ledger.items(&filter, 0, READ).await?;
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for item in &items {
        *reasons
            .entry(masked(item.reason.as_deref().unwrap_or("no reason")))
            .or_default() += 1;
    }
    let mut reasons: Vec<(String, u64)> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    let of = if u32::try_from(items.len()).is_ok_and(|read| read >= READ) {
        " of the first 500"
    } else {
        ""
    };
    Ok(reasons
        .into_iter()
        .take(5)
        .map(|(reason, times)| format!("{times}{of}: {reason}"))
        .collect())
}

/// Rows that were refused, as soon as a job is planned.
pub(super) async fn rejected(
    ledger: &Ledger,
    window: InstantRange,
) -> Result<Vec<Fact>, LedgerError> {
    let open = ledger.open_with_rejected().await?;
    let ended = ledger
        .ended_badly(window.after, window.until, NEWS_MAX)
        .await?;
    let ended = ended.into_iter().filter(|ended| ended.rejected > 0);
    let ended = ended.map(|ended| RunWithProblems {
        run: ended.run,
        items: ended.rejected,
        since: None,
    });
    Ok(open
        .into_iter()
        .chain(ended)
        .map(|run| rejection(&run, window.until))
        .collect())
}

fn rejection(RunWithProblems { run, items, .. }: &RunWithProblems, now: Timestamp) -> Fact {
    let (id, workflow) = (run.run_id, &run.workflow);
    Fact {
        kind: AlertKind::Rejected,
        subject: format!("run {id}"),
        workflow: Some(workflow.clone()),
        gateway: None,
        spec: None,
        since: Some(now),
        payload: FactText {
            title: format!("{workflow}: {} refused; the others go on", rows(*items)),
            facts: of_run(run),
            lines: Vec::new(),
            advice: format!("`payrun items --run {id} --state rejected` says which lines, and why"),
        },
        more: DetailLookup::Nothing,
    }
}

fn rows(number: u64) -> String {
    if number == 1 {
        "1 row was".to_owned()
    } else {
        format!("{number} rows were")
    }
}

/// What the process could not take up.
pub(super) fn refused(all: &[RefusedRun], kind: AlertKind) -> Vec<Fact> {
    let meant = all
        .iter()
        .filter(|refused| refused.limit == (kind == AlertKind::Limit));
    meant
        .take(NEWS_MAX as usize)
        .map(|refused| refusal(refused, kind))
        .collect()
}

fn refusal(refused: &RefusedRun, kind: AlertKind) -> Fact {
    let RefusedRun {
        workflow,
        occurrence,
        at,
        limit,
        reason,
        removed,
    } = refused;
    let why = if *limit {
        "it would have exceeded a limit"
    } else {
        "it could not be taken up"
    };
    let title = match removed {
        Some(_) => format!("{workflow}: its file was removed, and it is paused"),
        None => format!("{workflow}: nothing was planned, {why}"),
    };
    let mended =
        || "`payrun check` and `payrun plan` say what is wrong; after mending, run it".to_owned();
    Fact {
        kind,
        subject: format!("{workflow} {occurrence}"),
        workflow: Some(workflow.clone()),
        gateway: None,
        spec: None,
        since: Some(*at),
        payload: FactText {
            title,
            facts: vec![
                ("workflow".to_owned(), workflow.clone()),
                ("occurrence".to_owned(), occurrence.clone()),
            ],
            lines: reason
                .lines()
                .take(5)
                .map(masked)
                .filter(|line| !line.is_empty())
                .collect(),
            advice: removed.clone().unwrap_or_else(mended),
        },
        more: DetailLookup::Nothing,
    }
}

/// Runs with items of which it is not known what became of them, for as long as the most impatient
/// rule says.
pub(super) async fn unknown(
    ledger: &Ledger,
    rules: &[&ScopedRule<'_>],
    now: Timestamp,
) -> Result<Vec<Fact>, LedgerError> {
    let after: BTreeSet<std::time::Duration> =
        rules.iter().map(|scoped| scoped.rule.after).collect();
    let after = after.first().copied().unwrap_or(UNKNOWN_FOR);
    let runs = ledger.unknown_runs(now.minus(after)).await?;
    Ok(runs.iter().map(|run| not_known(run, after)).collect())
}

fn not_known(run: &RunWithProblems, after: std::time::Duration) -> Fact {
    let RunWithProblems { run, items, since } = run;
    let id = run.run_id;
    let title = format!(
        "{}: not known for more than {} what became of {}",
        run.workflow,
        duration_text(after),
        counted(*items, "item")
    );
    about_items(
        AlertKind::Unknown,
        run,
        *since,
        title,
        "unknown",
        DetailLookup::Nothing,
        {
            format!(
                "they are queried by themselves; `payrun items --run {id} --state unknown` names them"
            )
        },
    )
}

/// Runs with items that need review.
pub(super) async fn needing_review(ledger: &Ledger) -> Result<Vec<Fact>, LedgerError> {
    let runs = ledger.runs_needing_review().await?;
    let fact = |RunWithProblems { run, items, .. }: &RunWithProblems| {
        let be = if *items == 1 { "needs" } else { "need" };
        let title = format!(
            "{}: {} {be} a person",
            run.workflow,
            counted(*items, "item")
        );
        let advice = format!(
            "look with `payrun show --item KEY`, then decide; `payrun items --run {} --state needs_review` names all",
            run.run_id
        );
        about_items(
            AlertKind::NeedsReview,
            run,
            None,
            title,
            "needs_review",
            DetailLookup::NeedsReview(run.run_id),
            advice,
        )
    };
    Ok(runs.iter().map(fact).collect())
}

fn about_items(
    kind: AlertKind,
    run: &RunRef,
    since: Option<Timestamp>,
    title: String,
    state: &str,
    more: DetailLookup,
    advice: String,
) -> Fact {
    let mut facts = of_run(run);
    facts.push(("state".to_owned(), state.to_owned()));
    Fact {
        kind,
        subject: format!("run {}", run.run_id),
        workflow: Some(run.workflow.clone()),
        gateway: None,
        spec: None,
        since,
        payload: FactText {
            title,
            facts,
            lines: Vec::new(),
            advice,
        },
        more,
    }
}

/// Some items that need review of a run.
pub(super) async fn examples(ledger: &Ledger, run_id: i64) -> Result<Vec<String>, LedgerError> {
    let examples = ledger.examples_needing_review(run_id, EXAMPLES).await?;
    Ok(examples
        .into_iter()
        .map(|(key, reason)| format!("{key}: {}", masked(&reason)))
        .collect())
}
