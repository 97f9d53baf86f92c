//! `payrun cancel`

use clap::Args;

use super::Context;
use super::exit::{Exit, Failure};
use super::retry::{ItemSelection, act_on_items};
use crate::ledger::BulkVerb;

/// Arguments of `payrun cancel`.
#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    #[command(flatten)]
    which: ItemSelection,
}

pub(super) async fn run(context: &Context, args: &CancelArgs) -> Result<Exit, Failure> {
    act_on_items(context, &args.which, BulkVerb::Cancel)
        .await
        .map(|(exit, _)| exit)
}
