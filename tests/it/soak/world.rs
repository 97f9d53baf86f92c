//! The world of a soak: a project with every shipped workflow, the four gateways, and one clock for
//! all of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use payrun::clock::Clock;
use payrun::domain::time::Timestamp;
use payrun::sandbox::Settings;
use payrun::sandbox::faults::{FaultPlan, Level};
use payrun::sandbox::notifications::sender::{Address, NotificationSender};
use tempfile::TempDir;

use super::timetable::WORKFLOWS;
use crate::support::gateways::{GATEWAYS, Rig, number};
use crate::support::root;

/// What goes wrong goes wrong by this.
const FAULTS: FaultPlan = FaultPlan::new(31, Level::Some);

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The clock of all processes.
pub struct SharedClock {
    folder: TempDir,
    pub clock: Clock,
}

impl SharedClock {
    /// It shows this instant, and goes on from there.
    fn showing(at: Timestamp) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hands = Self {
            clock: Clock::Moved(Arc::new(folder.path().join("clock"))),
            folder,
        };
        hands.set(at);
        hands
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves it to an instant.
    pub fn set(&self, at: Timestamp) {
        let fresh = self.folder.path().join("fresh");
        std::fs::write(
            &fresh,
            (at.millis() - Clock::System.now().millis()).to_string(),
        )
        .unwrap();
        std::fs::rename(fresh, self.file()).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }
}

/// A project, its gateways, and the clock.
pub struct World {
    pub rig: Rig,
    pub hands: SharedClock,
    port: u16,
}

impl World {
    /// A project at an instant; notifications go to its service.
    pub fn at(begin: Timestamp) -> Self {
        let hands = SharedClock::showing(begin);
        let settings = Settings {
            plan: FAULTS,
            timeout: TIMEOUT,
            pending: Duration::from_secs(300),
            late: Duration::from_secs(30),
            unsettled: 1,
            notes_ends: true,
            ..Settings::default()
        };
        let rig = Rig::with_clock(settings, hands.clock.clone());
        let world = Self {
            rig,
            hands,
            port: free_port(),
        };
        world.rig.wait_for(world.rig.gateways.ended()).unwrap();
        world.configure();
        world.tell_the_service();
        world
    }

    fn configure(&self) {
        let path = self.folder().join("payrun.yaml");
        let yaml = std::fs::read_to_string(&path).unwrap();
        let server = format!(
            "server: {{ listen: \"127.0.0.1:{}\" }}\ngateways:\n",
            self.port
        );
        let yaml = yaml
            .replace("gateways:\n", &server)
            .replace("timeout: 600ms", "timeout: 1s");
        std::fs::write(path, yaml).unwrap();
        std::fs::create_dir_all(self.folder().join("workflows")).unwrap();
        std::fs::create_dir_all(self.folder().join("data")).unwrap();
        for (name, _, schedule) in WORKFLOWS {
            self.rig
                .write(&format!("workflows/{name}.yaml"), shipped(name, schedule));
        }
        self.rig.write(
            "data/contracts.csv",
            contracts("M", "amount,currency", "38.00,HKD"),
        );
        self.rig.write(
            "data/month-end.csv",
            contracts("N", "amount,sub_order", "21.00,SUB-{n}"),
        );
        self.rig
            .write("data/currencies.csv", "currency\nUSD\nHKD\n");
        self.rig.write("subscriptions.csv", subscriptions());
    }

    /// Gateways tell of what has ended: some late, some twice, some never, some by a forger.
    fn tell_the_service(&self) {
        let url = |name| format!("http://127.0.0.1:{}/notify/{name}", self.port);
        let address = Address {
            urls: GATEWAYS.into_iter().map(|name| (name, url(name))).collect(),
            signed_path: Some("/payrun/notify/egms".to_owned()),
            compressed: 1_000,
        };
        let sender = NotificationSender::new(self.rig.gateways.clone(), address, FAULTS);
        self.rig.wait_for(async {
            tokio::spawn(sender.run());
        });
    }

    /// What is in the files on a day: rows that were not there before, of payments that are in the
    /// gateways' books.
    pub fn fill(&self, day: u32) {
        let paid = |number: &str, currency| self.rig.seed("wechat", number, "20.00", currency);
        let (mut refunds, mut orders, mut subs) = (String::new(), String::new(), String::new());
        for n in 1..=3 {
            paid(&format!("T-{day}-{n}"), "HKD");
            refunds += &format!("R-{day}-{n},T-{day}-{n},{n}.50,HKD,late\n");
            orders += &format!("T-{day}-{n},20.00,HKD\n");
        }
        for end in ["a", "b", "c-fail", "d-different"] {
            let sub = format!("S-{day}-{end}");
            let theirs = paid(&sub, "CNY");
            subs +=
                &format!("{sub},{theirs},{sub},SHENZHEN,20.00,18.00,2.00,510921199308072310,Li\n");
        }
        let payments: String = (1..=3)
            .map(|n| format!("P-{day}-{n},2{n}.00,HKD,Rent\n"))
            .collect();
        for (name, text) in [
            (
                "refunds",
                format!("refund,order,amount,currency,reason\n{refunds}"),
            ),
            (
                "orders",
                format!("order,amount,currency\n{orders}GONE-{day},1.00,HKD\n"),
            ),
            (
                "sub-orders",
                format!(
                    "order,transaction,sub_order,customs,amount,product_fee,transport_fee,cert_id,name\n{subs}"
                ),
            ),
            (
                "modify",
                "order,transaction,sub_order,customs,amount,product_fee,transport_fee,cert_id,name,change\n"
                    .to_owned(),
            ),
            (
                "payments",
                format!("payment,amount,currency,description\n{payments}"),
            ),
            ("ended", format!("contract,reason\nE-{day},moved out\n")),
            (
                "cancel",
                format!(
                    "order,way\n{},deduction\nT-{day}-1,\n",
                    number(usize::try_from(day % 10).unwrap())
                ),
            ),
        ] {
            // At once, as whoever leaves files for others should.
            let fresh = self.folder().join("fresh.csv");
            std::fs::write(&fresh, text).unwrap();
            std::fs::rename(fresh, self.folder().join(format!("data/{name}.csv"))).unwrap();
        }
    }

    /// The binary, by this world's clock.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.rig.command(args);
        command.env("PAYRUN_CLOCK", self.hands.file());
        command
    }

    /// Runs the binary to its end, which must be good; what it printed.
    pub fn payrun(&self, args: &[&str]) -> String {
        let out = self.command(args).output().unwrap();
        assert!(
            out.status.success(),
            "{args:?}: {}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).unwrap()
    }

    /// The project's folder.
    pub fn folder(&self) -> &Path {
        self.rig.folder.path()
    }
}

/// A shipped workflow on the project's account, with a schedule.
fn shipped(name: &str, schedule: &str) -> String {
    let text =
        std::fs::read_to_string(root().join("workflows").join(format!("{name}.yaml"))).unwrap();
    assert_eq!(text.contains("\nschedule:"), schedule.is_empty(), "{name}");
    let text = text.replace("gateway: hk\n", "gateway: wechat\n");
    let text = if name == "month-end" {
        text.replace("data/contracts.csv", "data/month-end.csv")
    } else {
        text
    };
    if schedule.is_empty() {
        text
    } else {
        text.replacen(
            "\njobs:\n",
            &format!("\nschedule: {schedule}\n\njobs:\n"),
            1,
        )
    }
}

fn contracts(prefix: &str, columns: &str, values: &str) -> String {
    let row = |n: u32| {
        let end = if n == 3 { "-poor" } else { "" };
        format!(
            "{prefix}-{n}{end},basic,{},yes\n",
            values.replace("{n}", &n.to_string())
        )
    };
    format!("contract_id,plan,{columns},active\n") + &(1..=10).map(row).collect::<String>()
}

/// Contracts that fall due all over the month and the week, some of which cannot be charged.
fn subscriptions() -> String {
    let monthly = (1..=31).map(|day| format!("K-{day},38.00,HKD,2026-03-30,month,{day},Basic\n"));
    let weekly = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        .map(|day| format!("W-{day},5.00,HKD,2026-03-30,week,{day},Weekly\n"));
    let bad = ["poor", "terminated", "blocked"]
        .map(|end| format!("B-{end},9.00,HKD,2026-03-30,month,31,Basic\n"));
    let header = "contract_id,amount,currency,start,every,anchor_day,description\n".to_owned();
    std::iter::once(header)
        .chain(monthly)
        .chain(weekly)
        .chain(bad)
        .collect()
}

/// A port at which nobody listens, below those that are given out to whoever asks for any: the
/// service is found there again after each restart.
fn free_port() -> u16 {
    let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(|| rand::random_range(20_000..32_000))
        .take(100)
        .find(free)
        .expect("a port is free")
}
