//! `payrun contracts import`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::super::Context;
use super::super::exit::{Exit, Failure, chain};
use super::super::output::{count, counted, say, say_json_line};
use super::{Author, account_meant};
use crate::app::Project;
use crate::clock::Clock;
use crate::domain::actor::Reason;
use crate::domain::role::Role;
use crate::engine::contracts::{ImportError, ImportOptions, ImportReport, RejectedContract};
use crate::workflow::source::TextEncoding;

/// Arguments of `payrun contracts import`.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The file, with the columns contract_id, amount, currency and start; it may have every,
    /// anchor_day, end, pay_within, amount_from and description
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The gateway account they are signed with; may be left out if only one can charge contracts
    #[arg(long)]
    gateway: Option<String>,
    /// Keep nothing; only tell what would be done
    #[arg(long)]
    dry_run: bool,
    /// The encoding of a CSV file that is not UTF-8
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(TextEncoding::WORDS))]
    encoding: Option<String>,
    /// Take hidden and filtered rows of an Excel sheet too
    #[arg(long)]
    include_hidden: bool,
    /// Why; the name of the file if not given
    #[arg(long, value_name = "WHY")]
    reason: Option<String>,
    #[command(flatten)]
    author: Author,
    /// Print a JSON object for each row that is not taken, and one in the end
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, args: ImportArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let account = account_meant(&project, args.gateway.as_deref())?;
    let ledger = project.ledger().await?;
    let who = args.author.proven(&ledger, Role::Operator).await?;
    let engine = project.engine(ledger, Clock::System).await?;
    let named = || {
        format!(
            "imported from {}",
            args.file.file_name().unwrap_or_default().to_string_lossy()
        )
    };
    let why = Reason::parse(&args.reason.clone().unwrap_or_else(named));
    let why = why.map_err(|error| Failure::invalid(error.to_string()))?;
    let options = ImportOptions {
        account,
        who,
        why: why.as_str().to_owned(),
        commit: !args.dry_run,
        path: args.file,
        encoding: args.encoding.as_deref().and_then(TextEncoding::parse),
        include_hidden: args.include_hidden,
    };
    let json = args.json;
    let told = |row: RejectedContract| match json {
        true => say_json_line(&json!({"line": row.line, "reason": row.reason})),
        false => say(format!("line {}: {}", row.line, row.reason)),
    };
    let imported = engine
        .import_contracts(&options, told)
        .await
        .map_err(failed)?;
    if json {
        tell_json(&imported, args.dry_run)
    } else {
        tell(&imported, args.dry_run)
    }
    Ok(if imported.rejected > 0 {
        Exit::Incomplete
    } else {
        Exit::Success
    })
}

fn failed(error: ImportError) -> Failure {
    match error {
        ImportError::Ledger(error) => Failure {
            help: Some("the same file again goes on".to_owned()),
            ..error.into()
        },
        error @ ImportError::Broken => Failure::internal(&error),
        error @ (ImportError::Source(_) | ImportError::Column { .. } | ImportError::Row(_)) => {
            Failure::invalid(chain(&error))
        }
    }
}

fn tell(imported: &ImportReport, dry: bool) {
    let ImportReport {
        new,
        changed,
        same,
        rejected,
        due_before_today,
        trimmed,
        other_columns,
        read_as,
        notes,
    } = imported;
    let kept = if dry { "; nothing was kept" } else { "" };
    if dry {
        say(format!("read as {read_as}"));
    }
    notes.iter().for_each(say);
    say(format!(
        "{} new, {} changed, {} as they were, {} not taken{kept}",
        count(*new),
        count(*changed),
        count(*same),
        count(*rejected)
    ));
    if *due_before_today > 0 {
        say(format!(
            "{} began before today: the next run charges what may still be charged of that, and tells what has lapsed. If \
             somebody else has charged it, import a later start first",
            counted(*due_before_today, "new contract")
        ));
    }
    if *trimmed > 0 {
        say(format!(
            "blanks around values were taken off in {}",
            counted(*trimmed, "row")
        ));
    }
    if !other_columns.is_empty() {
        say(format!(
            "not taken: the columns {}",
            other_columns.join(", ")
        ));
    }
}

fn tell_json(imported: &ImportReport, dry: bool) {
    let ImportReport {
        new,
        changed,
        same,
        rejected,
        due_before_today,
        trimmed,
        other_columns,
        read_as,
        notes,
    } = imported;
    let told = json!({
        "new": new, "changed": changed, "same": same, "rejected": rejected, "due_before_today": due_before_today,
        "trimmed": trimmed, "other_columns": other_columns, "kept": !dry,
        "read_as": read_as, "notes": notes,
    });
    say_json_line(&told);
}
