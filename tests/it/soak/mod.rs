//! A service that lives through days and months, in minutes: all shipped workflows by their
//! schedules, faults at all gateways, notifications true and false, processes that are killed and
//! started again, clocks that jump. Then everything is counted.
//!
//! `PAYRUN_SOAK_DAYS` says how many days: 3 where nothing is said, 31 by hand.

mod drive;
mod judge;
mod timetable;
mod world;

use std::time::Instant;

use drive::{DAY, Drive};
use timetable::{at, expected};
use world::World;

fn days() -> u32 {
    std::env::var("PAYRUN_SOAK_DAYS")
        .ok()
        .and_then(|days| days.parse().ok())
        .unwrap_or(3)
}

/// In the first half of the days processes are killed and clocks jump; in the second one service
/// lives on.
#[test]
fn a_service_lives_through_the_days_and_loses_nothing_and_doubles_nothing() {
    let began = Instant::now();
    let begin = at("2026-03-30T06:03:00".parse().unwrap());
    let end = begin.plus(DAY * days());
    let world = World::at(begin);
    world.payrun(&["contracts", "import", "subscriptions.csv", "--by", "ann"]);
    let wanted = expected(begin, end);
    let mut drive = Drive::of(&world, wanted.clone());
    for day in 0..days() {
        world.fill(day);
        drive.until(begin.plus(DAY * (day + 1)), day < days().div_ceil(2));
        drive.note_day();
    }
    println!("lived through {} days after {:?}", days(), began.elapsed());
    drive.drain();
    let lived = drive.lived;
    println!(
        "{} steps, {} sleeps, {} kills, {} beside, {} jumps at work, {} lanes released, {} times gone on",
        lived.steps,
        lived.slept.len(),
        lived.kills,
        lived.beside,
        lived.jumps_at_work,
        lived.released,
        lived.gone_on
    );
    judge::schedules(&world, &wanted, &lived);
    judge::books(&world);
    judge::contracts(&world, &wanted);
    judge::notifications(&world);
    judge::growth(&lived);
    println!("all in {:?}", began.elapsed());
}
