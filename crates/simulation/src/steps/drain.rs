//! The calm: nothing goes wrong any more but at the gateways, until everything is at rest.

use super::*;

impl Simulation {
    /// Nothing goes wrong any more but at the gateways; ends when everything is at rest.
    pub(super) async fn drain(&mut self, rounds: u64) -> Result<(), SimulationError> {
        self.chaos = false;
        for process in &mut self.processes {
            process.skew = 0;
            process.still_until = BEGIN;
        }
        let (mut in_vain, mut idle) = (0, 0);
        let accounts: Vec<Arc<Account>> = self.processes[0]
            .engine
            .accounts
            .values()
            .cloned()
            .collect();
        for _ in 0..rounds {
            self.finish_calls().await?;
            let before = self.calls_made;
            for account in &accounts {
                self.claim_on(0, account).await?;
            }
            if self.calls_made > before {
                (in_vain, idle) = (0, 0);
                continue;
            }
            self.look(0).await?;
            for lane in self.ledger.closed_lanes(self.now()).await? {
                self.disruption("lane_closed");
                self.ledger.release_lane(&lane.name).await?;
            }
            if self.at_rest().await? {
                return Ok(());
            }
            in_vain = if self.leap(idle).await? {
                0
            } else {
                in_vain + 1
            };
            idle = (idle + 1).min(LEAPS);
            if in_vain > IN_VAIN {
                break;
            }
        }
        Ok(())
    }

    pub(super) async fn finish_calls(&mut self) -> Result<(), SimulationError> {
        for place in 0..self.processes.len() {
            self.begin_what_is_in_hand(place).await;
            while let Some(id) = self.processes[place].calls.keys().next().copied() {
                self.pass(Duration::from_millis(20));
                self.arrive_of(place, id).await;
                self.hear_of(place, id).await;
            }
            while !self.processes[place].settlements.is_empty() {
                self.settle(place).await?;
            }
        }
        Ok(())
    }

    /// On to when something is due, and further the longer nothing came of it; says whether
    /// anything ever is due.
    pub(super) async fn leap(&mut self, idle: u32) -> Result<bool, SimulationError> {
        let now = self.now();
        let lanes = self.places.keys().cloned().collect();
        let mut next: Option<Timestamp> = None;
        for run in self.ledger.unfinished_runs().await? {
            let due = self
                .ledger
                .work(run.id, &lanes, &Default::default())
                .await?
                .next_due;
            next = match (next, due) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        let least = Duration::from_millis(250 << idle);
        let wait = next
            .map_or(Duration::from_secs(60), |next| next.since(now))
            .max(least);
        self.pass(wait);
        Ok(next.is_some())
    }
}
