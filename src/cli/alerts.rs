//! `payrun alerts`: who hears of what, what is open, and whether mails go out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Context;
use super::actor::CommandAuthor;
use super::exit::{Exit, Failure};
use super::output::{count, counted, cut, print_table, say, say_json, table};
use super::wall_clock::WallClock;
use crate::alerts::{AlertInputs, Alerts, SendOutcome, headline, preview};
use crate::app::{Project, attachments};
use crate::clock::Clock;
use crate::domain::alert::AlertRule;
use crate::domain::role::Role;
use crate::ledger::{IncidentRow, Ledger, MailRow, MailState};
use crate::workflow::Workflow;
use crate::yaml::scalars;

/// How far back `resend` goes.
const RESEND: Duration = Duration::from_secs(30 * 86_400);

/// Arguments of `payrun alerts`.
#[derive(Debug, Args)]
pub(super) struct AlertsArgs {
    #[command(subcommand)]
    command: AlertsCommand,
}

#[derive(Debug, Subcommand)]
enum AlertsCommand {
    /// Send a test mail now, and say what the mail server said
    Test(TestArgs),
    /// Show what is open, and the mails that wait or were given up
    List(AlertListArgs),
    /// Show the rules: which incidents and events are mailed to whom
    Rules(RulesArgs),
    /// Look for incidents once and send what is due, as the service does all the time; for cron
    /// where no service runs
    Run,
    /// Have the mails of the last 30 days sent again that were refused or given up
    Resend,
    /// Have the notices of an incident, and of later ones of its kind about the same, wait
    Mute(MuteArgs),
    /// Write one mail of each kind, made up, into a folder, by the templates of templates/ where
    /// there are any
    Preview(PreviewArgs),
}

#[derive(Debug, Args)]
struct TestArgs {
    /// To whom; everybody of the rules if not given
    #[arg(long, value_name = "ADDRESS")]
    to: Vec<String>,
}

#[derive(Debug, Args)]
struct AlertListArgs {
    /// Only mails before this one
    #[arg(long, value_name = "MAIL")]
    before: Option<i64>,
    /// How many mails at most
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct MuteArgs {
    /// The incident, by its number
    #[arg(value_name = "INCIDENT")]
    incident: i64,
    /// For how long (30m, 8h, 2d); 0s ends it
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    time: Duration,
    #[command(flatten)]
    by: CommandAuthor,
}

fn time(text: &str) -> Result<Duration, String> {
    scalars::duration(text).ok_or_else(|| "write a time like 30m, 8h or 2d".to_owned())
}

#[derive(Debug, Args)]
struct RulesArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct PreviewArgs {
    /// The folder
    #[arg(value_name = "FOLDER", default_value = "mail-preview")]
    folder: PathBuf,
}

pub(super) async fn run(context: &Context, args: AlertsArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    match args.command {
        AlertsCommand::Test(args) => test(&project, args).await,
        AlertsCommand::List(args) => list(&project, &args).await,
        AlertsCommand::Rules(args) => rules(&project, &args),
        AlertsCommand::Run => run_once(&project).await,
        AlertsCommand::Resend => resend(&project).await,
        AlertsCommand::Mute(args) => mute(&project, &args).await,
        AlertsCommand::Preview(args) => write_previews(&project, &args.folder),
    }
}

async fn notices(project: &Project) -> Result<Alerts, Failure> {
    let ledger = project.ledger().await?;
    let notices = Alerts::new(&project.config, ledger, Clock::of_machine())
        .map_err(|error| Failure::invalid(super::exit::chain(&error)))?;
    Ok(notices.with_attachments(attachments(&project.config)?))
}

/// The workflows of the project.
fn workflows(project: &Project) -> Result<Vec<Arc<Workflow>>, Failure> {
    project
        .workflow_files()?
        .iter()
        .map(|file| Ok(project.workflow(file)?))
        .collect()
}

async fn test(project: &Project, args: TestArgs) -> Result<Exit, Failure> {
    let to = if args.to.is_empty() {
        everybody(project)?
    } else {
        args.to
    };
    if to.is_empty() {
        return Err(Failure::invalid("nobody to send a mail to")
            .help("name somebody: --to you@example.com"));
    }
    let Some(tried) = notices(project).await?.test(&to).await else {
        return Err(Failure::invalid("payrun.yaml has no mail server")
            .help("mail: { host: smtp.example.com, security: tls, user: …, password: { env: … }, from: … }"));
    };
    let mut taken = true;
    for (to, tried) in tried {
        taken &= matches!(tried, SendOutcome::Taken(_));
        say(match tried {
            SendOutcome::Taken(said) => format!("{to}: taken; the server said: {said}"),
            SendOutcome::Refused(said) => format!("{to}: refused for good; {said}"),
            SendOutcome::NotNow(said) | SendOutcome::NoServer(said) => {
                format!("{to}: not taken now; {said}")
            }
        });
    }
    Ok(if taken {
        Exit::Success
    } else {
        Exit::Incomplete
    })
}

fn everybody(project: &Project) -> Result<Vec<String>, Failure> {
    let workflows = workflows(project)?;
    let alerts = &project.config.alerts;
    let rules = alerts
        .rules
        .iter()
        .chain(workflows.iter().flat_map(|workflow| &workflow.alerts));
    let daily = alerts.daily.iter().flat_map(|daily| &daily.to);
    let all: BTreeSet<&String> = rules.flat_map(|rule| &rule.to).chain(daily).collect();
    Ok(all.into_iter().cloned().collect())
}

async fn list(project: &Project, args: &AlertListArgs) -> Result<Exit, Failure> {
    let ledger = project.ledger().await?;
    let open: Vec<IncidentRow> = ledger
        .open_incidents()
        .await?
        .into_iter()
        .filter(|incident| incident.opened_at.is_some())
        .collect();
    let mails = ledger.undelivered_mails(args.before, args.limit).await?;
    let waiting = ledger.waiting_alerts().await?;
    if args.json {
        let notices = waiting.iter().map(
            |(to, number, due)| json!({ "to": to, "notices": number, "due_at": due.to_string() }),
        );
        say_json(&json!({
            "open": open.iter().map(incident_json).collect::<Vec<_>>(),
            "waiting": notices.collect::<Vec<_>>(),
            "mails": mails.iter().map(mail_json).collect::<Vec<_>>(),
        }));
    } else {
        print_incidents(&open, WallClock::of(project));
        for (to, number, due) in &waiting {
            say(format!(
                "{} for {to} in the next mail, not before {due}",
                counted(*number, "notice")
            ));
        }
        print_mails(&mails);
    }
    let lost = mails
        .iter()
        .any(|mail| matches!(mail.state, MailState::Refused | MailState::Expired));
    Ok(if lost {
        Exit::Incomplete
    } else {
        Exit::Success
    })
}

fn incident_json(incident: &IncidentRow) -> Value {
    json!({
        "incident": incident.id,
        "kind": incident.kind.as_str(),
        "since": incident.since.to_string(),
        "title": headline(incident),
    })
}

fn mail_json(row: &MailRow) -> Value {
    json!({
        "mail": row.id,
        "to": row.mail.recipient,
        "subject": row.mail.subject,
        "state": row.state.as_str(),
        "made_at": row.created_at.to_string(),
        "tries": row.tries,
        "next_try": (row.state == MailState::Waiting).then(|| row.next_at.to_string()),
        "said": row.answer,
    })
}

fn print_incidents(open: &[IncidentRow], clock: WallClock) {
    if open.is_empty() {
        return say("nothing is open");
    }
    let mut rows = table(&[">incident", &clock.heading("since"), "kind", "what"]);
    for incident in open {
        rows.add_row([
            incident.id.to_string(),
            clock.cell(incident.since),
            incident.kind.as_str().to_owned(),
            cut(&headline(incident), 100),
        ]);
    }
    print_table(&rows);
}

fn print_mails(mails: &[MailRow]) {
    if mails.is_empty() {
        return say("every mail was taken");
    }
    let mut rows = table(&[">mail", "state", "to", "subject", ">tries", "said"]);
    for row in mails {
        rows.add_row([
            row.id.to_string(),
            row.state.as_str().to_owned(),
            row.mail.recipient.clone(),
            cut(&row.mail.subject, 60),
            count(u64::from(row.tries)),
            cut(row.answer.as_deref().unwrap_or_default(), 80),
        ]);
    }
    print_table(&rows);
}

fn rules(project: &Project, args: &RulesArgs) -> Result<Exit, Failure> {
    let workflows = workflows(project)?;
    let alerts = &project.config.alerts;
    let all: Vec<&AlertRule> = alerts
        .rules
        .iter()
        .chain(workflows.iter().flat_map(|workflow| &workflow.alerts))
        .collect();
    if args.json {
        say_json(&json!(
            all.iter().map(|rule| rule_json(rule)).collect::<Vec<_>>()
        ));
        return Ok(Exit::Success);
    }
    if all.is_empty() {
        say("no rules; write alerts: in payrun.yaml or in a workflow");
        return Ok(Exit::Success);
    }
    let mut rows = table(&["on", "when", "workflow", "urgent", "to"]);
    for rule in all {
        rows.add_row([
            rule.on.as_str().to_owned(),
            rule.spec(),
            rule.workflow.clone().unwrap_or_else(|| "all".to_owned()),
            if rule.on.is_urgent() { "yes" } else { "" }.to_owned(),
            rule.to.join(", "),
        ]);
    }
    print_table(&rows);
    if alerts.mail.is_none() {
        say("payrun.yaml has no mail: no alert is sent");
    }
    Ok(Exit::Success)
}

fn rule_json(rule: &AlertRule) -> Value {
    json!({
        "on": rule.on.as_str(),
        "when": rule.spec(),
        "workflow": rule.workflow,
        "urgent": rule.on.is_urgent(),
        "to": rule.to,
    })
}

async fn run_once(project: &Project) -> Result<Exit, Failure> {
    let (workflows, notices) = (workflows(project)?, notices(project).await?);
    let certificates = project
        .engine(project.ledger().await?, Clock::of_machine())
        .await?
        .certificates();
    notices
        .look(&AlertInputs {
            workflows: &workflows,
            certificates: &certificates,
            refused: &[],
        })
        .await?;
    let delivered = notices.deliver().await?;
    let words = [
        ("sent", delivered.sent),
        ("waiting", delivered.waiting),
        ("given up", delivered.lost),
    ];
    let told: Vec<String> = words
        .iter()
        .map(|(word, number)| format!("{number} {word}"))
        .collect();
    say(format!("mails: {}", told.join(", ")));
    Ok(if delivered.lost > 0 {
        Exit::Incomplete
    } else {
        Exit::Success
    })
}

async fn mute(project: &Project, args: &MuteArgs) -> Result<Exit, Failure> {
    let ledger = project.ledger().await?;
    let now = Clock::of_machine().now();
    let by = args.by.signed(&ledger, Role::Operator).await?;
    let until = now.plus(args.time);
    if !ledger.mute_incident(args.incident, until, &by, now).await? {
        let message = format!("there is no incident {} that lasts", args.incident);
        return Err(Failure::invalid(message).help("`payrun alerts list` has their numbers"));
    }
    say(format!(
        "nobody is told of it before {}",
        WallClock::of(project).named(until)
    ));
    Ok(Exit::Success)
}

async fn resend(project: &Project) -> Result<Exit, Failure> {
    let ledger: Ledger = project.ledger().await?;
    let now = Clock::of_machine().now();
    let mails = ledger.resend_mails(now.minus(RESEND), now).await?;
    say(format!("{} will be sent again", counted(mails, "mail")));
    Ok(Exit::Success)
}

fn write_previews(project: &Project, folder: &Path) -> Result<Exit, Failure> {
    let previews = preview::previews(&project.config.folder.join("templates"));
    let previews = previews.map_err(|error| Failure::invalid(super::exit::chain(&error)))?;
    let cannot = |error: std::io::Error| {
        Failure::invalid(format!("{} cannot be written: {error}", folder.display()))
    };
    std::fs::create_dir_all(folder).map_err(cannot)?;
    for (name, text, html) in previews {
        std::fs::write(folder.join(format!("{name}.txt")), text).map_err(cannot)?;
        std::fs::write(folder.join(format!("{name}.html")), html).map_err(cannot)?;
    }
    say(format!("mails are in {}", folder.display()));
    Ok(Exit::Success)
}
