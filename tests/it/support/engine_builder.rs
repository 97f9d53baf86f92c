//! Where notifications come in, within this process: an engine over a project, and its webhooks on
//! loopback.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use payrun::clock::Clock;
use payrun::config::{Config, Database, GatewayConfig, GatewayKind};
use payrun::engine::vault::Vault;
use payrun::engine::{Account, Engine};
use payrun::file_store::Files;
use payrun::gateway::in_process::FakeGateway;
use payrun::gateway::transport::Transport;
use payrun::http::webhooks::{WebhookLimiter, router};
use payrun::job_kinds::JobKinds;
use payrun::ledger::{Ledger, NotificationFilter, NotificationRow};

use super::gateways::Rig;

/// How long a gateway waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A project's engine, and its limiter of webhooks.
pub struct WebhookService {
    pub engine: Arc<Engine>,
    pub limiter: Arc<WebhookLimiter>,
    /// `http://…/webhooks`.
    pub url: String,
    client: reqwest::Client,
}

impl WebhookService {
    /// Opens the ledger of a rig's project, as one more process does, and listens.
    pub async fn of(rig: &Rig, clock: Clock) -> Self {
        let config =
            Arc::new(payrun::config::load::load(&rig.folder.path().join("payrun.yaml")).unwrap());
        let Database::Sqlite(path) = &config.database else {
            panic!("a rig has a file")
        };
        let engine = Engine::new(
            Ledger::open(path).await.unwrap(),
            Arc::clone(&config),
            Arc::new(JobKinds::built_in()),
            accounts(rig, &config, &clock),
            Files::open("files", rig.folder.path()).unwrap(),
            clock,
        );
        let vault = Vault::of(&config.encryption_keys).unwrap().map(Arc::new);
        let engine = Arc::new(engine.with_vault(vault));
        let limiter = Arc::new(WebhookLimiter::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/notify", listener.local_addr().unwrap());
        let routes: axum::Router = router(Arc::clone(&engine), Arc::clone(&limiter));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self {
            engine,
            limiter,
            url,
            client: reqwest::Client::new(),
        }
    }

    /// Sends a notification; status and body of the answer.
    pub async fn post(
        &self,
        gateway: &str,
        media: &str,
        mut headers: HeaderMap,
        body: bytes::Bytes,
    ) -> (u16, String) {
        headers.remove("content-type");
        let request = self
            .client
            .post(format!("{}/{gateway}", self.url))
            .headers(headers)
            .body(body);
        let request = if media.is_empty() {
            request
        } else {
            request.header("content-type", media)
        };
        let response = request.timeout(PATIENCE).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Applies what is due, as the supervising loop does.
    pub async fn hear(&self) {
        while self.engine.process_notifications().await.unwrap() > 0 {}
    }

    /// Everything that was kept, the newest first.
    pub async fn kept(&self) -> Vec<NotificationRow> {
        self.engine
            .ledger
            .notifications(&NotificationFilter::default(), None, 10_000)
            .await
            .unwrap()
    }
}

fn accounts(rig: &Rig, config: &Config, clock: &Clock) -> BTreeMap<String, Arc<Account>> {
    let account = |(name, config): (&String, &GatewayConfig)| {
        (name.clone(), Arc::new(account(rig, config, clock)))
    };
    config.gateways.iter().map(account).collect()
}

fn account(rig: &Rig, config: &GatewayConfig, clock: &Clock) -> Account {
    let gateways = rig.gateways.clone();
    let fake: Arc<dyn FakeGateway> = match &config.kind {
        GatewayKind::Wechat(_) => gateways.wechat.unwrap(),
        GatewayKind::Hipopay(_) => gateways.hipopay.unwrap(),
        GatewayKind::Egms(_) => gateways.egms.unwrap(),
        GatewayKind::Cbtis(_) => gateways.cbtis.unwrap(),
    };
    Account::open(config, Transport::InProcess(fake), clock.clone()).unwrap()
}
