//! `payrun resolve`

use clap::Args;

use super::Context;
use super::actor::CommandAuthor;
use super::exit::{Exit, Failure};
use super::items::named;
use super::output::say;
use crate::app::Project;
use crate::clock::Clock;
use crate::domain::answer::Receipt;
use crate::domain::item::Resolution;
use crate::domain::role::Role;
use crate::ledger::{ActionResult, OperatorAction};

/// Arguments of `payrun resolve`.
#[derive(Debug, Args)]
pub(super) struct ResolveArgs {
    /// The item, by id, key or order number; it must be unknown or need review
    #[arg(value_name = "ITEM")]
    item: String,
    /// It happened; the gateway's number for it
    #[arg(long, value_name = "RECEIPT", value_parser = Receipt::found, required_unless_present = "failed", conflicts_with = "failed")]
    succeeded: Option<Receipt>,
    /// It did not happen
    #[arg(long)]
    failed: bool,
    #[command(flatten)]
    by: CommandAuthor,
}

pub(super) async fn run(context: &Context, args: &ResolveArgs) -> Result<Exit, Failure> {
    let ledger = Project::open(&context.config)?.ledger().await?;
    let by = args.by.signed(&ledger, Role::Operator).await?;
    let item = named(&ledger, &args.item).await?;
    let found = args
        .succeeded
        .clone()
        .map_or(Resolution::Failed, Resolution::Succeeded);
    match ledger
        .apply_action(
            item.id,
            &OperatorAction::Resolve(found),
            &by,
            Clock::of_machine().now(),
        )
        .await?
    {
        ActionResult::Moved(state) | ActionResult::Withdrawn(state) => {
            say(format!("item {} {} now", item.id, state.predicate()));
            Ok(Exit::Success)
        }
        refused @ (ActionResult::Refused(_)
        | ActionResult::ContractBusy
        | ActionResult::NeverApproved
        | ActionResult::Changed
        | ActionResult::EvidenceGone
        | ActionResult::FiledAgain(_)
        | ActionResult::Clashes(_)
        | ActionResult::DoneAs(_)
        | ActionResult::OtherPayment(_)
        | ActionResult::GivenBackAs(_)
        | ActionResult::Stopped(_)
        | ActionResult::NoSuchItem) => {
            say(format!("item {}: {}", item.id, refused.words()));
            Ok(Exit::Incomplete)
        }
    }
}
