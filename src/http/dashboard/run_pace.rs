//! How fast a run was sent, over its time: bars, and the same as a table.

use super::sums::Counted;
use crate::domain::time::Timestamp;
use crate::ledger::{Ledger, LedgerError, RunRow, TimeSteps};

/// The most steps of time.
const STEPS: i64 = 40;

/// The most items of a run whose times are looked at while a page waits.
const ITEMS: u64 = 50_000;

/// The width and the height of the picture, in its own unit.
const WIDTH: u64 = 1_000;
const HEIGHT: u64 = 100;

/// How many items were sent in each step of a run's time.
pub(super) struct RunPace {
    pub steps: Vec<PaceStep>,
    /// In whole seconds.
    pub seconds: u64,
    /// The most items a second of a step.
    pub most: String,
}

/// A step of time.
pub(super) struct PaceStep {
    pub at: Timestamp,
    pub items: u64,
    /// With one decimal.
    pub per_second: String,
    pub x: u64,
    pub width: u64,
    pub height: u64,
}

impl PaceStep {
    /// Where its bar begins, from above.
    pub fn y(&self) -> u64 {
        HEIGHT.saturating_sub(self.height)
    }
}

impl RunPace {
    /// Of a run of so many items; none if nothing of it was sent, or it has too many to look at.
    pub async fn of(
        ledger: &Ledger,
        (run, items): (&RunRow, u64),
        now: Timestamp,
    ) -> Result<Option<Self>, LedgerError> {
        if items > ITEMS {
            return Ok(None);
        }
        let steps = steps(run, now);
        let sent = ledger.run_pace(run.id, steps).await?;
        Ok(Self::drawn(steps, &sent))
    }

    fn drawn(steps: TimeSteps, sent: &[(u64, u64)]) -> Option<Self> {
        let most = sent.iter().map(|(_, items)| *items).max()?;
        let count = u64::try_from(steps.count).ok()?.max(1);
        let millis = u64::try_from(steps.millis).ok()?.max(1);
        let step = |place: u64| {
            let items = sent.iter().find(|(at, _)| *at == place);
            let items = items.map_or(0, |(_, items)| *items);
            let at = i64::try_from(place * millis).unwrap_or(i64::MAX);
            PaceStep {
                at: Timestamp::from_millis(steps.from.millis().saturating_add(at)),
                items,
                per_second: per_second(items, millis),
                x: place * WIDTH / count,
                width: (WIDTH / count).saturating_sub(2).max(1),
                // What is there is seen, however little it is.
                height: (items * HEIGHT).div_ceil(most.max(1)),
            }
        };
        Some(Self {
            steps: (0..count).map(step).collect(),
            seconds: millis / 1_000,
            most: per_second(most, millis),
        })
    }
}

/// The time from when a run could be sent to its end, in whole seconds each.
fn steps(run: &RunRow, now: Timestamp) -> TimeSteps {
    let from = run
        .send_at
        .map_or(run.started_at, |at| at.max(run.started_at));
    let until = run.finished_at.unwrap_or(now).max(from);
    // The last instant is in the last step.
    let span = until.millis() - from.millis() + 1;
    let millis = (span.saturating_add(STEPS * 1_000 - 1) / (STEPS * 1_000)).max(1) * 1_000;
    TimeSteps {
        from,
        millis,
        count: (span + millis - 1) / millis,
    }
}

fn per_second(items: u64, millis: u64) -> String {
    let tenths = items.saturating_mul(10_000) / millis;
    format!("{}.{}", Counted(tenths / 10), tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(from: i64, until: Option<i64>) -> RunRow {
        RunRow {
            id: 1,
            workflow: "w".to_owned(),
            occurrence: "o".to_owned(),
            started_at: Timestamp::from_millis(from),
            finished_at: until.map(Timestamp::from_millis),
            author: None,
            pruned_at: None,
            send_at: None,
            withdrawal: None,
        }
    }

    #[test]
    fn the_time_of_a_run_is_cut_into_at_most_forty_steps_of_whole_seconds() {
        for (span, millis, count) in [
            (0, 1_000, 1),
            (999, 1_000, 1),
            (1_000, 1_000, 2),
            (39_999, 1_000, 40),
            (40_000, 2_000, 21),
            (86_400_000, 2_161_000, 40),
        ] {
            let steps = steps(&run(5, Some(5 + span)), Timestamp::from_millis(0));
            assert_eq!((steps.millis, steps.count), (millis, count), "{span}");
            assert!(steps.count <= STEPS && steps.millis * steps.count > span);
        }
    }

    #[test]
    fn a_bar_is_as_high_as_its_share_and_a_step_without_items_has_none() {
        let steps = TimeSteps {
            from: Timestamp::from_millis(0),
            millis: 2_000,
            count: 3,
        };
        let pace = RunPace::drawn(steps, &[(0, 40), (2, 1)]).unwrap();
        let drawn: Vec<_> = pace
            .steps
            .iter()
            .map(|step| (step.items, step.height, step.y(), step.per_second.as_str()))
            .collect();
        assert_eq!(
            drawn,
            [(40, 100, 0, "20.0"), (0, 0, 100, "0.0"), (1, 3, 97, "0.5")]
        );
        assert!(RunPace::drawn(steps, &[]).is_none());
    }
}
