//! `payrun serve`

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use tokio::sync::watch;

use super::Context;
use super::exit::PUT_BACK;
use super::exit::{Exit, Failure};
use super::output::{counted, note, note_lines};
use super::signals::stop_switch;
use crate::alerts::{AlertSendError, Alerts, EmergencyMailer};
use crate::app::{Project, attachments};
use crate::clock::Clock;
use crate::config::Database;
use crate::engine::Engine;
use crate::http::{App, Listener};
use crate::ledger::Ledger;
use crate::service::Service;
use crate::service::alerts::AlertSenders;
use crate::service::workflows::Workflows;

/// Arguments of `payrun serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Another address and port than payrun.yaml's; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Print nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

#[cfg(feature = "sandbox")]
impl ServeArgs {
    /// To serve on a port of this machine.
    pub(super) const fn on(listen: SocketAddr) -> Self {
        Self {
            listen: Some(listen),
            quiet: false,
        }
    }
}

pub(super) async fn run(context: &Context, args: ServeArgs) -> Result<Exit, Failure> {
    serve(context, args, stop_switch()).await
}

/// Serves a project until told to stop.
pub(super) async fn serve(
    context: &Context,
    args: ServeArgs,
    stopped: watch::Receiver<bool>,
) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let server = &project.config.server;
    let address = args.listen.unwrap_or(server.listen);
    let is_new = matches!(&project.config.database, Database::Sqlite(path) if !path.exists());
    let engine = Arc::new(
        project
            .engine(project.ledger().await?, Clock::of_machine())
            .await?,
    );
    if is_new {
        // Where one was lost, this is the moment to stop and restore it.
        tracing::warn!(
            ledger = engine.ledger.name(),
            "there was no ledger here, and a new one is made"
        );
    }
    uploads_open(&engine).await?;
    may_listen(&project, &engine.ledger, address).await?;
    let senders = senders(&project, &engine)?;
    let listener = Listener::bind(address, server.tls.as_ref(), &context.config).await;
    let listener = listener.map_err(|error| Failure::invalid(super::exit::chain(&error)))?;
    let node = engine
        .ledger
        .join(rand::random(), engine.clock.now())
        .await?;
    let workflows = Arc::new(Workflows::new(&project.config, &project.job_kinds));
    workflows.were_removed(engine.pause_missing().await?);
    if !args.quiet {
        tell(&project, &workflows, &listener, &engine.ledger).await?;
    }
    let service = Service::new(Arc::clone(&engine), node.id(), workflows);
    // Whatever pages and programs read, no worker waits for a connection because of it.
    let read_by = Engine {
        ledger: engine.ledger.with_own_readers().await?,
        ..Engine::clone(&engine)
    };
    let asked = Service {
        engine: Arc::new(read_by),
        ..service.clone()
    };
    let served = tokio::spawn(listener.serve(App::new(asked, stopped.clone())));
    let plans = Arc::clone(&engine.places);
    let mut stop = stopped.clone();
    tokio::spawn(async move {
        stop.wait_for(|stop| *stop).await.ok();
        plans.close();
    });
    service.run(senders, stopped).await;
    let served = served.await.map_err(|error| Failure::internal(&error))?;
    engine.ledger.clone().close().await;
    served.map_err(|error| Failure::internal(&error))?;
    Ok(Exit::Success)
}

/// Refuses keys that lack one that an uploaded file needs. A store that cannot be had now stops
/// nobody.
async fn uploads_open(engine: &Engine) -> Result<(), Failure> {
    match engine.uploads_under_missing_keys().await {
        Ok(0) => Ok(()),
        Ok(files) => {
            let files = counted(files as u64, "uploaded file");
            let message = format!(
                "encryption_key in payrun.yaml lacks a key: {files} cannot be opened without it"
            );
            Err(Failure::invalid(message).help(PUT_BACK))
        }
        Err(error) => {
            tracing::warn!(error = %super::exit::chain(&error), "whether uploaded files can be opened is not known");
            Ok(())
        }
    }
}

/// Those who write mails.
fn senders(project: &Project, engine: &Engine) -> Result<AlertSenders, Failure> {
    let (config, clock) = (&project.config, &engine.clock);
    let invalid = |error: AlertSendError| Failure::invalid(super::exit::chain(&error));
    let place = config
        .folder
        .canonicalize()
        .unwrap_or_else(|_| config.folder.clone());
    Ok(AlertSenders {
        notices: Arc::new(
            Alerts::new(config, engine.ledger.clone(), clock.clone())
                .map_err(invalid)?
                .with_attachments(attachments(config)?),
        ),
        direct: Arc::new(
            EmergencyMailer::new(config, &place.display().to_string(), clock.clone())
                .map_err(invalid)?,
        ),
    })
}

/// Beyond this machine it listens with TLS, or behind a proxy that has it, and only where there are
/// tokens.
async fn may_listen(
    project: &Project,
    ledger: &Ledger,
    address: SocketAddr,
) -> Result<(), Failure> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    let server = &project.config.server;
    if server.tls.is_none() && !server.behind_proxy {
        let help = "give payrun.yaml server: { tls: { certificate, key } }, or behind_proxy: true where a proxy speaks TLS";
        return Err(Failure::invalid(format!(
            "{address} is beyond this machine, where the service listens with TLS only"
        ))
        .help(help));
    }
    let now = Clock::of_machine().now();
    if !ledger
        .tokens()
        .await?
        .iter()
        .any(|token| token.is_good(now))
    {
        let help = "payrun tokens create NAME --role admin";
        return Err(Failure::invalid(
            "beyond this machine the service listens only when there is a token",
        )
        .help(help));
    }
    Ok(())
}

async fn tell(
    project: &Project,
    workflows: &Workflows,
    listener: &Listener,
    ledger: &Ledger,
) -> Result<(), Failure> {
    let names: Vec<String> = workflows
        .all()
        .iter()
        .map(|workflow| workflow.name.clone())
        .collect();
    note(format!(
        "payrun {} on {}",
        env!("CARGO_PKG_VERSION"),
        ledger.name()
    ));
    note(format!(
        "  workflows  {} ({})",
        project.config.workflows.display(),
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    ));
    for (file, mistakes) in workflows.refused() {
        note_lines(format!("  refused    {}: {mistakes}", file.display()));
    }
    let url = format!("{}{}", listener.url(), project.config.server.base_path);
    let sign_in = if ledger.tokens().await?.is_empty() {
        "no token yet: `payrun tokens create NAME --role operator` makes one to sign in with"
    } else {
        "sign in with a token; `payrun tokens create NAME --role operator` makes one"
    };
    note(format!("  dashboard  {url}/ ({sign_in})"));
    note(format!(
        "  API        {url}/api/v1 (document: /api/openapi.json; health: /readyz)"
    ));
    note("Ctrl-C stops: nothing new is sent then, and what is under way is settled");
    Ok(())
}
