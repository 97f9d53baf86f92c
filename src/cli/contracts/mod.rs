//! `payrun contracts`: the contracts that live in payrun.

mod change;
mod export;
mod import;
mod list;
mod reopen;
mod show;

use clap::{Args, Subcommand};

use super::Context;
use super::actor::Author;
use super::exit::{Exit, Failure};
use crate::app::Project;
use crate::domain::subscription::ContractStanding;
use crate::ledger::{ContractRow, Ledger};

/// Arguments of `payrun contracts`.
#[derive(Debug, Args)]
pub(super) struct ContractsArgs {
    #[command(subcommand)]
    command: ContractsCommand,
}

#[derive(Debug, Subcommand)]
enum ContractsCommand {
    /// Take contracts from a CSV, JSON Lines or Excel file; the same file again changes nothing
    Import(import::ImportArgs),
    /// List contracts
    List(list::ContractListArgs),
    /// Show a contract with its periods and its history
    Show(show::ContractShowArgs),
    /// Charge contracts no more until they are resumed; periods that fall due meanwhile are never
    /// charged
    Suspend(change::ChangeArgs),
    /// Charge suspended contracts again, from the next period on
    Resume(change::ChangeArgs),
    /// Never charge contracts again
    End(change::EndArgs),
    /// Let a period be charged after all that has lapsed, until a day
    Reopen(reopen::ReopenArgs),
    /// Print contracts as a file that can be imported
    Export(export::ExportArgs),
}

pub(super) async fn run(context: &Context, args: ContractsArgs) -> Result<Exit, Failure> {
    match args.command {
        ContractsCommand::Import(args) => import::run(context, args).await,
        ContractsCommand::List(args) => list::run(context, &args).await,
        ContractsCommand::Show(args) => show::run(context, &args).await,
        ContractsCommand::Suspend(args) => change::suspend(context, &args).await,
        ContractsCommand::Resume(args) => change::resume(context, &args).await,
        ContractsCommand::End(args) => change::end(context, &args).await,
        ContractsCommand::Reopen(args) => reopen::run(context, &args).await,
        ContractsCommand::Export(args) => export::run(context, &args).await,
    }
}

/// A state's word.
fn parse_state(word: &str) -> Result<&'static str, String> {
    let known = ContractStanding::WORDS
        .into_iter()
        .find(|known| *known == word);
    known.ok_or_else(|| {
        format!(
            "no such state; the states are {}",
            ContractStanding::WORDS.join(", ")
        )
    })
}

/// The account of a gateway by its name in payrun.yaml.
fn account_of(project: &Project, gateway: &str) -> Result<String, Failure> {
    let config = project.config.gateways.get(gateway);
    config
        .map(crate::config::GatewayConfig::identity)
        .ok_or_else(|| {
            let names: Vec<&str> = project.config.gateways.keys().map(String::as_str).collect();
            Failure::invalid(format!("payrun.yaml has no gateway \"{gateway}\""))
                .help(format!("it has {}", names.join(", ")))
        })
}

/// The account that is meant, where none need be named because only one can charge contracts.
fn account_meant(project: &Project, gateway: Option<&str>) -> Result<String, Failure> {
    if let Some(gateway) = gateway {
        return account_of(project, gateway);
    }
    let charges = |kind: &str| {
        let mut kinds = project.job_kinds.by_name.values();
        kinds.any(|one| {
            one.one_at_a_time.as_deref() == Some("contract_id")
                && one.effect
                && one.gateways.contains_key(kind)
        })
    };
    let able: Vec<&str> = project
        .config
        .gateways
        .values()
        .filter(|config| charges(config.kind.as_str()))
        .map(|config| config.name.as_str())
        .collect();
    match able.as_slice() {
        [only] => account_of(project, only),
        [] => Err(Failure::invalid(
            "no gateway in payrun.yaml charges contracts",
        )),
        several => Err(Failure::invalid("several gateways charge contracts")
            .help(format!("say --gateway with one of {}", several.join(", ")))),
    }
}

/// The name of an account in payrun.yaml; the account itself where it has none there.
fn gateway_name(project: &Project, account: &str) -> String {
    let mut known = project.config.gateways.values();
    known
        .find(|config| config.identity() == account)
        .map_or_else(|| account.to_owned(), |config| config.name.clone())
}

/// The one contract of this id.
async fn find(ledger: &Ledger, id: &str, account: Option<&str>) -> Result<ContractRow, Failure> {
    let mut found = ledger.contracts_called(id, account).await?;
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(
            Failure::invalid(format!("several accounts have a contract {id}"))
                .help("say --gateway"),
        ),
        (None, _) => Err(Failure::invalid(format!("there is no contract {id}"))
            .help("`payrun contracts list` shows them")),
    }
}
