//! `payrun approvals`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Context;
use super::actor::CommandAuthor;
use super::approval_show;
use super::exit::{Exit, Failure};
use super::output::{count, counted, print_table, say, say_json, table};
use super::retry;
use super::wall_clock::WallClock;
use crate::app::Project;
use crate::clock::Clock;
use crate::domain::role::Role;
use crate::engine::Engine;
use crate::engine::operator::approve::BatchDecision;
use crate::ledger::{ApprovalRow, ApprovalState, DecisionOutcome, Ledger, ListedApprovals};
use crate::view::ApprovalView;

/// Arguments of `payrun approvals`.
#[derive(Debug, Args)]
pub(super) struct ApprovalsArgs {
    #[command(subcommand)]
    command: ApprovalsCommand,
}

#[derive(Debug, Subcommand)]
enum ApprovalsCommand {
    /// List what waits for approval, newest first
    List {
        /// Also what was decided
        #[arg(long)]
        all: bool,
        /// How many at most
        #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a run's batches: sums, the largest rows with what was paid and given back before, what
    /// is certain to fail, what repeats, what differs from the batch before, who has approved, and
    /// the hash that is approved
    Show(approval_show::ApprovalShowArgs),
    /// Approve a run's batches as they are; whoever started the run cannot
    ///
    /// Who that is, a token proves (PAYRUN_TOKEN), or else the user of this machine, whatever name
    /// is given: a batch that was started with a token is approved with another's, one that was
    /// started by a user by another user.
    Approve {
        /// The run
        run: i64,
        /// Only this job's
        #[arg(long)]
        job: Option<String>,
        /// The hash that `show` printed: nothing else is approved
        #[arg(long, value_name = "HASH")]
        hash: Option<String>,
        #[command(flatten)]
        by: CommandAuthor,
    },
    /// Withdraw a run's batches: what was not sent never is, and what may be under way is queried
    Reject {
        /// The run
        run: i64,
        /// Only this job's
        #[arg(long)]
        job: Option<String>,
        #[command(flatten)]
        by: CommandAuthor,
    },
}

pub(super) async fn run(context: &Context, args: &ApprovalsArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    match &args.command {
        ApprovalsCommand::List { all, limit, json } => {
            list(&project, &ledger, (*all, *limit), *json).await
        }
        ApprovalsCommand::Show(args) => {
            approval_show::show(&project.engine(ledger, Clock::of_machine()).await?, args).await
        }
        ApprovalsCommand::Approve { run, job, hash, by } => {
            let by = by.signed(&ledger, Role::Approver).await?;
            let engine = project.engine(ledger, Clock::of_machine()).await?;
            let decided = engine
                .approve_run(*run, job.as_deref(), hash.as_deref(), &by)
                .await?;
            tell(&engine, *run, &decided).await
        }
        ApprovalsCommand::Reject { run, job, by } => {
            let by = by.signed(&ledger, Role::Approver).await?;
            let engine = project.engine(ledger, Clock::of_machine()).await?;
            let decided = engine
                .reject_run(*run, job.as_deref(), &by)
                .await
                .map_err(retry::failed)?;
            tell(&engine, *run, &decided).await
        }
    }
}

/// What waits, in one line: for people who started it, and for those who approve.
pub(super) fn waits(approval: &ApprovalRow, clock: WallClock) -> String {
    let (run, job) = (approval.run_id, &approval.job);
    let sums = sums(approval)
        .map(|sums| format!(", {sums}"))
        .unwrap_or_default();
    let batch = format!(
        "run {run}, job {job}: {}{sums}",
        counted(approval.items, "item")
    );
    if approval.state == ApprovalState::Void {
        return format!(
            "{batch}: a row was changed, so they can only be rejected: `payrun approvals reject {run} --reason \"…\"`"
        );
    }
    let persons = if approval.needed == 1 {
        "somebody"
    } else {
        "persons"
    };
    let (author, given, needed) = (&approval.author, approval.votes.len(), approval.needed);
    format!(
        "{batch}, wait for approval by {persons} other than {author} ({given} of {needed}, until {}): \
         `payrun approvals approve {run} --reason \"…\"`",
        clock.named(approval.expires_at),
    )
}

pub(super) fn sums(approval: &ApprovalRow) -> Option<String> {
    let sums: Vec<String> = ApprovalView::from(approval)
        .sums
        .iter()
        .map(|(code, sum)| format!("{sum} {code}"))
        .collect();
    (!sums.is_empty()).then(|| sums.join(", "))
}

fn value(approval: &ApprovalRow) -> Value {
    json!(ApprovalView::from(approval))
}

async fn list(
    project: &Project,
    ledger: &Ledger,
    (all, limit): (bool, u32),
    as_json: bool,
) -> Result<Exit, Failure> {
    let listed = if all {
        ListedApprovals::All
    } else {
        ListedApprovals::Open
    };
    let approvals = ledger.approvals(listed, i64::MAX, limit).await?;
    if as_json {
        say_json(&approvals.iter().map(value).collect());
        return Ok(Exit::Success);
    }
    if approvals.is_empty() {
        say("nothing waits for approval");
        return Ok(Exit::Success);
    }
    let clock = WallClock::of(project);
    let until = clock.heading("until");
    let mut rows = table(&[
        ">run",
        "workflow",
        "job",
        "state",
        ">items",
        "sums",
        "started by",
        ">approved",
        &until,
    ]);
    for approval in &approvals {
        rows.add_row([
            approval.run_id.to_string(),
            approval.workflow.clone(),
            approval.job.clone(),
            approval.state.as_str().to_owned(),
            count(approval.items),
            sums(approval).unwrap_or_default(),
            approval.author.clone(),
            format!("{} of {}", approval.votes.len(), approval.needed),
            clock.cell(approval.expires_at),
        ]);
    }
    print_table(&rows);
    Ok(Exit::Success)
}

async fn tell(engine: &Engine, run: i64, decided: &[BatchDecision]) -> Result<Exit, Failure> {
    if decided.is_empty() {
        return Err(
            Failure::invalid(format!("nothing of run {run} waits for approval"))
                .help("`payrun approvals list` lists what does"),
        );
    }
    let mut exit = Exit::Success;
    for BatchDecision { approval, decided } in decided {
        let (text, good) = outcome(approval, decided);
        say(format!("job {}: {text}", approval.job));
        if !good {
            exit = Exit::Incomplete;
        }
    }
    // Withdrawn batches may be the end of their run.
    engine.advance_runs(engine.clock.now()).await?;
    Ok(exit)
}

fn outcome(approval: &ApprovalRow, decided: &DecisionOutcome) -> (String, bool) {
    match decided {
        DecisionOutcome::Released(items) => (
            format!(
                "{} released; `payrun run --resume` or `payrun work` sends them",
                counted(*items, "item")
            ),
            true,
        ),
        DecisionOutcome::Counted { given, needed } => {
            (format!("{given} of {needed} have approved"), true)
        }
        DecisionOutcome::Withdrawn(items) => (
            format!(
                "{} withdrawn; their keys are free for a corrected batch",
                counted(*items, "item")
            ),
            true,
        ),
        DecisionOutcome::Revoked {
            cancelled,
            under_way,
        } => {
            let text = format!(
                "its approval is revoked, and nothing more of it is sent: {} cancelled, {} withdrawn that may be under way \
                 and are queried",
                counted(*cancelled, "item"),
                count(*under_way)
            );
            (text, true)
        }
        DecisionOutcome::OwnBatch => {
            let author = match &approval.author_user {
                Some(user) if *user != approval.author => {
                    format!("{} (the user {user})", approval.author)
                }
                Some(_) | None => approval.author.clone(),
            };
            (
                format!("{author} started this run, and cannot approve it: somebody else has to"),
                false,
            )
        }
        DecisionOutcome::Incomparable if approval.author_user.is_some() => {
            let text = "it was started at the console, where anybody can give any name: another user of this machine has to approve \
                        it; what is started with a token (PAYRUN_TOKEN) can be approved with one";
            (text.to_owned(), false)
        }
        DecisionOutcome::Incomparable => {
            let text = "it was started with a token, so it is approved with one: set PAYRUN_TOKEN to yours";
            (text.to_owned(), false)
        }
        DecisionOutcome::VotedBefore => (
            "you have approved it before; another person has to".to_owned(),
            false,
        ),
        DecisionOutcome::Changed => {
            let text =
                "its rows are not what was to be approved: it is void, and can only be rejected";
            (text.to_owned(), false)
        }
        DecisionOutcome::NotAsShown => (
            "it is not what you were shown; look at it again".to_owned(),
            false,
        ),
        DecisionOutcome::NotWaiting(state) => (format!("it is {}", state.as_str()), false),
        DecisionOutcome::NoSuchApproval => ("it is gone".to_owned(), false),
    }
}
