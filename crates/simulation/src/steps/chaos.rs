//! The steps of chaos: one thing is drawn and done.

use super::*;
use payrun_domain::item::State;
use payrun_ledger::{ActionResult, ApprovalState, ListedApprovals, OperatorAction};

impl Simulation {
    /// One step of chaos.
    pub(super) async fn step(&mut self) -> Result<(), SimulationError> {
        let time = Duration::from_millis(self.rng.below(160));
        self.pass(time);
        self.give_up_what_takes_too_long().await;
        let place = usize::try_from(self.rng.below(self.processes.len() as u64)).unwrap_or(0);
        if self.rng.per_mille(80) {
            return self.notify(place).await;
        }
        if self.rng.per_mille(3) {
            return self.withdraw(place).await;
        }
        if self.rng.per_mille(1) {
            return self.reject_late(place).await;
        }
        match self.rng.below(100) {
            0..=22 => self.claim(place).await,
            23..=47 => {
                self.arrive().await;
                Ok(())
            }
            48..=67 => {
                self.receive(place).await;
                Ok(())
            }
            68..=82 => self.settle(place).await,
            83..=86 => {
                self.lose(place).await;
                Ok(())
            }
            87..=88 => self.arrive_late().await,
            89 => self.die(place).await,
            90 => {
                self.stand_still(place);
                Ok(())
            }
            91 => {
                self.jump(place);
                Ok(())
            }
            97 => {
                self.begin_what_is_in_hand(place).await;
                Ok(())
            }
            92..=96 => self.look(place).await,
            _ => {
                let time = Duration::from_secs(1 + self.rng.below(90));
                self.pass(time);
                Ok(())
            }
        }
    }

    /// A person withdraws an item, whatever stands with it.
    async fn withdraw(&mut self, place: usize) -> Result<(), SimulationError> {
        let states = [
            State::Planned,
            State::Sending,
            State::Pending,
            State::Unknown,
            State::NeedsReview,
        ];
        let filter = ItemFilter {
            states: states.to_vec(),
            ..ItemFilter::default()
        };
        let items = self.ledger.items(&filter, 0, 10_000).await?;
        let Some(item) = self.rng.one_of(&items) else {
            return Ok(());
        };
        let actor = Actor::person("simulated", "simulation")
            .map_err(|error| SimulationError::Sandbox(error.to_string()))?;
        let by = Authorization {
            actor,
            reason: reason("the payer has changed his mind")?,
        };
        let granted = self.processes[place]
            .engine
            .ledger
            .apply_action(item.id, &OperatorAction::Cancel, &by, self.now())
            .await?;
        self.disruption(match granted {
            ActionResult::Withdrawn(_) => "withdrawn_while_under_way",
            ActionResult::Moved(_)
            | ActionResult::Refused(_)
            | ActionResult::ContractBusy
            | ActionResult::NeverApproved
            | ActionResult::Changed
            | ActionResult::EvidenceGone
            | ActionResult::FiledAgain(_)
            | ActionResult::Clashes(_)
            | ActionResult::DoneAs(_)
            | ActionResult::OtherPayment(_)
            | ActionResult::GivenBackAs(_)
            | ActionResult::Stopped(_)
            | ActionResult::NoSuchItem => "withdrawn",
        });
        Ok(())
    }

    /// A person rejects a batch that was approved, whatever stands with its items.
    async fn reject_late(&mut self, place: usize) -> Result<(), SimulationError> {
        if self.is_still(place) {
            return Ok(());
        }
        let approvals = self
            .ledger
            .approvals(ListedApprovals::All, i64::MAX, 100)
            .await?;
        let approved: Vec<_> = approvals
            .into_iter()
            .filter(|approval| approval.state == ApprovalState::Approved)
            .collect();
        let Some(approval) = self.rng.one_of(&approved) else {
            return Ok(());
        };
        let (run, job) = (approval.run_id, approval.job.clone());
        let by = Authorization {
            actor: Actor::person("simulated", "simulation")
                .map_err(|error| SimulationError::Sandbox(error.to_string()))?,
            reason: reason("the batch was a mistake")?,
        };
        self.disruption("rejected_after_its_approval");
        let process = &self.processes[place];
        process.look_at_the_clock(self.now());
        process
            .engine
            .reject_run(run, Some(&job), &by)
            .await
            .map_err(|error| SimulationError::Sandbox(error.to_string()))?;
        Ok(())
    }

    pub(super) fn is_still(&self, place: usize) -> bool {
        self.processes[place].still_until > self.now()
    }

    /// A process claims what is due and begins to call.
    pub(super) async fn claim(&mut self, place: usize) -> Result<(), SimulationError> {
        if self.is_still(place) {
            return Ok(());
        }
        let accounts: Vec<Arc<Account>> = self.processes[place]
            .engine
            .accounts
            .values()
            .cloned()
            .collect();
        let Some(account) = self.rng.one_of(&accounts) else {
            return Ok(());
        };
        self.claim_on(place, account).await
    }

    pub(super) async fn claim_on(
        &mut self,
        place: usize,
        account: &Arc<Account>,
    ) -> Result<(), SimulationError> {
        let now = self.now();
        let process = &self.processes[place];
        process.look_at_the_clock(now);
        let slots = 1 + usize::try_from(self.rng.below(4)).unwrap_or(0);
        let claimed = self.claim_in_doubt(place, account, slots).await?;
        if claimed.is_empty() {
            return Ok(());
        }
        self.claimed
            .entry(account.name.clone())
            .or_default()
            .extend(vec![now; claimed.len()]);
        if self.chaos && self.rng.per_mille(25) {
            self.disruption("died_after_a_claim");
            return self.replace(place).await;
        }
        let in_hand = claimed
            .into_iter()
            .map(|(one, work)| (Arc::clone(account), work, one));
        self.processes[place].in_hand.extend(in_hand);
        // It may take a while until there is a free place for what is claimed.
        if !(self.chaos && self.rng.per_mille(200)) {
            self.begin_what_is_in_hand(place).await;
        }
        Ok(())
    }

    /// Now and then the commit fails, and it is not known whether it has happened.
    async fn claim_in_doubt(
        &mut self,
        place: usize,
        account: &Account,
        slots: usize,
    ) -> Result<Vec<(Claimed, JobContext)>, SimulationError> {
        let fault = self.draws_commit_fault(60);
        let process = &self.processes[place];
        process.engine.ledger.plan_commit_fault(fault).await;
        let claimed = process.claim(account, slots).await;
        process.engine.ledger.plan_commit_fault(None).await;
        match (claimed, fault) {
            (Ok(claimed), _) => Ok(claimed),
            (Err(_), Some(fault)) => {
                self.disruption(match fault {
                    CommitFault::Lost => "claim_lost_on_its_way",
                    CommitFault::Untold => "claim_committed_and_not_told",
                    CommitFault::Refused => "claim_refused_by_the_database",
                });
                Ok(Vec::new())
            }
            (Err(error), None) => Err(error.into()),
        }
    }

    fn draws_commit_fault(&mut self, per_mille: u64) -> Option<CommitFault> {
        if !(self.chaos && self.rng.per_mille(per_mille)) {
            return None;
        }
        self.rng
            .one_of(&[CommitFault::Lost, CommitFault::Untold, CommitFault::Refused])
            .copied()
    }

    /// A process begins to call for what it has claimed.
    pub(super) async fn begin_what_is_in_hand(&mut self, place: usize) {
        if self.is_still(place) {
            return;
        }
        while let Some((account, work, one)) = self.processes[place].in_hand.pop_front() {
            let id = self.next_call;
            self.next_call += 1;
            self.calls_made += 1;
            let now = self.now();
            self.processes[place].begin(id, &account, work, one, now);
            self.advance(place, id).await;
        }
    }

    /// Goes on with a call as far as it comes.
    pub(super) async fn advance(&mut self, place: usize, id: CallId) {
        let now = self.now();
        let process = &mut self.processes[place];
        process.look_at_the_clock(now);
        match process.advance(id, &self.network).await {
            None | Some(CallStep::Waits) => {}
            Some(CallStep::Ended(settlement)) => process.settlements.push_back(*settlement),
            Some(CallStep::Illegal(illegal)) => self.illegal.push(format!("call {id}: {illegal}")),
        }
    }

    /// The calls of all processes that wait for the network: `(process, call)`.
    pub(super) fn under_way(&self, replied: bool) -> Vec<(usize, CallId)> {
        let of = |(place, process): (usize, &SimNode)| {
            let calls = process
                .calls
                .iter()
                .filter(|(_, call)| call.reply.is_some() == replied);
            calls.map(|(id, _)| (place, *id)).collect::<Vec<_>>()
        };
        self.processes.iter().enumerate().flat_map(of).collect()
    }

    /// A request arrives; its reply is on its way back.
    pub(super) async fn arrive(&mut self) {
        let waiting = self.under_way(false);
        let Some((place, id)) = self.rng.one_of(&waiting).copied() else {
            return;
        };
        self.arrive_of(place, id).await;
    }

    pub(super) async fn arrive_of(&mut self, place: usize, id: CallId) {
        // A request arrives once.
        if self.processes[place]
            .calls
            .get(&id)
            .is_none_or(|call| call.reply.is_some())
        {
            return;
        }
        let Some(waiting) = self.network.remove(id) else {
            return;
        };
        let reaction = waiting.request.arrive().await;
        self.network.put_back(id, waiting);
        if let Some(call) = self.processes[place].calls.get_mut(&id) {
            call.reply = Some(reaction);
        }
    }

    /// A process hears what came back.
    pub(super) async fn receive(&mut self, place: usize) {
        if self.is_still(place) {
            return;
        }
        let replied: Vec<CallId> = self
            .under_way(true)
            .into_iter()
            .filter(|(at, _)| *at == place)
            .map(|(_, id)| id)
            .collect();
        if let Some(id) = self.rng.one_of(&replied).copied() {
            self.hear_of(place, id).await;
        }
    }

    pub(super) async fn hear_of(&mut self, place: usize, id: CallId) {
        let Some(call) = self.processes[place].calls.get_mut(&id) else {
            return;
        };
        let Some(reaction) = call.reply.take() else {
            return;
        };
        let Some(waiting) = self.network.remove(id) else {
            return;
        };
        let answer = match reaction {
            // Nobody waits as long as it would take.
            Reaction::Hold => Reaction::Silence,
            other @ (Reaction::Reply(_)
            | Reaction::Refuse
            | Reaction::Reset
            | Reaction::Silence
            | Reaction::Truncate(_)) => other,
        };
        waiting.answer.send(answer).ok();
        self.advance(place, id).await;
    }

    /// A call breaks: before its request has arrived or after.
    pub(super) async fn lose(&mut self, place: usize) {
        if self.is_still(place) {
            return;
        }
        let calls: Vec<CallId> = self.processes[place].calls.keys().copied().collect();
        let Some(id) = self.rng.one_of(&calls).copied() else {
            return;
        };
        let with = if self.rng.per_mille(500) {
            Reaction::Reset
        } else {
            Reaction::Silence
        };
        self.disruption("connection_lost");
        self.break_off(place, id, with).await;
    }

    /// The caller hears no more of it; what has not arrived may still do so.
    pub(super) async fn break_off(&mut self, place: usize, id: CallId, with: Reaction) {
        let Some(waiting) = self.network.remove(id) else {
            return;
        };
        if let Some(call) = self.processes[place].calls.get_mut(&id)
            && call.reply.take().is_none()
            && self.rng.per_mille(500)
        {
            self.orphans
                .push((call.sends.clone(), waiting.request.clone()));
        }
        waiting.answer.send(with).ok();
        self.advance(place, id).await;
    }

    /// A caller that is awake waits no longer than it said.
    pub(super) async fn give_up_what_takes_too_long(&mut self) {
        let now = self.now();
        let late: Vec<(usize, CallId)> = (0..self.processes.len())
            .filter(|place| !self.is_still(*place))
            .flat_map(|place| {
                let calls = self.processes[place]
                    .calls
                    .iter()
                    .filter(|(_, call)| call.deadline < now);
                calls.map(|(id, _)| (place, *id)).collect::<Vec<_>>()
            })
            .collect();
        for (place, id) in late {
            self.disruption("timed_out");
            self.break_off(place, id, Reaction::Silence).await;
        }
    }

    /// A request arrives whose caller has gone.
    pub(super) async fn arrive_late(&mut self) -> Result<(), SimulationError> {
        if self.orphans.is_empty() {
            return Ok(());
        }
        let place = usize::try_from(self.rng.below(self.orphans.len() as u64)).unwrap_or(0);
        let (sends, request) = self.orphans.swap_remove(place);
        self.disruption("arrived_after_its_caller_had_gone");
        if let Some(sending) = sends.filter(|sending| self.counts_as_absent(sending))
            && !self.has_moved(&sending.number).await?
        {
            self.disruption("arrived_after_its_grace_period");
            self.too_late.insert(sending.number);
        }
        drop(request.arrive().await);
        Ok(())
    }

    /// Whether some process may have believed by now that there is no such order.
    fn counts_as_absent(&self, sending: &PendingSubmission) -> bool {
        let apart = if self.clocks_agree {
            Duration::ZERO
        } else {
            JUMP * 2
        };
        self.now().plus(apart) >= sending.grace_ends
    }

    async fn has_moved(&self, number: &str) -> Result<bool, SimulationError> {
        for place in self.places.values() {
            let lines = place
                .gateways
                .lines()
                .await
                .map_err(|error| SimulationError::Sandbox(error.to_string()))?;
            if lines.iter().any(|line| line.number == number) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A process writes down what it knows.
    pub(super) async fn settle(&mut self, place: usize) -> Result<(), SimulationError> {
        if self.is_still(place) {
            return Ok(());
        }
        let Some(settlement) = self.processes[place].settlements.pop_front() else {
            return Ok(());
        };
        if self.chaos && self.rng.per_mille(25) {
            self.disruption("died_before_a_settle");
            return self.replace(place).await;
        }
        let fault = self.draws_commit_fault(60);
        let ledger = &self.processes[place].engine.ledger;
        ledger.plan_commit_fault(fault).await;
        let settled = ledger.settle(settlement.clone()).await;
        ledger.plan_commit_fault(None).await;
        let Some(fault) = fault else {
            return settled.map(|_| ()).map_err(SimulationError::from);
        };
        self.disruption(match fault {
            CommitFault::Lost => "settle_lost_on_its_way",
            CommitFault::Untold => "settle_committed_and_not_told",
            CommitFault::Refused => "settle_refused_by_the_database",
        });
        self.processes[place].settlements.push_back(settlement);
        Ok(())
    }

    /// A process dies as by `kill -9`, and another is started.
    pub(super) async fn die(&mut self, place: usize) -> Result<(), SimulationError> {
        self.disruption("died");
        self.replace(place).await
    }

    pub(super) async fn replace(&mut self, place: usize) -> Result<(), SimulationError> {
        for (id, call) in std::mem::take(&mut self.processes[place].calls) {
            if let Some(waiting) = self.network.remove(id)
                && call.reply.is_none()
                && self.rng.per_mille(500)
            {
                self.orphans.push((call.sends, waiting.request));
            }
        }
        self.processes[place] = self.process().await?;
        Ok(())
    }

    /// A process stands still, perhaps beyond its leases.
    pub(super) fn stand_still(&mut self, place: usize) {
        self.disruption("stood_still");
        let time = Duration::from_secs(5 + self.rng.below(180));
        self.processes[place].still_until = self.now().plus(time);
    }

    /// A process's clock jumps, or is set right.
    pub(super) fn jump(&mut self, place: usize) {
        if self.clocks_agree {
            return;
        }
        self.disruption("clock_jumped");
        let most = i64::try_from(JUMP.as_millis()).unwrap_or(0);
        let drawn = i64::try_from(self.rng.below(JUMP.as_millis() as u64 * 2)).unwrap_or(0);
        self.processes[place].skew = if self.rng.per_mille(300) {
            0
        } else {
            drawn - most
        };
    }

    /// A gateway tells a process of an order, or of one that never was as it says.
    pub(super) async fn notify(&mut self, place: usize) -> Result<(), SimulationError> {
        let Some(letter) = self
            .news
            .next(&mut self.rng, &self.places, &self.ledger)
            .await?
        else {
            return Ok(());
        };
        if self.is_still(place) || self.rng.per_mille(100) {
            self.disruption("notification_lost");
            return Ok(());
        }
        let NotificationInTransit {
            account,
            headers,
            body,
            disruption,
            is_false,
        } = letter;
        disruption
            .into_iter()
            .for_each(|what| self.disruption(what));
        let process = &self.processes[place];
        process.look_at_the_clock(self.now());
        match process.engine.receive(&account, &headers, body).await {
            Ok(ReceiveOutcome::Kept) if is_false => self
                .illegal
                .push("a notification was believed that is not the gateway's".into()),
            Ok(
                ReceiveOutcome::Kept
                | ReceiveOutcome::Refused(_)
                | ReceiveOutcome::NoKeys(_)
                | ReceiveOutcome::NoSuchGateway,
            ) => {}
            Err(error) => return Err(SimulationError::Sandbox(error.to_string())),
        }
        if self.rng.per_mille(50) {
            self.disruption("died_after_a_notification");
            return self.replace(place).await;
        }
        if self.rng.per_mille(500) {
            self.processes[place].engine.process_notifications().await?;
        }
        Ok(())
    }

    /// A process looks after what dead ones left, and after jobs that have ended.
    pub(super) async fn look(&mut self, place: usize) -> Result<(), SimulationError> {
        if self.is_still(place) {
            return Ok(());
        }
        let process = &self.processes[place];
        process.look_at_the_clock(self.now());
        let now = process.engine.clock.now();
        process.engine.reap_dead_nodes(now).await?;
        process.engine.process_notifications().await?;
        process.engine.advance_runs(now).await?;
        self.approve(place).await
    }

    /// Somebody approves what waits for it. In chaos now and then the author tries, who cannot,
    /// whatever name they give.
    pub(super) async fn approve(&mut self, place: usize) -> Result<(), SimulationError> {
        let author = self.what.request.author.clone();
        for approval in self
            .ledger
            .approvals(ListedApprovals::Open, i64::MAX, 100)
            .await?
        {
            let tries = self.chaos && self.rng.per_mille(500);
            let colleague = format!("colleague {}", approval.votes.len() + 1);
            let actor = match author.user() {
                Some(user) if tries => known_like(&author, &colleague, user)?,
                None if tries => author.clone(),
                Some(_) | None => known_like(&author, &colleague, &colleague)?,
            };
            if tries {
                self.disruption("author_tried_to_approve");
            }
            let by = Authorization {
                actor,
                reason: reason("a play")?,
            };
            self.processes[place]
                .engine
                .approve_run(approval.run_id, Some(&approval.job), None, &by)
                .await?;
        }
        Ok(())
    }
}
