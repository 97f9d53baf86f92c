//! `payrun serve` of a project, and a client that speaks to it.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::{App, ExitedProcess, PATIENCE, Running, until};

/// A day that runs may be begun for over the API: so many days ago, or ahead if negative.
pub fn days_ago(days: i64) -> String {
    (chrono::Utc::now().date_naive() - chrono::TimeDelta::days(days)).to_string()
}

/// A service under way.
pub struct Service<'a> {
    app: &'a App,
    process: Running,
    pub address: String,
    client: reqwest::Client,
}

/// A status and a JSON body.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl<'a> Service<'a> {
    /// Starts it on a free port.
    pub fn of(app: &'a App) -> Self {
        Self::with(app, reqwest::Client::builder())
    }

    /// The same, asked over a connection of its own each time; with TLS where its certificate is
    /// given, which names localhost.
    pub fn without_pool(app: &'a App, certificate: Option<&str>) -> Self {
        let trusted =
            certificate.map(|pem| reqwest::Certificate::from_pem(pem.as_bytes()).unwrap());
        let client = reqwest::Client::builder().pool_max_idle_per_host(0);
        Self::with(
            app,
            trusted
                .into_iter()
                .fold(client, |client, one| client.tls_certs_only([one])),
        )
    }

    fn with(app: &'a App, client: reqwest::ClientBuilder) -> Self {
        let process = app.start(&["serve", "--listen", "127.0.0.1:0"]);
        until("the service listens", || {
            process.stderr_so_far().contains("Ctrl-C stops")
        });
        let told = process.stderr_so_far();
        let after = |scheme: &str| {
            told.split(&format!("{scheme}://127.0.0.1:"))
                .nth(1)?
                .split('/')
                .next()
        };
        let address = match after("http") {
            Some(port) => format!("http://127.0.0.1:{port}"),
            None => format!("https://localhost:{}", after("https").unwrap()),
        };
        let client = client
            .timeout(Duration::from_secs(20))
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            app,
            process,
            address,
            client,
        }
    }

    /// Its host and port.
    pub fn host(&self) -> String {
        self.address.split_once("://").unwrap().1.to_owned()
    }

    /// The most memory that was ever resident, in KiB.
    pub fn resident_most(&self) -> u64 {
        self.process.resident_most()
    }

    /// How long it has kept a processor busy.
    pub fn processor_time(&self) -> Duration {
        self.process.processor_time()
    }

    /// A fresh token of a role.
    pub fn token(&self, name: &str, role: &str) -> String {
        self.app.token(name, role)
    }

    /// A request that is not sent yet.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.address))
    }

    /// Sends a request.
    pub fn send(&self, request: RequestBuilder) -> Reply {
        self.app.wait_for(async {
            let response = request.send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let text = response.text().await.unwrap();
            Reply {
                status,
                headers,
                body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
            }
        })
    }

    /// Reads a path.
    pub fn get(&self, token: &str, path: &str) -> Reply {
        self.send(self.request(Method::GET, path).bearer_auth(token))
    }

    /// Its number at the operating system.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has said so far.
    pub fn told(&self) -> String {
        self.process.stderr_so_far()
    }

    /// Ends it by Ctrl-C.
    pub fn stop(self) -> ExitedProcess {
        self.process.interrupt();
        self.process.wait(PATIENCE)
    }

    /// Ends it as by `kill -9`.
    pub fn kill(self) -> ExitedProcess {
        self.process.kill_after(Duration::ZERO)
    }
}
