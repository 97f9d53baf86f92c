//! Disks that fail and servers that are cut off: nothing that was acknowledged is forgotten,
//! nothing is sent without its intent on disk.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::postgres::Schema;
use crate::support::{App, DATE, PATIENCE, Running, Setup, WORKFLOW, contracts, root, until};

/// The failing disk, compiled once a process.
fn shim() -> &'static PathBuf {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let library = std::env::temp_dir().join(format!("payrun-disk-{}.so", std::process::id()));
        let source = root().join("tests/shim/disk.c");
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl")
            .status();
        assert!(made.expect("a C compiler").success());
        library
    })
}

fn project(contracts: String) -> App {
    App::of(Setup {
        contracts,
        server: false,
        latency: Duration::from_millis(3),
        ..Setup::default()
    })
}

/// A run on a disk that fails in this way.
fn on_a_bad_disk(
    app: &App,
    arguments: &[&str],
    settings: &[(&str, String)],
) -> crate::support::ExitedProcess {
    let mut command = app.command(arguments);
    command
        .env("LD_PRELOAD", shim())
        .env("SHIM_FILE", "payrun.db");
    settings.iter().for_each(|(name, value)| {
        command.env(name, value);
    });
    Running::start(command).wait(PATIENCE)
}

/// How many cuts there are at least, of power and of connections each: `PAYRUN_RIG_CUTS`, or so
/// many.
fn cuts_wanted(else_so_many: u64) -> u64 {
    std::env::var("PAYRUN_RIG_CUTS")
        .ok()
        .and_then(|cuts| cuts.parse().ok())
        .unwrap_or(else_so_many)
        .max(1)
}

#[test]
fn after_a_power_cut_at_any_write_or_sync_nothing_is_doubled_or_lost() {
    let app = project(contracts("C", 1));
    let (mut cuts, wanted) = (0, cuts_wanted(45));
    // Three of four starts lose power at least.
    for start in 0..wanted * 4 / 3 {
        let file = format!("data/cut-{start}.csv");
        app.write(&file, contracts(&format!("P{start}"), 15));
        // From the making of the schema to the last settle; every few starts somewhere else.
        let at = if start < 8 {
            1 + start * 9
        } else {
            3 + (start * 37) % 160
        };
        let arguments = ["run", WORKFLOW, "--date", DATE, "--input", &file];
        let ended = on_a_bad_disk(&app, &arguments, &[("SHIM_CUT", at.to_string())]);
        cuts += u64::from(ended.code() == Some(137));
        app.assert_nothing_wrong_yet();
    }
    println!("the power was cut {cuts} times");
    assert!(
        cuts >= wanted,
        "only {cuts} of {} starts lost power",
        wanted * 4 / 3
    );
    app.payrun(&["run", "--resume"]).exits(0);
}

#[test]
fn errors_of_writing_stop_the_sending_and_a_good_disk_goes_on() {
    let rounds = [
        (10, 1),
        (20, 1),
        (30, 3),
        (40, 3),
        (15, 40),
        (35, 40),
        (25, 4_000),
        (45, 4_000),
    ];
    for error in ["eio", "enospc"] {
        let app = project(contracts("C", 1));
        app.run().exits(0);
        let file = |round: usize| format!("data/bad-{round}.csv");
        let run_of = |round| {
            ["run", WORKFLOW, "--date", DATE, "--input"]
                .map(str::to_owned)
                .into_iter()
                .chain([file(round)])
        };
        for (round, (from, times)) in rounds.into_iter().enumerate() {
            app.write(&file(round), contracts(&format!("B{round}"), 20));
            let told = app.path(&format!("told-{round}"));
            let settings = [
                ("SHIM_ERROR", error.to_owned()),
                ("SHIM_FROM", from.to_string()),
                ("SHIM_TIMES", times.to_string()),
                ("SHIM_TOLD", told.display().to_string()),
            ];
            let arguments: Vec<String> = run_of(round).collect();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let ended = on_a_bad_disk(&app, &arguments, &settings);
            assert!(
                matches!(ended.code(), Some(0 | 1 | 4)),
                "{error} {times}: {ended:?}"
            );
            assert!(
                told.exists(),
                "no write from the {from}th on failed: {ended:?}"
            );
            app.assert_nothing_wrong_yet();
        }
        app.payrun(&["run", "--resume"]).exits(0);
        // What was planned on the bad disk may not have come to be.
        for round in 0..rounds.len() {
            let arguments: Vec<String> = run_of(round).collect();
            app.payrun(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
                .exits(0);
        }
        assert_eq!(app.charges(), 1 + 20 * rounds.len() as u64, "{error}");
    }
}

/// The host and port in an address.
fn server_of(address: &str) -> &str {
    let (_, rest) = address.split_once('@').unwrap();
    rest.split_once('/').unwrap().0
}

/// What a proxy does with a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// It does not arrive.
    Before,
    /// It arrives, and nobody hears of it.
    After,
}

/// A proxy before a server that cuts connections in the middle of commits, and can be led to
/// another.
struct Proxy {
    port: u16,
    server: Arc<Mutex<String>>,
    cuts: Arc<AtomicU64>,
}

impl Proxy {
    /// Every `every`th commit is cut, before and after in turn.
    async fn before(server: &str, every: u64) -> Self {
        let server = Arc::new(Mutex::new(server.to_owned()));
        let now = Arc::clone(&server);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (commits, cuts) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let told = Arc::clone(&cuts);
        tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else {
                    return;
                };
                let (commits, cuts) = (Arc::clone(&commits), Arc::clone(&cuts));
                let server = now.lock().unwrap().clone();
                tokio::spawn(async move { pass(client, &server, every, &commits, &cuts).await });
            }
        });
        Self {
            port,
            server,
            cuts: told,
        }
    }

    /// Who connects from now on comes to another server.
    fn lead_to(&self, server: &str) {
        server.clone_into(&mut self.server.lock().unwrap());
    }
}

/// Passes bytes on in both directions until a commit is to be cut.
async fn pass(
    mut client: TcpStream,
    server: &str,
    every: u64,
    commits: &AtomicU64,
    cuts: &AtomicU64,
) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut from_server) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut from_client) => {
                let Ok(size @ 1..) = read else { return };
                let commit = from_client[..size].windows(7).any(|bytes| bytes == b"commit\0");
                let nth = if commit { commits.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
                let cut = (commit && nth.is_multiple_of(every))
                    .then(|| if (nth / every).is_multiple_of(2) { Cut::Before } else { Cut::After });
                if cut != Some(Cut::Before) && server.write_all(&from_client[..size]).await.is_err() {
                    return;
                }
                if cut == Some(Cut::After) {
                    // The server has it, and has answered.
                    server.readable().await.ok();
                }
                if cut.is_some() {
                    cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
            read = server.read(&mut from_server) => {
                let Ok(size @ 1..) = read else { return };
                if client.write_all(&from_server[..size]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[test]
fn connections_cut_in_the_middle_of_commits_double_and_lose_nothing() {
    let setup = Setup {
        contracts: contracts("C", 1),
        server: true,
        latency: Duration::from_millis(20),
        ..Setup::default()
    };
    let app = App::of(Setup {
        concurrency: 8,
        ..setup
    });
    let address = app.schema().address();
    let server = server_of(&address);
    let proxy = app.wait_for(Proxy::before(server, 7));
    let through = format!("127.0.0.1:{}", proxy.port);
    let wanted = cuts_wanted(4);
    for round in 0_u64.. {
        let file = format!("data/cut-{round}.csv");
        app.write(&file, contracts(&format!("P{round}"), 80));
        let run = ["run", WORKFLOW, "--date", DATE, "--input", &file];
        app.edit("payrun.yaml", server, &through);
        // A plan's own commit may be the one that is cut: then nothing was planned, or it was and
        // is resumed.
        let first = app.payrun(&run);
        assert!(matches!(first.code(), Some(0 | 1 | 4)), "{first:?}");
        for _ in 0..6 {
            if app.payrun(&["run", "--resume"]).code() == Some(0) {
                break;
            }
        }
        app.edit("payrun.yaml", &through, server);
        app.payrun(&["run", "--resume"]).exits(0);
        app.payrun(&run).exits(0);
        let charged = 80 * (round + 1);
        assert_eq!(app.charges(), charged);
        let cuts = proxy.cuts.load(Ordering::SeqCst);
        assert!(
            cuts > 0 && round < 10 * wanted,
            "only {cuts} commits were cut in {} rounds",
            round + 1
        );
        if cuts >= wanted {
            println!("{cuts} commits were cut while {charged} items were charged");
            break;
        }
    }
}

/// A server of its own whose every commit its standby has too. Both are gone when it is dropped.
struct Pair {
    folder: PathBuf,
    first: String,
    second: String,
}

impl Pair {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("payrun-pair-{}", std::process::id()));
        let told = Self::script("pair", &folder);
        let (first, second) = told
            .trim_end()
            .split_once('\n')
            .unwrap_or_else(|| panic!("{told:?}"));
        Self {
            first: first.to_owned(),
            second: second.to_owned(),
            folder,
        }
    }

    /// The first server dies, the standby takes over.
    fn hand_over(&self) {
        Self::script("hand-over", &self.folder);
    }

    fn script(what: &str, folder: &Path) -> String {
        let done = Command::new(root().join("tests/postgres.sh"))
            .arg(what)
            .arg(folder)
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        Self::script("stop-pair", &self.folder);
    }
}

#[test]
fn a_standby_that_takes_over_in_the_middle_of_a_run_doubles_and_loses_nothing() {
    const ITEMS: u32 = 400;
    let pair = Pair::start();
    let setup = Setup {
        contracts: contracts("C", ITEMS),
        server: true,
        concurrency: 4,
        ..Setup::default()
    };
    let mut app = App::of(Setup {
        latency: Duration::from_millis(30),
        ..setup
    });
    let proxy = app.wait_for(Proxy::before(server_of(&pair.first), u64::MAX));
    let here = pair
        .first
        .replace(server_of(&pair.first), &format!("127.0.0.1:{}", proxy.port));
    let schema = app.wait_for(Schema::fresh_at(here));
    app.edit("payrun.yaml", &app.schema().address(), &schema.address());
    app.moved_to(schema);

    let nodes = [
        app.start(&["work", "--quiet"]),
        app.start(&["work", "--quiet"]),
    ];
    let run = app.start(&["run", WORKFLOW, "--date", DATE]);
    until("much was charged, and much was not", || app.charges() > 60);
    // Whoever loses the first server comes to a standby that may not take writes yet.
    proxy.lead_to(server_of(&pair.second));
    let before = app.charges();
    pair.hand_over();
    let ended = run.wait(PATIENCE);
    assert!(matches!(ended.code(), Some(0 | 4)), "{ended:?}");
    until("the nodes went on by themselves", || {
        app.charges() == u64::from(ITEMS)
    });
    println!(
        "{before} of {ITEMS} were charged when the standby took over; the run ended with {:?}",
        ended.code()
    );
    assert!(
        before < u64::from(ITEMS) - 60,
        "{before} were charged before"
    );
    for node in nodes {
        node.interrupt();
        node.wait(PATIENCE).exits(0);
    }
    app.payrun(&["run", "--resume"]).exits(0);
    app.assert_books_match();
}
