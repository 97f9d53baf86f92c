//! The token bucket of a lane: all nodes together keep the rate, whatever the clock does.

use std::sync::Arc;
use std::time::Duration;

use payrun::domain::policy::Rate;
use payrun::domain::time::Timestamp;

use super::ledger_fixture::{LedgerWorker, at, policy};
use super::on_every_engine;

const RATE: Rate = Rate {
    calls: 10,
    per: Duration::from_secs(1),
};

async fn take(worker: &LedgerWorker, now: Timestamp) -> usize {
    let mut request = worker.request(now, 100);
    request.rate = RATE;
    worker.ledger.claim_due(request).await.unwrap().0.len()
}

#[test]
fn two_nodes_together_keep_the_rate_and_use_it() {
    on_every_engine(|place| async move {
        let one = LedgerWorker::with_items(&place, 300).await;
        let other = one.beside(&place, 2).await;
        let mut taken = Vec::new();
        for tick in 0..200_u32 {
            let now = at(1).plus(Duration::from_millis(50) * tick);
            let now_taken = take(&one, now).await + take(&other, now).await;
            taken.push(now_taken);
        }
        for second in taken.windows(20) {
            assert!(second.iter().sum::<usize>() <= 11, "{taken:?}");
        }
        let all: usize = taken.iter().sum();
        assert!(
            (95..=101).contains(&all),
            "ten seconds at ten a second gave {all}"
        );
    });
}

#[test]
fn an_idle_lane_does_not_start_with_a_burst() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 300).await;
        assert_eq!(take(&worker, at(1)).await, 1);
        assert_eq!(
            take(&worker, at(3600)).await,
            1,
            "an hour of silence saves nothing up"
        );
        assert_eq!(take(&worker, at(3600)).await, 0);
    });
}

#[test]
fn a_clock_that_is_set_back_neither_stops_the_lane_nor_lets_it_burst() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 300).await;
        let mut taken = Vec::new();
        // Planned at 0, so that all is due; then the clock goes back by an hour, and on from there.
        for start in [7200, 3600, 3500, 7200] {
            for tick in 0..40_u32 {
                taken.push(take(&worker, at(start).plus(Duration::from_millis(50) * tick)).await);
            }
        }
        for second in taken.windows(20) {
            assert!(second.iter().sum::<usize>() <= 13, "{taken:?}");
        }
        for round in taken.chunks(40) {
            assert!(
                round.iter().sum::<usize>() >= 17,
                "it never stands still: {taken:?}"
            );
        }
    });
}

/// Another node's clock may be that far ahead, so the bucket is not filled by this one.
#[test]
fn a_clock_that_is_set_back_by_seconds_waits_until_it_has_caught_up() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 300).await;
        assert_eq!(take(&worker, at(30)).await, 1);
        assert_eq!(take(&worker, at(20)).await, 0);
        assert_eq!(take(&worker, at(29)).await, 0);
        assert_eq!(take(&worker, at(31)).await, 1);
    });
}

#[test]
fn nodes_whose_clocks_differ_keep_the_rate_together() {
    on_every_engine(|place| async move {
        let one = LedgerWorker::with_items(&place, 900).await;
        let other = one.beside(&place, 2).await;
        for apart in [2, 20, 50] {
            let mut taken = Vec::new();
            for tick in 0..200_u32 {
                let now = at(1000 * apart).plus(Duration::from_millis(50) * tick);
                let ahead = now.plus(Duration::from_secs(apart));
                taken.push(take(&one, now).await + take(&other, ahead).await);
            }
            for second in taken.windows(20) {
                assert!(
                    second.iter().sum::<usize>() <= 13,
                    "{apart} s apart: {taken:?}"
                );
            }
            let all: usize = taken.iter().sum();
            assert!(
                (90..=105).contains(&all),
                "ten seconds at ten a second gave {all}, {apart} s apart"
            );
        }
    });
}

#[test]
fn a_job_may_be_slower_than_its_lane() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 300).await;
        let mut taken = 0;
        for tick in 0..100_u32 {
            let mut request = worker.request(at(1).plus(Duration::from_millis(50) * tick), 100);
            request.quotas[0].rate = Some(RATE);
            request.quotas[0].policy = Arc::new(policy());
            taken += worker.ledger.claim_due(request).await.unwrap().0.len();
        }
        assert!((45..=51).contains(&taken), "{taken}");
    });
}

#[test]
fn a_claim_that_brings_nothing_says_when_to_come_again() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 5).await;
        let mut request = worker.request(at(1), 5);
        request.rate = RATE;
        let (claimed, _) = worker.ledger.claim_due(request.clone()).await.unwrap();
        assert_eq!(claimed.len(), 1);
        let (claimed, next) = worker.ledger.claim_due(request).await.unwrap();
        assert!(claimed.is_empty());
        let wait = next.unwrap().since(at(1));
        assert!(
            (Duration::from_millis(50)..=Duration::from_millis(150)).contains(&wait),
            "{wait:?}"
        );
    });
}
