//! `payrun note`

use clap::Args;

use super::Context;
use super::actor::CommandAuthor;
use super::exit::{Exit, Failure};
use super::items::named;
use super::output::say;
use crate::app::Project;
use crate::clock::Clock;
use crate::domain::role::Role;

/// Arguments of `payrun note`.
#[derive(Debug, Args)]
pub(super) struct NoteArgs {
    /// The item, by id, key or order number
    #[arg(value_name = "ITEM")]
    item: String,
    #[command(flatten)]
    by: CommandAuthor,
}

pub(super) async fn run(context: &Context, args: &NoteArgs) -> Result<Exit, Failure> {
    let ledger = Project::open(&context.config)?.ledger().await?;
    let by = args.by.signed(&ledger, Role::Operator).await?;
    let item = named(&ledger, &args.item).await?;
    let now = Clock::of_machine().now();
    ledger.note_item(item.id, &by, now).await?;
    say(format!(
        "noted of item {}; `payrun show --item {}` shows it",
        item.id, item.id
    ));
    Ok(Exit::Success)
}
