//! `payrun tokens`

use clap::{Args, Subcommand};
use serde_json::json;

use super::Context;
use super::actor::Author;
use super::exit::{Exit, Failure};
use super::output::{note, print_table, say, say_json, table};
use super::wall_clock::WallClock;
use crate::app::Project;
use crate::clock::Clock;
use crate::domain::actor::{Actor, Authorization, Reason};
use crate::domain::role::Role;
use crate::domain::time::Timestamp;
use crate::http::token::{Token, is_name};
use crate::ledger::TokenRow;
use crate::yaml::scalars::duration;

/// Arguments of `payrun tokens`.
#[derive(Debug, Args)]
pub(super) struct TokensArgs {
    #[command(subcommand)]
    command: TokensCommand,
}

#[derive(Debug, Subcommand)]
enum TokensCommand {
    /// Make a token and print it once: only its hash is kept
    Create(CreateArgs),
    /// List tokens; the secret of a token is never shown again
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make another token in the place of one, under its name and with its role, and print it: the
    /// one before ends at once
    Renew(RenewArgs),
    /// End a token at once
    Revoke {
        /// Whose
        name: String,
        #[command(flatten)]
        author: Author,
    },
}

/// Arguments of `payrun tokens create`.
#[derive(Debug, Args)]
struct CreateArgs {
    /// Whose it is: a person or a program; what it does is written down under this name
    name: String,
    /// viewer reads; operator also begins, pauses, retries and cancels; approver reads and
    /// approves; admin does all of it
    #[arg(long, value_parser = parse_role, default_value = "viewer")]
    role: Role,
    /// How long it is good (30d, 12h), or never: until it is revoked
    #[arg(long, value_name = "TIME|never", value_parser = parse_expiry, default_value = "90d")]
    expires: Expiry,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    author: Author,
}

/// Arguments of `payrun tokens renew`.
#[derive(Debug, Args)]
struct RenewArgs {
    /// Whose
    name: String,
    /// How long the new one is good (30d, 12h), or never: until it is revoked
    #[arg(long, value_name = "TIME|never", value_parser = parse_expiry, default_value = "90d")]
    expires: Expiry,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    author: Author,
}

/// How long a token is good.
#[derive(Debug, Clone, Copy)]
enum Expiry {
    After(std::time::Duration),
    Never,
}

impl Expiry {
    fn at(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::After(time) => Some(now.plus(time)),
            Self::Never => None,
        }
    }
}

fn parse_role(word: &str) -> Result<Role, String> {
    Role::parse(word)
        .ok_or_else(|| format!("the roles are {}", Role::ALL.map(Role::as_str).join(", ")))
}

fn parse_expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry::Never);
    }
    duration(text)
        .map(Expiry::After)
        .ok_or_else(|| "write a time like 12h or 90d, or never".to_owned())
}

pub(super) async fn run(context: &Context, args: TokensArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let (ledger, clock) = (project.ledger().await?, WallClock::of(&project));
    match args.command {
        TokensCommand::Create(args) => create(&ledger, clock, &args).await,
        TokensCommand::Renew(args) => renew(&ledger, clock, &args).await,
        TokensCommand::List { json } => list(&ledger, clock, json).await,
        TokensCommand::Revoke { name, author } => {
            let by = signed(&author, "the token is to end")?;
            if !ledger
                .revoke_token(&name, &by, Clock::of_machine().now())
                .await?
            {
                return Err(
                    Failure::invalid(format!("there is no good token of {name}"))
                        .help("`payrun tokens list` lists them"),
                );
            }
            say(format!("the token of {name} is no longer good"));
            Ok(Exit::Success)
        }
    }
}

fn signed(author: &Author, why: &str) -> Result<Authorization, Failure> {
    let reason = Reason::parse(why).map_err(|error| Failure::internal(&error))?;
    Ok(Authorization {
        actor: author.actor()?,
        reason,
    })
}

async fn create(
    ledger: &crate::ledger::Ledger,
    clock: WallClock,
    args: &CreateArgs,
) -> Result<Exit, Failure> {
    if Actor::person(&args.name, "token").is_err() || !is_name(&args.name) {
        return Err(Failure::invalid(
            "a token's name has 1 to 64 letters, digits, and . - _ @ +",
        ));
    }
    let (token, now) = (Token::fresh(), Clock::of_machine().now());
    let by = signed(&args.author, "somebody is to use the API")?;
    let row = TokenRow {
        name: args.name.clone(),
        role: args.role,
        created_at: now,
        created_by: by.actor.name().to_owned(),
        expires_at: args.expires.at(now),
        revoked_at: None,
    };
    if !ledger.create_token(&row, token.hash(), &by).await? {
        let help =
            "revoked names stay taken too, so that what was done under a name is one person's";
        return Err(
            Failure::invalid(format!("there is a token of {} already", args.name)).help(help),
        );
    }
    show(&row, &token, clock, args.json);
    Ok(Exit::Success)
}

async fn renew(
    ledger: &crate::ledger::Ledger,
    clock: WallClock,
    args: &RenewArgs,
) -> Result<Exit, Failure> {
    let (token, now) = (Token::fresh(), Clock::of_machine().now());
    let by = signed(&args.author, "the token is to be replaced")?;
    if !ledger
        .renew_token(&args.name, token.hash(), args.expires.at(now), &by, now)
        .await?
    {
        let help = "`payrun tokens list` lists them; one that was revoked stays so";
        return Err(
            Failure::invalid(format!("there is no token of {} to renew", args.name)).help(help),
        );
    }
    let row = ledger
        .tokens()
        .await?
        .into_iter()
        .find(|row| row.name == args.name);
    let row = row.ok_or_else(|| Failure::invalid(format!("the token of {} is gone", args.name)))?;
    show(&row, &token, clock, args.json);
    Ok(Exit::Success)
}

fn show(row: &TokenRow, token: &Token, clock: WallClock, as_json: bool) {
    if as_json {
        let until = row.expires_at.map(|at| at.to_string());
        return say_json(
            &json!({ "name": row.name, "role": row.role.as_str(), "token": token.text(), "expires_at": until }),
        );
    }
    let until = row.expires_at.map_or_else(
        || "until it is revoked".to_owned(),
        |until| format!("until {}", clock.named(until)),
    );
    note(format!(
        "token of {} ({}), good {until}; it is shown this once and kept nowhere:",
        row.name, row.role
    ));
    say(token.text());
}

async fn list(
    ledger: &crate::ledger::Ledger,
    clock: WallClock,
    as_json: bool,
) -> Result<Exit, Failure> {
    let (tokens, now) = (ledger.tokens().await?, Clock::of_machine().now());
    if as_json {
        say_json(
            &tokens
                .iter()
                .map(|token| {
                    json!({
                        "name": token.name, "role": token.role.as_str(), "good": token.is_good(now), "ending": token.is_ending(now),
                        "created_at": token.created_at.to_string(), "created_by": token.created_by,
                        "expires_at": token.expires_at.map(|at| at.to_string()),
                        "revoked_at": token.revoked_at.map(|at| at.to_string()),
                    })
                })
                .collect(),
        );
        return Ok(Exit::Success);
    }
    if tokens.is_empty() {
        say("no tokens; `payrun tokens create NAME --role operator` makes one");
        return Ok(Exit::Success);
    }
    let mut rows = table(&["name", "role", "good", &clock.heading("made"), "by"]);
    for token in tokens {
        let good = match (token.revoked_at, token.expires_at) {
            (Some(at), _) => format!("revoked {}", clock.named(at)),
            (None, Some(until)) if now >= until => format!("expired {}", clock.named(until)),
            (None, Some(until)) if token.is_ending(now) => {
                format!(
                    "until {}, soon: `payrun tokens renew {}`",
                    clock.named(until),
                    token.name
                )
            }
            (None, Some(until)) => format!("until {}", clock.named(until)),
            (None, None) => "until revoked; it has no end".to_owned(),
        };
        rows.add_row([
            token.name,
            token.role.to_string(),
            good,
            clock.cell(token.created_at),
            token.created_by,
        ]);
    }
    print_table(&rows);
    Ok(Exit::Success)
}
