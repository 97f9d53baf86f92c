//! `payrun doctor`

use std::collections::BTreeMap;

use clap::Args;

use super::check::{print_probes, probe, say_open_secrets};
use super::exit::{Exit, Failure, chain};
use super::output::{Colour, counted, paint, say};
use super::wall_clock::WallClock;
use super::{Context, assumptions};
use crate::app::Project;
use crate::clock::Clock;
use crate::engine::maintenance::reseal::missing_keys;
use crate::engine::vault::Vault;
use crate::ledger::{LedgerError, SealedKind};

/// Arguments of `payrun doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Do not call the gateways
    #[arg(long)]
    offline: bool,
    /// List what payrun only assumes of the configured gateways, since no page of theirs says so,
    /// and what that rests on; look at nothing else
    #[arg(long)]
    facts: bool,
    /// With --facts: print JSON
    #[arg(long, requires = "facts")]
    json: bool,
}

/// How many items of payments with two names are shown.
const NAMES_SHOWN: u32 = 40;

/// What the key of what is kept of persons is called.
pub(super) const ENCRYPTION_KEY: &str = "encryption_key";

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    found: Result<String, String>,
}

impl Finding {
    /// What the ledger says in place of it.
    fn unread(what: &'static str, error: &LedgerError) -> Self {
        Self {
            what,
            found: Err(chain(error)),
        }
    }
}

pub(super) async fn run(context: &Context, args: &DoctorArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    if args.facts {
        return Ok(assumptions::print(&project, args.json));
    }
    let mut findings = vec![Finding {
        what: "configuration",
        found: Ok(context.config.display().to_string()),
    }];
    findings.push(ledger(&project).await);
    findings.extend(lanes(&project).await);
    findings.extend(tokens(&project).await);
    findings.extend(encryption(&project).await);
    let mut unwell = false;
    for finding in &findings {
        let (word, meaning, text) = match &finding.found {
            Ok(text) => ("good ", Colour::Green, text),
            Err(text) => ("wrong", Colour::Red, text),
        };
        unwell |= finding.found.is_err();
        say(format!(
            "{}  {}: {text}",
            paint(word, meaning, context.colour),
            finding.what
        ));
    }
    for text in payments(&project).await {
        let word = paint("look ", Colour::Yellow, context.colour);
        say(format!("{word}  payment: {text}"));
    }
    say_open_secrets(&project, context.colour);
    if !args.offline {
        let probes = probe(&project).await?;
        unwell |= probes.iter().any(|(_, probe)| probe.found.is_err());
        print_probes(&probes, context.colour);
    }
    Ok(if unwell {
        Exit::Incomplete
    } else {
        Exit::Success
    })
}

async fn ledger(project: &Project) -> Finding {
    let found = match project.ledger().await {
        Err(error) => Err(chain(&error)),
        Ok(ledger) => ledger
            .check()
            .await
            .map_err(|error| chain(&error))
            .and_then(|mistakes| {
                if mistakes.is_empty() {
                    Ok(format!("{} is sound", ledger.name()))
                } else {
                    Err(mistakes.join("; "))
                }
            }),
    };
    Finding {
        what: "ledger",
        found,
    }
}

/// Payments that items name by different numbers. They are told and are no finding: what was sent
/// stays sent, and a person may have cleared it up.
async fn payments(project: &Project) -> Vec<String> {
    let Ok(ledger) = project.ledger().await else {
        return Vec::new();
    };
    let named = match ledger.payments_named_twice(NAMES_SHOWN).await {
        Ok(named) => named,
        Err(error) => return vec![chain(&error)],
    };
    let mut by_number: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for one in &named {
        by_number
            .entry(&one.number)
            .or_default()
            .push(format!("{} in item {}", one.written, one.item_id));
    }
    let told = |(number, names): (&&str, &Vec<String>)| {
        format!(
            "{number} stands for several payments: {}. A number was mistyped, and the same may have been declared twice: find out at the \
             gateway which is right (payrun show --item ITEM shows what was sent), and have the other taken back at the customs",
            names.join(", ")
        )
    };
    by_number.iter().map(told).collect()
}

/// The keys; none where there are none, or where nothing of the ledger can be read: that is told of
/// the ledger.
async fn encryption(project: &Project) -> Option<Finding> {
    project.ledger().await.ok()?;
    let found = sealing(project).await;
    found
        .unwrap_or_else(|failure| Some(Err(failure.message)))
        .map(|found| Finding {
            what: ENCRYPTION_KEY,
            found,
        })
}

/// Which key seals what is kept of persons, and how much is sealed under others; none where there
/// is no key.
pub(super) async fn sealing(project: &Project) -> Result<Option<Result<String, String>>, Failure> {
    let vault = Vault::of(&project.config.encryption_keys)
        .map_err(|error| Failure::invalid(error.to_string()))?;
    let Some((vault, ledger)) = vault.zip(Some(project.ledger().await?)) else {
        return Ok(None);
    };
    let first = vault.ids().next().unwrap_or_default();
    let mut others = 0;
    for key in ledger
        .sealing_keys()
        .await?
        .iter()
        .filter(|key| *key != first)
    {
        for what in SealedKind::ALL {
            others += ledger.sealed_under(what, key).await?;
        }
    }
    Ok(Some(
        match (others, missing_keys(&ledger, Some(&vault)).await?.len()) {
            (0, _) => Ok(format!("seals under {first}")),
            (_, 0) => Ok(format!(
                "seals under {first}; `payrun reseal` moves {} from other keys",
                counted(others, "value")
            )),
            (_, _) => Err(format!(
                "seals under {first}, and lacks a key that values in the ledger need; put it back"
            )),
        },
    ))
}

/// Tokens that expire soon.
async fn tokens(project: &Project) -> Vec<Finding> {
    let Ok(ledger) = project.ledger().await else {
        return Vec::new();
    };
    let now = Clock::of_machine().now();
    let tokens = match ledger.tokens().await {
        Ok(tokens) => tokens,
        Err(error) => return vec![Finding::unread("token", &error)],
    };
    let ending = tokens
        .iter()
        .filter(|token| token.is_ending(now))
        .map(|token| {
            let until = token
                .expires_at
                .map(|at| WallClock::of(project).named(at))
                .unwrap_or_default();
            let name = &token.name;
            Finding {
                what: "token",
                found: Err(format!(
                    "that of {name} expires at {until}; `payrun tokens renew {name}`"
                )),
            }
        });
    ending.collect()
}

async fn lanes(project: &Project) -> Vec<Finding> {
    let Ok(ledger) = project.ledger().await else {
        return Vec::new();
    };
    let closed = match ledger.closed_lanes(Clock::of_machine().now()).await {
        Ok(closed) => closed,
        Err(error) => return vec![Finding::unread("lane", &error)],
    };
    let finding = |lane: &crate::ledger::LaneRow| Finding {
        what: "lane",
        found: Err(format!(
            "{} is {}: {}",
            lane.name,
            lane.state.as_str(),
            lane.reason.as_deref().unwrap_or_default()
        )),
    };
    closed.iter().map(finding).collect()
}
