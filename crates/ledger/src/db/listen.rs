//! Hearing that there is work: of this process at once, of others on the same server by LISTEN and
//! NOTIFY.
//!
//! It only saves waiting: whoever hears nothing looks by itself a moment later.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::db::location::{DatabaseLocation, DbKind};

/// The wait before listening is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// Listens as long as it lives.
#[derive(Debug)]
pub(crate) struct ListenGuard(AbortHandle);

impl Drop for ListenGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens for what other nodes tell; nothing to listen to for a file.
pub(crate) fn listen(location: &DatabaseLocation, woken: &Arc<Notify>) -> Option<Arc<ListenGuard>> {
    if location.db_kind == DbKind::Sqlite {
        return None;
    }
    let (address, woken) = (location.address().to_owned(), Arc::clone(woken));
    let task = tokio::spawn(async move {
        loop {
            if let Err(error) = wait_for_notify(&address, &woken).await {
                tracing::debug!(%error, "not listening to the ledger at present");
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
    Some(Arc::new(ListenGuard(task.abort_handle())))
}

async fn wait_for_notify(address: &str, woken: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect(address).await?;
    listener.listen("payrun").await?;
    loop {
        listener.recv().await?;
        woken.notify_waiters();
    }
}
