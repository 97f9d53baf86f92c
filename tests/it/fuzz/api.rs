//! The service's listener, asked over a socket with a viewer's token: every answer comes soon and
//! is no 5xx, and nothing is changed.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Target;
use crate::support::service::Service;
use crate::support::{App, DATE, WORKFLOW, contracts};

/// How long nothing may come before our side of the connection is closed: some inputs are half a
/// request.
const IDLE: Duration = Duration::from_millis(150);

/// How long the service may take then.
const SOON: Duration = Duration::from_secs(8);

/// The most memory of the service, in KiB.
const RESIDENT_MAX: u64 = 400 * 1024;

#[test]
fn requests() {
    let target = Target::of("api", 120);
    let app = App::with_contracts(&contracts("C", 3));
    app.payrun(&["run", WORKFLOW, "--date", DATE]).exits(0);
    let service = Service::of(&app);
    let (viewer, admin) = (
        service.token("vic", "viewer"),
        service.token("ann", "admin"),
    );
    let (host, before) = (service.host(), kept(&service, &admin));
    target.try_on(|input| {
        let request = replaced(
            &replaced(input, b"TOKEN", viewer.as_bytes()),
            b"HOST",
            host.as_bytes(),
        );
        let answer = ask(&host, &request);
        let statuses = statuses(&answer);
        assert!(
            statuses.iter().all(|status| *status < 500),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        let reads = [&b"GET "[..], b"HEAD "]
            .iter()
            .any(|method| request.starts_with(method));
        assert!(
            reads
                || statuses
                    .first()
                    .is_none_or(|status| !(200..300).contains(status)),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        let told = String::from_utf8_lossy(&answer);
        let code = told
            .split_once("\"code\":\"")
            .map(|(_, code)| code.split('"').next().unwrap_or_default());
        // Digits do not count in what came of it.
        let statuses: String = statuses.iter().map(|status| format!("{status} ")).collect();
        let letters: String = statuses
            .chars()
            .map(|c| {
                c.to_digit(10)
                    .map_or(' ', |digit| char::from(b'a' + digit as u8))
            })
            .collect();
        format!("{letters}{}", code.unwrap_or_default())
    });
    assert_eq!(kept(&service, &admin), before);
    assert_eq!(service.get(&viewer, "/api/v1/runs").status, 200);
    assert!(!service.told().contains("panicked"), "{}", service.told());
    assert!(
        service.resident_most() <= RESIDENT_MAX,
        "{} KiB",
        service.resident_most()
    );
    assert_eq!(service.stop().code(), Some(0));
}

/// What a viewer must not change.
fn kept(service: &Service<'_>, admin: &str) -> Vec<Value> {
    let lists = [
        "audit",
        "pauses",
        "runs",
        "items",
        "approvals",
        "notifications",
        "contracts",
        "occurrences",
    ];
    lists
        .map(|list| service.get(admin, &format!("/api/v1/{list}")).body)
        .to_vec()
}

/// Sends these bytes; everything that is answered until the service closes the connection.
fn ask(host: &str, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(IDLE)).unwrap();
    // It may be closed before all was said.
    stream.write_all(request).ok();
    let (mut answer, mut bytes, mut closed) = (Vec::new(), [0; 16 * 1024], None);
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return answer,
            Ok(read) => answer.extend_from_slice(&bytes[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                let since = *closed.get_or_insert_with(|| {
                    stream.shutdown(Shutdown::Write).ok();
                    Instant::now()
                });
                assert!(
                    since.elapsed() <= SOON,
                    "the connection is still open: {}",
                    String::from_utf8_lossy(&answer)
                );
            }
            Err(_) => return answer,
        }
    }
}

/// The statuses of the answers; what a body may say is no status.
fn statuses(answer: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answer);
    let lines = text
        .split("HTTP/1.")
        .skip(1)
        .filter_map(|line| line.get(2..5)?.parse().ok());
    lines.collect()
}

fn replaced(input: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let mut made = Vec::with_capacity(input.len());
    let mut at = 0;
    while at < input.len() {
        if input[at..].starts_with(what) {
            made.extend_from_slice(by);
            at += what.len();
        } else {
            made.push(input[at]);
            at += 1;
        }
    }
    made
}
