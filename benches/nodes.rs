//! The ledger on PostgreSQL, with 1, 2 and 4 worker processes that claim and settle beside each
//! other on this machine.
//!
//! `cargo bench --bench nodes -- postgres://… [ITEMS]`: in an empty schema of the address's.

mod support;

use std::process::Command;
use std::time::Instant;

use payrun::clock::Clock;
use payrun::ledger::Ledger;
use support::queue::{claim_and_settle, plan};

/// Tells a process that it is one of the workers, and of which job.
const WORKER: &str = "PAYRUN_BENCH_JOB";

#[tokio::main]
async fn main() {
    let Some(address) = support::server().filter(|_| !support::only_listed()) else {
        println!("name the server: cargo bench --bench nodes -- postgres://…");
        return;
    };
    let ledger = Ledger::connect(&address).await.expect("a ledger");
    if let Ok(job) = std::env::var(WORKER) {
        let job = job.parse().expect("a job");
        let done = claim_and_settle(&ledger, job, usize::MAX, &Clock::System).await;
        println!("{done}");
        return;
    }
    let items = support::argument(0, 40_000);
    let mut alone = None;
    for workers in [1, 2, 4, 1, 2, 4] {
        let occurrence = format!("{workers} {:x}", rand::random::<u64>());
        let job = plan(&ledger, &occurrence, items, &Clock::System).await;
        let began = Instant::now();
        let start = || {
            let program = std::env::current_exe().expect("this program");
            Command::new(program)
                .args(std::env::args().skip(1))
                .env(WORKER, job.to_string())
                .spawn()
                .expect("a worker")
        };
        let processes: Vec<_> = (0..workers).map(|_| start()).collect();
        for mut process in processes {
            assert!(process.wait().expect("its end").success());
        }
        let rate = u128::from(items) * 1000 / began.elapsed().as_millis().max(1);
        let ratio = rate * 100 / *alone.get_or_insert(rate);
        println!("{workers} worker processes: {rate} items/s, {ratio} % of the first one alone");
    }
    ledger.close().await;
}
