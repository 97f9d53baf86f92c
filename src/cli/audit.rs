//! `payrun audit`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Context;
use super::exit::{Exit, Failure};
use super::export_file::{self, FormatArgs, OutputArgs};
use super::output::{count, cut, print_table, say, say_json_line, table};
use super::wall_clock::WallClock;
use crate::app::Project;
use crate::domain::audit::AuditHash;
use crate::engine::operator::audit::{AuditState, verify};
use crate::export::ExportQuery;
use crate::ledger::{AuditRow, Ledger};

/// How many entries are read at a time.
const PAGE: u32 = 500;

/// Arguments of `payrun audit`.
#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// List who did what and why, newest first
    List {
        /// Only entries before this one
        #[arg(long, value_name = "ENTRY", default_value_t = i64::MAX, hide_default_value = true)]
        before: i64,
        /// How many at most
        #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Follow the chain of hashes from the first entry to the last, and say where it breaks
    Verify {
        /// A hash that verify has printed before: it must still be in the chain, or the end was cut
        /// off
        #[arg(long, value_name = "HASH", value_parser = link)]
        expect: Option<AuditHash>,
    },
    /// Print every entry, a JSON object a line, oldest first: each part as it is hashed. Or write
    /// them into a file for a spreadsheet
    Export {
        /// Only entries behind this one
        #[arg(long, value_name = "ENTRY", default_value_t = 0)]
        after: i64,
        #[command(flatten)]
        output: OutputArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
}

fn link(text: &str) -> Result<AuditHash, String> {
    AuditHash::parse(text).ok_or_else(|| "a hash has 64 digits, 0-9 and a-f".to_owned())
}

pub(super) async fn run(context: &Context, args: &AuditArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    match &args.command {
        AuditCommand::List { before, limit } => {
            list(&ledger, WallClock::of(&project), *before, *limit).await
        }
        AuditCommand::Export {
            after,
            output,
            format,
        } => match output.target(format.table_format())? {
            None => export(&ledger, *after).await,
            Some(target) => {
                let query = ExportQuery::Audit { after: *after };
                export_file::write(&project, &ledger, query, &target, "row").await
            }
        },
        AuditCommand::Verify { expect } => follow(&ledger, *expect).await,
    }
}

async fn list(ledger: &Ledger, clock: WallClock, before: i64, limit: u32) -> Result<Exit, Failure> {
    let rows = ledger.audit_before(before, limit).await?;
    if rows.is_empty() {
        say("no entries");
        return Ok(Exit::Success);
    }
    let mut shown = table(&[
        ">entry",
        &clock.heading("at"),
        "who",
        "what",
        "of",
        "why",
        "after",
    ]);
    for AuditRow { entry, .. } in &rows {
        shown.add_row([
            entry.seq.to_string(),
            clock.cell(entry.at),
            entry.actor.clone(),
            entry.action.clone(),
            cut(&entry.target, 40),
            cut(&entry.reason, 60),
            cut(&entry.after, 80),
        ]);
    }
    print_table(&shown);
    Ok(Exit::Success)
}

async fn export(ledger: &Ledger, after: i64) -> Result<Exit, Failure> {
    let mut last = after;
    loop {
        let page = ledger.audit(last, PAGE).await?;
        let Some(end) = page.last() else {
            return Ok(Exit::Success);
        };
        last = end.entry.seq;
        page.iter().for_each(|row| say_json_line(&line(row)));
    }
}

/// Every part as it is hashed: whoever has the lines can follow the chain without payrun.
fn line(row: &AuditRow) -> Value {
    let entry = &row.entry;
    json!({
        "entry": entry.seq,
        "at": entry.at.millis(),
        "actor": entry.actor,
        "via": entry.via,
        "action": entry.action,
        "target": entry.target,
        "reason": entry.reason,
        "before": entry.before,
        "after": entry.after,
        "hash": row.hash,
    })
}

async fn follow(ledger: &Ledger, expect: Option<AuditHash>) -> Result<Exit, Failure> {
    Ok(match verify(ledger, expect).await? {
        AuditState::Sound { entries, head } => {
            let entries = if entries == 1 {
                "1 entry".to_owned()
            } else {
                format!("{} entries", count(entries.unsigned_abs()))
            };
            say(format!("sound: {entries}; the last has the hash"));
            say(head.to_string());
            Exit::Success
        }
        AuditState::Broken { seq, fault } => {
            say(format!("broken: entry {seq} {fault}"));
            Exit::Incomplete
        }
    })
}
