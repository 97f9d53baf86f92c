//! `payrun refund`

use clap::Args;

use super::Context;
use super::exit::{Exit, Failure};
use super::items::named;
use super::output::say;
use super::write_new::write_new;
use crate::alerts::withdrawal::takes_money;
use crate::app::Project;
use crate::domain::item::State;
use crate::ledger::{ItemRow, Ledger};

/// Arguments of `payrun refund`.
#[derive(Debug, Args)]
pub(super) struct RefundArgs {
    /// The item that took money, by its id, key or order number
    #[arg(value_name = "ITEM")]
    item: String,
    /// Why; some gateways show it to the payer
    #[arg(long, value_name = "WHY")]
    reason: String,
}

/// Writes a workflow of one refund; nothing is planned or sent.
pub(super) async fn run(context: &Context, args: &RefundArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    let item = named(&ledger, &args.item).await?;
    let jobs = ledger.jobs(item.run_id).await?;
    let took = jobs
        .iter()
        .find(|job| job.id == item.job_id)
        .filter(|job| takes_money(&job.kind) && item.state == State::Succeeded);
    let (Some(job), Some(number), Some(amount)) = (took, &item.order_no, item.amount) else {
        return Err(took_nothing(&item));
    };
    let name = next_name(&ledger, item.id).await?;
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let workflow = format!(
        "# Gives back what item {id} took ({amount}). Nothing is sent before somebody else than who starts it has approved it:\n\
         #   payrun run {file}.yaml, then payrun approvals approve RUN --reason \"…\"\n\
         workflow: {name}\n\
         jobs:\n  \
           refund:\n    \
             uses: refund\n    \
             gateway: {gateway}\n    \
             items: {{ file: {name}.csv }}\n    \
             key: \"{{{{ item.refund }}}}\"\n    \
             with:\n      \
               out_trade_no: \"{{{{ item.order }}}}\"\n      \
               amount: \"{{{{ item.amount }}}}\"\n      \
               currency: \"{{{{ item.currency }}}}\"\n      \
               reason: {reason}\n    \
             approval: {{ by: 1, expires: 7d }}\n",
        id = item.id,
        file = project.config.workflows.join(&name).display(),
        gateway = quoted(&job.lane),
        reason = quoted(&args.reason),
    );
    let rows = format!(
        "refund,order,amount,currency\n{name},{number},{},{}\n",
        amount.decimal(),
        amount.currency().code()
    );
    let folder = &project.config.workflows;
    let written = [".csv", ".yaml"]
        .map(|ending| folder.join(format!("{name}{ending}")))
        .into_iter()
        .find(|path| path.exists());
    if let Some(path) = written {
        return Err(
            Failure::invalid(format!("{} is there already", path.display())).help(
                "run the workflow of that name, or remove its two files to have them written anew",
            ),
        );
    }
    write_new(folder, &format!("{name}.csv"), &rows)?;
    write_new(folder, &format!("{name}.yaml"), &workflow)?;
    let path = folder.join(format!("{name}.yaml"));
    say(format!(
        "wrote {}, which gives back {amount} of order {number} once somebody else has approved it: `payrun run {}`",
        path.display(),
        path.display()
    ));
    Ok(Exit::Success)
}

fn took_nothing(item: &ItemRow) -> Failure {
    Failure::invalid(format!(
        "item {} of job {} ({}) has taken no money that could be given back",
        item.id, item.job, item.state
    ))
    .help("only what a job of kind deduct or pay took is given back so; `payrun show --item` has the whole history")
}

/// The first number that no refund of the item has used. What is under way, or was given back, is
/// not given back again.
async fn next_name(ledger: &Ledger, item: i64) -> Result<String, Failure> {
    let mut place = 1_u32;
    loop {
        let name = match place {
            1 => format!("refund-of-item-{item}"),
            _ => format!("refund-of-item-{item}-{place}"),
        };
        let Some(earlier) = ledger
            .find_item(&name)
            .await?
            .filter(|found| found.key == name)
        else {
            return Ok(name);
        };
        match earlier.state {
            State::Succeeded => {
                return Err(Failure::invalid(format!(
                    "item {item} was given back by item {}",
                    earlier.id
                )));
            }
            state if state.is_open() || state == State::NeedsReview => {
                return Err(Failure::invalid(format!(
                    "item {} gives item {item} back already: it {}",
                    earlier.id,
                    state.predicate()
                ))
                .help(format!(
                    "`payrun show --item {}` says what it waits for",
                    earlier.id
                )));
            }
            State::AwaitingApproval
            | State::Planned
            | State::Sending
            | State::Pending
            | State::Unknown
            | State::NeedsReview
            | State::Failed
            | State::Cancelled
            | State::Rejected
            | State::Skipped => place += 1,
        }
    }
}
