//! One attempt at a time: what is asked before something is sent, what is sent then, and what a person does in between.

use std::sync::Arc;

use payrun::domain::item::State;
use payrun::gateway::{Call, Calling, Observation};
use payrun::ledger::{Ledger, Wish};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::ledger::on_every_engine;
use crate::support::by;
use crate::support::teller::{Teller, shows};

/// A gateway that says the same to every call of an operation.
fn says(
    answer: impl Fn(&Call) -> Observation + Send + 'static,
) -> impl FnMut(Call) -> Calling<'static, Observation> + Send {
    move |call| {
        let said = answer(&call);
        Box::pin(async move { said })
    }
}

/// Of a gateway that may be asked whether a payment can be cancelled: while it is asked, a person withdraws the cancellation.
#[test]
fn what_is_withdrawn_while_its_payment_is_looked_up_is_not_sent() {
    on_every_engine(|place| async move {
        let ledger: Arc<OnceCell<Ledger>> = Arc::default();
        ledger.set(place.open().await).unwrap();
        let other = Arc::clone(&ledger);
        let teller = Teller::at(&place, "egms", move |call| {
            let ledger = Arc::clone(&other);
            Box::pin(async move {
                if call.operation == "cancel_check" {
                    let now = crate::ledger::desk::at(1);
                    ledger.get().unwrap().wish(1, &Wish::Cancel, &by("ann"), now).await.unwrap();
                    let mut seen = shows("Pending");
                    seen.result.insert("cancellable".to_owned(), "yes".into());
                    return seen;
                }
                shows("Success")
            })
        })
        .await;
        let job = teller.plan("cancel", &[("P-1", None, json!({ "out_trade_no": "P-1" }))]).await;
        teller.work(job, "cancel").await;
        assert_eq!(teller.heard(), ["cancel_check"], "nothing is sent after the withdrawal");
        let item = teller.item(1).await;
        assert_eq!(item.state, State::Cancelled);
        assert!(item.reason.as_deref().unwrap().starts_with("withdrawn by ann: "), "{item:?}");
        teller.assert_sound().await;
    });
}

/// A claim that waited for its turn is looked at once more before it is sent.
#[test]
fn what_is_withdrawn_between_a_claim_and_a_late_send_is_not_sent() {
    on_every_engine(|place| async move {
        let teller = Teller::at(&place, "wechat", says(|_| shows("SUCCESS"))).await;
        let job = teller.plan("terminate", &[("C-1", None, json!({ "contract_id": "C-1", "reason": "x" }))]).await;
        let claimed = teller.claim(job, "terminate", 1).await.remove(0);
        teller.ledger().wish(1, &Wish::Cancel, &by("ann"), teller.now()).await.unwrap();
        teller.set(1);
        teller.perform(&claimed, "terminate").await;
        assert_eq!(teller.heard(), Vec::<String>::new());
        assert_eq!(teller.item(1).await.state, State::Cancelled);
        teller.assert_sound().await;
    });
}
