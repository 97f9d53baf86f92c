//! Facts about batches that wait for somebody to approve them.

use super::{DetailLookup, Fact, FactText, counted};
use payrun_domain::alert::AlertKind;
use payrun_domain::money::decimal_text;
use payrun_ledger::{ApprovalRow, ApprovalState, Ledger, LedgerError, ListedApprovals};
use payrun_project::config::PublicUrl;

/// The most batches that are told of at a time.
const WAITING_MAX: u32 = 500;

/// Batches that wait, each with the link to its page where it is known what the service is reached
/// by.
pub(super) async fn waiting(
    ledger: &Ledger,
    public_url: Option<&PublicUrl>,
) -> Result<Vec<Fact>, LedgerError> {
    let open = ledger
        .approvals(ListedApprovals::Open, i64::MAX, WAITING_MAX)
        .await?;
    let waiting = open
        .iter()
        .filter(|approval| approval.state == ApprovalState::Waiting);
    Ok(waiting
        .map(|approval| batch(approval, public_url))
        .collect())
}

fn batch(approval: &ApprovalRow, public_url: Option<&PublicUrl>) -> Fact {
    let ApprovalRow { run_id, job, .. } = approval;
    let sums: Vec<String> = approval
        .sums
        .iter()
        .map(|(currency, minor)| {
            let sum = decimal_text(i128::from(*minor), *currency);
            format!("{sum} {}", currency.code())
        })
        .collect();
    let money = if sums.is_empty() {
        String::new()
    } else {
        format!(" ({})", sums.join(", "))
    };
    let be = if approval.items == 1 { "waits" } else { "wait" };
    let by_command = format!("`payrun approvals show {run_id} --job {job}` shows them");
    Fact {
        kind: AlertKind::AwaitingApproval,
        subject: format!("run {run_id} job {job}"),
        workflow: Some(approval.workflow.clone()),
        gateway: None,
        spec: None,
        since: Some(approval.asked_at),
        payload: FactText {
            title: format!(
                "{}: {}{money} {be} for approval",
                approval.workflow,
                counted(approval.items, "item")
            ),
            facts: vec![
                ("workflow".to_owned(), approval.workflow.clone()),
                ("run".to_owned(), run_id.to_string()),
                ("job".to_owned(), job.clone()),
                ("begun by".to_owned(), approval.author.clone()),
                ("until".to_owned(), approval.expires_at.to_string()),
            ],
            lines: Vec::new(),
            advice: match public_url {
                Some(url) => format!(
                    "look and decide: {}; {by_command}",
                    url.approval(*run_id, job)
                ),
                None => by_command,
            },
        },
        more: DetailLookup::Nothing,
    }
}
