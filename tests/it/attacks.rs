//! Strangers at the listener: connections that say nothing, say half, or read nothing. They keep
//! nobody from an answer.
//!
//! Each attack is bounded, on loopback, and from the very address that is to be answered.

use expect_test::expect;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use payrun::sandbox::faults::{CallKind, Fault, FaultPlan};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::gateways::text_of;
use crate::support::said::assert_said;
use crate::support::service::Service;
use crate::support::{App, DATE, Setup, WORKFLOW, contracts, until};

/// How many connections an attack holds, and for how long.
const HELD: usize = 550;
const LASTS: Duration = Duration::from_secs(3);

/// How long an answer may take while other tests run; half of them take less than a third of it.
const SOON: Duration = Duration::from_secs(3);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// What a stranger does with a connection.
#[derive(Debug, Clone, Copy)]
enum Attack {
    /// Sends this, and waits until it is closed.
    Says(&'static [u8]),
    /// Asks again and again, and reads no answer.
    ReadsNothing(&'static str),
    /// Sends this head, then a byte of its body now and then.
    Drips(&'static [u8], &'static [u8]),
    /// Asks this again as soon as it is answered, on the same connection.
    Loops(&'static [u8]),
    /// Asks for this 200 times at once, and reads the answers slowly.
    ReadsSlowly(&'static str),
    /// The same with TLS under it.
    Within(&'static Attack),
}

const PLAIN: [(&str, Attack); 8] = [
    ("no byte", Attack::Says(b"")),
    ("one byte", Attack::Says(b"G")),
    ("PRI", Attack::Says(b"PRI")),
    ("preface of HTTP/2", Attack::Says(PREFACE)),
    (
        "half a head",
        Attack::Says(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n"),
    ),
    (
        "idle",
        Attack::Says(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"),
    ),
    ("half a notification", Attack::Says(HALF_A_NOTIFICATION)),
    ("answers unread", Attack::ReadsNothing("/api/openapi.json")),
];

const HALF_A_NOTIFICATION: &[u8] =
    b"POST /notify/hk HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{";

const DRIPS: Attack = Attack::Drips(
    b"POST /notify/hk HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n",
    b"{",
);

const DRIPS_CHUNKS: Attack = Attack::Drips(
    b"POST /notify/hk HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
    b"1\r\n{\r\n",
);

const WRONG_TOKEN: Attack = Attack::Loops(
    b"GET /api/v1/runs HTTP/1.1\r\nhost: localhost\r\n\
      authorization: Bearer payrun_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n\r\n",
);

const READY: Attack = Attack::Loops(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n");

const TLS: [(&str, Attack); 6] = [
    ("no hello", Attack::Says(b"")),
    ("half a hello", Attack::Says(b"\x16\x03\x01\x02\x00\x01")),
    ("TLS and no byte", Attack::Within(&Attack::Says(b""))),
    (
        "TLS and the preface of HTTP/2",
        Attack::Within(&Attack::Says(PREFACE)),
    ),
    (
        "TLS and half a head",
        Attack::Within(&Attack::Says(
            b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n",
        )),
    ),
    (
        "TLS and answers unread",
        Attack::Within(&Attack::ReadsNothing("/api/openapi.json")),
    ),
];

/// A stranger's connection until the service closes it.
async fn attack(address: &str, tls: Option<&TlsConnector>, attack: Attack) {
    let Ok(stream) = TcpStream::connect(address).await else {
        return;
    };
    match (attack, tls) {
        (Attack::Within(within), Some(tls)) => {
            let name = "localhost".try_into().unwrap();
            if let Ok(stream) = tls.connect(name, stream).await {
                hold(stream, *within).await;
            }
        }
        (other, _) => hold(stream, other).await,
    }
}

async fn hold(mut stream: impl AsyncRead + AsyncWrite + Unpin, attack: Attack) {
    match attack {
        Attack::Says(bytes) => {
            stream.write_all(bytes).await.ok();
            let mut heard = [0; 1024];
            while matches!(stream.read(&mut heard).await, Ok(1..)) {}
        }
        Attack::ReadsNothing(path) => {
            let asked = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            // 200 MB of answers, then a question now and then.
            let mut sent = stream.write_all(asked.repeat(2_000).as_bytes()).await;
            while sent.is_ok() {
                tokio::time::sleep(Duration::from_millis(500)).await;
                sent = stream.write_all(asked.as_bytes()).await;
            }
        }
        Attack::Drips(head, byte) => {
            let mut sent = stream.write_all(head).await;
            while sent.is_ok() {
                tokio::time::sleep(Duration::from_millis(200)).await;
                sent = stream.write_all(byte).await;
            }
        }
        Attack::Loops(asked) => {
            let mut heard = [0; 4096];
            while stream.write_all(asked).await.is_ok()
                && matches!(stream.read(&mut heard).await, Ok(1..))
            {}
        }
        Attack::ReadsSlowly(path) => {
            let asked = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            stream.write_all(asked.repeat(200).as_bytes()).await.ok();
            let mut heard = vec![0; 256 * 1024];
            while matches!(stream.read(&mut heard).await, Ok(1..)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Attack::Within(_) => {}
    }
}

/// 500 strangers, each of whom comes back when closed.
struct Strangers {
    tasks: Vec<tokio::task::JoinHandle<()>>,
    came: Arc<AtomicU64>,
}

impl Strangers {
    fn come(app: &App, address: &str, tls: Option<&TlsConnector>, what: Attack) -> Self {
        let came = Arc::new(AtomicU64::new(0));
        let stranger = |_| {
            let (address, tls, came) = (address.to_owned(), tls.cloned(), Arc::clone(&came));
            async move {
                loop {
                    came.fetch_add(1, Ordering::Relaxed);
                    attack(&address, tls.as_ref(), what).await;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        };
        let tasks = app.wait_for(async { (0..HELD).map(stranger).map(tokio::spawn).collect() });
        Self { tasks, came }
    }

    fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// A project with a charge that only a notification tells of.
fn project() -> App {
    let faults = FaultPlan {
        on: Some(CallKind::Submit),
        ..FaultPlan::only(Fault::SilentAfter)
    };
    let app = App::of(Setup {
        faults,
        contracts: contracts("C", 1),
        ..Setup::default()
    });
    app.edit(
        WORKFLOW,
        "schedule: [50ms, 100ms, 200ms, 400ms]",
        "schedule: [1h]",
    );
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--wait", "0s"])
        .exits(4);
    app
}

/// Asks for health, tells a notification and asks as an operator throughout an attack; each is
/// answered soon, most at the first time of asking.
fn under(
    app: &App,
    service: &Service<'_>,
    token: &str,
    tls: Option<&TlsConnector>,
    name: &str,
    what: Attack,
) {
    let order = text_of(&app.json_lines(&["items", "--json"])[0], "order_no").to_owned();
    let (headers, body) = app
        .wait_for(app.sandbox().notification(&order))
        .unwrap()
        .expect("it is paid");
    let strangers = Strangers::come(app, &service.host(), tls, what);
    let (began, mut took, mut again) = (Instant::now(), Vec::new(), 0);
    while began.elapsed() < LASTS || strangers.came() < HELD as u64 {
        let asked = [
            service.request(Method::GET, "/healthz"),
            service
                .request(Method::POST, "/notify/hk")
                .headers(headers.clone())
                .body(body.clone()),
            service
                .request(Method::GET, "/api/v1/runs")
                .bearer_auth(token),
        ];
        for request in asked {
            let asked = Instant::now();
            let status = || async {
                Ok::<_, reqwest::Error>(
                    request.try_clone().unwrap().send().await?.status().as_u16(),
                )
            };
            let mut sent = app.wait_for(status());
            // Where the machine is so busy that the request came late, it is sent again.
            while sent.is_err() && asked.elapsed() < SOON {
                again += 1;
                sent = app.wait_for(status());
            }
            let passed = asked.elapsed();
            assert!(
                matches!(sent, Ok(200)) && passed < SOON,
                "{name}: {sent:?} after {passed:?}, {took:?}"
            );
            took.push(passed);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    took.sort();
    let (median, slowest) = (took[took.len() / 2], took[took.len() - 1]);
    eprintln!(
        "{name}: {} connections, {} answers, {again} asked for again, median {median:?}, slowest {slowest:?}, resident {} KiB at most",
        strangers.came(),
        took.len(),
        service.resident_most()
    );
    assert!(median < SOON / 3, "{name}: {took:?}");
    assert!(
        again * 10 <= took.len(),
        "{name}: {again} of {} requests were cut off",
        took.len()
    );
    assert!(
        service.resident_most() < 200 * 1024,
        "{name}: {} KiB",
        service.resident_most()
    );
}

#[test]
fn five_hundred_silent_or_unread_connections_keep_nobody_from_an_answer() {
    let app = project();
    let service = Service::without_pool(&app, None);
    let token = service.token("ann", "operator");
    for (name, what) in PLAIN {
        under(&app, &service, &token, None, name, what);
    }
    assert_eq!(app.by_state(), json!({ "succeeded": 1 }));
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn five_hundred_busy_connections_keep_nobody_from_an_answer() {
    let app = project();
    let order = text_of(&app.json_lines(&["items", "--json"])[0], "order_no").to_owned();
    let (headers, body) = app
        .wait_for(app.sandbox().notification(&order))
        .unwrap()
        .expect("it is paid");
    let service = Service::without_pool(&app, None);
    let token = service.token("ann", "operator");
    let mut forged = format!(
        "POST /notify/hk HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in &headers {
        forged.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    let mut forged = [forged.as_bytes(), b"\r\n", &body].concat();
    // As a gateway would send it, but for a letter.
    let at = forged.len() - body.len() / 2;
    forged[at] ^= 1;
    let attacks = [
        ("a notification, byte by byte", DRIPS),
        ("the same in chunks", DRIPS_CHUNKS),
        ("wrong tokens", WRONG_TOKEN),
        ("forged notifications", Attack::Loops(forged.leak())),
        ("/readyz", READY),
    ];
    for (name, what) in attacks {
        under(&app, &service, &token, None, name, what);
    }
    assert_eq!(app.by_state(), json!({ "succeeded": 1 }));
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn five_hundred_connections_that_read_the_document_slowly_keep_nobody_from_an_answer() {
    let app = project();
    let service = Service::without_pool(&app, None);
    let token = service.token("ann", "operator");
    let of = |path: &str| {
        let before = service.processor_time();
        for _ in 0..100 {
            assert_eq!(service.send(service.request(Method::GET, path)).status, 200);
        }
        service.processor_time() - before
    };
    let (health, document) = (of("/healthz"), of("/api/openapi.json"));
    eprintln!(
        "100 requests take {health:?} of a processor for /healthz, {document:?} for the document"
    );
    assert!(
        document < health * 4 + Duration::from_millis(200),
        "{health:?}, {document:?}"
    );
    under(
        &app,
        &service,
        &token,
        None,
        "the document, read slowly",
        Attack::ReadsSlowly("/api/openapi.json"),
    );
    assert_eq!(app.by_state(), json!({ "succeeded": 1 }));
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn five_hundred_silent_or_unread_tls_connections_keep_nobody_from_an_answer() {
    let app = project();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    app.write("cert.pem", made.cert.pem());
    app.write("key.pem", made.signing_key.serialize_pem());
    let tls = "server: { tls: { certificate: cert.pem, key: { file: key.pem } } }\ngateways:";
    app.edit("payrun.yaml", "gateways:", tls);
    let service = Service::without_pool(&app, Some(&made.cert.pem()));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let client = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(client));
    let token = service.token("ann", "operator");
    for (name, what) in TLS {
        under(&app, &service, &token, Some(&connector), name, what);
    }
    assert_eq!(app.by_state(), json!({ "succeeded": 1 }));
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn an_address_has_so_many_connections_at_most_and_silent_ones_are_ended() {
    let app = App::with_contracts(&contracts("C", 1));
    let bounds = "server: { connections: { total: 30, per_address: 20 } }\ngateways:";
    app.edit("payrun.yaml", "gateways:", bounds);
    let service = Service::without_pool(&app, None);
    let host = service.host();
    app.wait_for(async {
        let mut silent = Vec::new();
        for _ in 0..200 {
            silent.push(TcpStream::connect(&host).await.unwrap());
        }
        let open = |silent: &[TcpStream]| silent.iter().filter(|one| is_open(one)).count();
        let began = Instant::now();
        while open(&silent) > 20 {
            assert!(
                began.elapsed() < Duration::from_secs(5),
                "{} are open",
                open(&silent)
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(
            open(&silent) > 0,
            "they are ended when others come, or after a while"
        );
        let answer = service
            .request(Method::GET, "/healthz")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        while open(&silent) > 0 {
            assert!(
                began.elapsed() < Duration::from_secs(40),
                "{} are open",
                open(&silent)
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert_eq!(service.stop().code(), Some(0));
}

/// Whether the other side has not closed it.
fn is_open(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0; 16]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn where_all_connections_are_answered_there_are_places_for_health_and_notifications() {
    let app = project();
    let bounds = "server: { connections: { total: 10 } }\ngateways:";
    app.edit("payrun.yaml", "gateways:", bounds);
    let service = Service::without_pool(&app, None);
    let token = service.token("ann", "operator");
    let order = text_of(&app.json_lines(&["items", "--json"])[0], "order_no").to_owned();
    let (headers, body) = app
        .wait_for(app.sandbox().notification(&order))
        .unwrap()
        .expect("it is paid");
    let notification = service
        .request(Method::POST, "/notify/hk")
        .headers(headers)
        .body(body);
    app.wait_for(async {
        let mut streams = Vec::new();
        for _ in 0..10 {
            let follows = service
                .request(Method::GET, "/api/v1/runs/1/events")
                .bearer_auth(&token);
            streams.push(follows.send().await.unwrap());
        }
        // Longer than anybody is left a place who says nothing.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let sent = |request: reqwest::RequestBuilder| async {
            request.send().await.unwrap().status().as_u16()
        };
        assert_eq!(
            sent(
                service
                    .request(Method::GET, "/api/v1/runs")
                    .bearer_auth(&token)
            )
            .await,
            503
        );
        // They do not use those up who send half a notification.
        let slow = |_| {
            let host = service.host();
            tokio::spawn(async move { attack(&host, None, DRIPS).await })
        };
        let slow: Vec<_> = (0..20).map(slow).collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(sent(service.request(Method::GET, "/healthz")).await, 200);
        assert_eq!(sent(notification).await, 200);
        slow.iter().for_each(tokio::task::JoinHandle::abort);
        drop(streams);
    });
    until("its place is free again", || {
        service.get(&token, "/api/v1/runs").status == 200
    });
    until("the notification was applied", || {
        app.by_state() == json!({ "succeeded": 1 })
    });
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn no_workflow_file_ends_or_stalls_the_service() {
    let app = App::with_contracts(&contracts("C", 3));
    let service = Service::of(&app);
    let token = service.token("ann", "viewer");
    let good = std::fs::read_to_string(app.path("workflows/deductions.yaml")).unwrap();
    let keyed = |name: &str, key: &str| {
        let text = good.replace("workflow: deductions", &format!("workflow: {name}"));
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with("key:"))
            .unwrap()
            .to_owned();
        text.replace(&line, &format!("    key: >-\n      {{{{ {key} }}}}"))
    };
    let grown = format!(
        "item.contract_id{}",
        "|replace('C', 'CCCCCCCCCCCCCCCCCCCC')".repeat(12)
    );
    let brackets = "[1".repeat(900);
    let expressions = [
        "'a'|indent(99999999999)",
        "'a'|center(99999999999)",
        "[1]|batch(99999999999)|list",
        "[1]|slice(99999999999)|list",
        "'a' * 99999999",
        "('a' * 9999999) * 9999999",
        grown.as_str(),
        r"('\'') ~ (('a'*50000000)|split('')|length)",
        r"('\'') ~ ('a'*100000000) ~ ('a'*100000000)",
        brackets.as_str(),
    ];
    let aliases = (1..40).map(|n| {
        format!(
            "a{n}: &a{n} [{}]\n",
            vec![format!("*a{}", n - 1); 9].join(", ")
        )
    });
    let mut bad: Vec<(String, String)> = expressions
        .iter()
        .enumerate()
        .map(|(n, key)| (format!("bomb-{n}"), keyed(&format!("bomb-{n}"), key)))
        .collect();
    bad.extend([
        ("deep".to_owned(), "[".repeat(200_000)),
        (
            "aliases".to_owned(),
            format!("a0: &a0 x\n{}", aliases.collect::<String>()),
        ),
        ("long".to_owned(), "# x\n".repeat(1_000_000)),
        (
            "number".to_owned(),
            good.replace(
                "workflow: deductions",
                &format!("workflow: deductions\nversion: {}", "9".repeat(100_000)),
            ),
        ),
    ]);
    for (name, text) in &bad {
        app.write(&format!("workflows/{name}.yaml"), text);
    }
    let pipe = app.path("workflows/pipe.yaml");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    std::os::unix::fs::symlink("/dev/zero", app.path("workflows/zero.yaml")).unwrap();
    let refused = || service.get(&token, "/api/v1/workflows").body["refused"].to_string();
    let names: Vec<&str> = bad
        .iter()
        .map(|(name, _)| name.as_str())
        .chain(["pipe", "zero"])
        .collect();
    // What grows only with a row's values is not known before one is read.
    let told = |name: &&str| *name == "bomb-6" || refused().contains(&format!("{name}.yaml"));
    until("every file is refused", || names.iter().all(told));
    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(service.get(&token, "/healthz").status, 200);
        assert!(
            asked.elapsed() < Duration::from_secs(1),
            "{:?}",
            asked.elapsed()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let peak = service.resident_most();
    assert!(peak < 150_000, "{peak} kB resident");
    // They stay refused, with their reasons, and what is right goes on.
    assert!(names.iter().all(told), "{}", refused());
    assert_said(refused(), expect!["no regular file"]);
    let known = service.get(&token, "/api/v1/workflows").body["workflows"].to_string();
    assert!(
        known.contains("bomb-6") && known.contains("deductions"),
        "{known}"
    );
    // What panics in a debug build keeps no other file from being taken up.
    app.write(
        "workflows/slice.yaml",
        keyed("slice", "'abc'[::-9223372036854775808]"),
    );
    app.write(
        "workflows/tomorrow.yaml",
        keyed("tomorrow", "item.contract_id"),
    );
    let is_known = || {
        service.get(&token, "/api/v1/workflows").body["workflows"]
            .to_string()
            .contains("tomorrow")
    };
    until("what is right is taken up", is_known);
    assert_eq!(service.stop().code(), Some(0));
    app.payrun(&["plan", "workflows/bomb-6.yaml"])
        .exits(3)
        .says(expect!["more than 10000 bytes"]);
}

#[test]
fn uploads_that_stall_hold_nobody_up() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::without_pool(&app, None);
    let (token, other) = (
        service.token("ann", "operator"),
        service.token("bob", "operator"),
    );
    let host = service.host();
    let head = format!(
        "POST /api/v1/files?format=csv HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-length: 60000000\r\n\r\nid,"
    );
    app.wait_for(async {
        let mut stalled = Vec::new();
        for _ in 0..8 {
            let mut stream = TcpStream::connect(&host).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            stalled.push(stream);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let upload = |token: &str| {
            let request = service
                .request(Method::POST, "/api/v1/files?format=csv")
                .bearer_auth(token);
            async move { request.body(contracts("U", 7)).send().await.unwrap() }
        };
        let asked = Instant::now();
        assert_eq!(upload(&other).await.status().as_u16(), 200);
        let passed = asked.elapsed();
        eprintln!(
            "8 stalled uploads: another took {passed:?}, resident {} KiB at most",
            service.resident_most()
        );
        assert!(passed < SOON, "{passed:?}");
        let refused = upload(&token).await;
        assert_eq!(
            refused.status().as_u16(),
            429,
            "of one token there are eight"
        );
        assert!(refused.headers().contains_key("retry-after"));
        let mut told = String::new();
        for mut stream in stalled {
            stream.read_to_string(&mut told).await.unwrap();
        }
        assert!(
            asked.elapsed() < Duration::from_secs(20) && told.matches("HTTP/1.1 4").count() == 8,
            "{told}"
        );
        assert_eq!(upload(&token).await.status().as_u16(), 200);
    });
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn an_upload_that_comes_byte_by_byte_is_broken_off() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::without_pool(&app, None);
    let token = service.token("ann", "operator");
    let head = format!(
        "POST /api/v1/files?format=csv HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-length: 60000000\r\n\r\n"
    );
    let began = Instant::now();
    let told = app.wait_for(async {
        let (mut reads, mut writes) = TcpStream::connect(service.host())
            .await
            .unwrap()
            .into_split();
        let sends = tokio::spawn(async move {
            let mut sent = writes.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                tokio::time::sleep(Duration::from_millis(200)).await;
                sent = writes.write_all(b"i").await;
            }
        });
        let mut told = vec![0; 4096];
        let length = reads.read(&mut told).await.unwrap();
        sends.abort();
        String::from_utf8(told[..length].to_vec()).unwrap()
    });
    let passed = began.elapsed();
    assert!(
        told.starts_with("HTTP/1.1 400") && told.contains("less than 1 KiB a second"),
        "{told}"
    );
    assert!(
        passed > Duration::from_secs(9) && passed < Duration::from_secs(30),
        "{passed:?}"
    );
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn while_the_gateway_is_silent_notifications_under_unknown_serials_wait_for_one_download_a_minute()
{
    let app = project();
    let order = text_of(&app.json_lines(&["items", "--json"])[0], "order_no").to_owned();
    // As somebody has it who caught it on its way.
    let (headers, body) = app
        .wait_for(app.sandbox().notification(&order))
        .unwrap()
        .expect("it is paid");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let yaml = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    let before = yaml
        .lines()
        .find_map(|line| line.trim().strip_prefix("base_url: "))
        .unwrap();
    app.edit(
        "payrun.yaml",
        before,
        &format!("http://{}", silent.local_addr().unwrap()),
    );
    let service = Service::without_pool(&app, None);
    let posted = |n: usize| {
        let mut headers = headers.clone();
        headers.insert(
            "wechatpay-serial",
            format!("60000000000000{n:02}").parse().unwrap(),
        );
        let asked = Instant::now();
        let status = service
            .send(
                service
                    .request(Method::POST, "/notify/hk")
                    .headers(headers)
                    .body(body.clone()),
            )
            .status;
        assert_eq!(status, 503, "whether there is such a serial is not known");
        asked.elapsed()
    };
    let first = posted(0);
    let mut took: Vec<Duration> = (1..50).map(posted).collect();
    took.sort();
    eprintln!(
        "silent gateway: the first took {first:?}, of 49 more the slowest {:?}",
        took[48]
    );
    assert!(
        first < Duration::from_secs(5) && took[48] < Duration::from_secs(1),
        "{first:?}, {took:?}"
    );
    assert_eq!(service.stop().code(), Some(0));
    app.edit(
        "payrun.yaml",
        &format!("http://{}", silent.local_addr().unwrap()),
        before,
    );
    let service = Service::without_pool(&app, None);
    let told = service
        .request(Method::POST, "/notify/hk")
        .headers(headers)
        .body(body);
    assert_eq!(
        service.send(told).status,
        200,
        "the gateway sends it again, and speaks again"
    );
    until("it is applied", || {
        app.by_state() == json!({ "succeeded": 1 })
    });
    assert_eq!(service.stop().code(), Some(0));
}
