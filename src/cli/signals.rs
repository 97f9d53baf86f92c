//! Ctrl-C: the first stops sending and settles what is under way, the second stops at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::exit::Exit;
use super::output::note_lines;

/// Turns true at the first Ctrl-C or SIGTERM. The second ends the process at once: what was under
/// way is queried at the next start.
pub(super) fn stop_switch() -> watch::Receiver<bool> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            // Without handlers a signal ends the process at once, which is safe too.
            return;
        };
        for second in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if second {
                note_lines(
                    "\nstopped at once; what was under way will be queried at the next start",
                );
                std::process::exit(Exit::Open as i32);
            }
            note_lines(
                "\nstopping: nothing new is sent, calls under way are settled (Ctrl-C again stops at once)",
            );
            stop.send_replace(true);
        }
    });
    stopped
}
