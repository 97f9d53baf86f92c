//! `payrun init`

use std::path::PathBuf;

use clap::Args;

use super::exit::{Exit, Failure};
use super::output::say_lines;
use super::scaffold::{
    LaneBounds, SANDBOX_PORT, SampleCurrencies, contracts_csv, keys, other_accounts, payrun_yaml,
    personal_key, ready_workflows, workflow_yaml,
};
use super::schema;
use super::write_new::write_new;

/// How many sample contracts are made.
const SAMPLES: u64 = 200;

/// Arguments of `payrun init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The folder to make
    #[arg(value_name = "FOLDER", default_value = "payrun-project")]
    folder: PathBuf,
}

pub(super) fn run(args: InitArgs) -> Result<Exit, Failure> {
    let folder = args.folder;
    let occupied =
        folder.join("payrun.yaml").exists() || folder.join(super::scaffold::KEYS).exists();
    if occupied {
        return Err(
            Failure::invalid(format!("{} is a project already", folder.display()))
                .help("name another folder"),
        );
    }
    std::fs::create_dir_all(&folder).map_err(|error| {
        Failure::invalid(format!("{} cannot be made: {error}", folder.display()))
    })?;
    let identity = keys(&folder)?;
    personal_key(&folder)?;
    let bounds = LaneBounds {
        rate: "50/s",
        concurrency: 16,
        timeout: "5s",
        query_interval: "500ms",
        refund_interval: "1s",
        funds_interval: "10s",
        more: "",
    };
    let base_url = format!("http://127.0.0.1:{SANDBOX_PORT}");
    let accounts =
        payrun_yaml(&identity, &base_url, bounds) + &other_accounts(&folder, &base_url, bounds)?;
    write_new(&folder, "payrun.yaml", &accounts)?;
    write_new(
        &folder,
        "workflows/monthly-deductions.yaml",
        &workflow_yaml(),
    )?;
    ready_workflows(&folder)?;
    write_new(
        &folder,
        ".gitignore",
        "payrun.db*\nsandbox.db*\nkeys/\nfiles/\n",
    )?;
    schema::write(&folder)?;
    std::fs::create_dir_all(folder.join("data")).ok();
    contracts_csv(
        &folder.join("data").join("contracts.csv"),
        SAMPLES,
        1,
        SampleCurrencies::OneCurrency,
    )?;
    let name = folder.display();
    say_lines(format!(
        "made {name}/
  payrun.yaml                         where the ledger is, and the gateway accounts of the sandbox
  workflows/monthly-deductions.yaml   a workflow: one deduction a contract and month
  ready/                              a workflow for each kind of job, to be copied to workflows/ and changed
  data/contracts.csv                  {SAMPLES} sample contracts
  keys/                               generated: the sandbox's, worth nothing elsewhere, and personal.key
  schema/                             for editors

next:
  cd {name}
  payrun check                                          look for mistakes
  payrun plan workflows/monthly-deductions.yaml         what would be charged; sends nothing
  payrun sandbox --faults some                          in another terminal
  payrun run workflows/monthly-deductions.yaml          charge them
  payrun show                                           what became of it"
    ));
    Ok(Exit::Success)
}
