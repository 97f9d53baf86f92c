//! `payrun serve` of a project, and a client that speaks to it.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::{App, Ended, PATIENCE, Running, until};

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
        let process = app.start(&["serve", "--listen", "127.0.0.1:0"]);
        until("the service listens", || process.stderr_so_far().contains("Ctrl-C stops"));
        let told = process.stderr_so_far();
        let address = told.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap().to_owned();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy().build().unwrap();
        Self { app, process, address: format!("http://{address}"), client }
    }

    /// A fresh token of a role.
    pub fn token(&self, name: &str, role: &str) -> String {
        self.app.token(name, role)
    }

    /// A request that is not sent yet.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.address))
    }

    /// Sends a request.
    pub fn send(&self, request: RequestBuilder) -> Reply {
        self.app.wait_for(async {
            let response = request.send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let text = response.text().await.unwrap();
            Reply { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
        })
    }

    /// Reads a path.
    pub fn get(&self, token: &str, path: &str) -> Reply {
        self.send(self.request(Method::GET, path).bearer_auth(token))
    }

    /// What it has said so far.
    pub fn told(&self) -> String {
        self.process.stderr_so_far()
    }

    /// Ends it by Ctrl-C.
    pub fn stop(self) -> Ended {
        self.process.interrupt();
        self.process.wait(PATIENCE)
    }

    /// Ends it as by `kill -9`.
    pub fn kill(self) -> Ended {
        self.process.kill_after(Duration::ZERO)
    }
}
