//! What is between the nodes and the gateways: a request waits here until the play says what
//! becomes of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use payrun_gateway::transport::Request;
use payrun_sandbox::{FakeGateway, Reaction};

/// Which call of the play.
pub(super) type CallId = u64;

/// Requests under way.
#[derive(Debug, Default)]
pub(super) struct Network(Mutex<NetworkState>);

#[derive(Debug, Default)]
struct NetworkState {
    /// The call that is being worked on.
    current: CallId,
    waiting: BTreeMap<CallId, WaitingRequest>,
}

/// A request that has left its node.
#[derive(Debug)]
pub(super) struct WaitingRequest {
    pub request: InFlightRequest,
    /// What its caller hears.
    pub answer: oneshot::Sender<Reaction>,
}

/// A request, and who it is for.
#[derive(Debug, Clone)]
pub(super) struct InFlightRequest {
    request: Arc<Request>,
    fake: Arc<dyn FakeGateway>,
}

impl InFlightRequest {
    /// Arrives: whatever it does is done.
    pub async fn arrive(&self) -> Reaction {
        self.fake.handle(Request::clone(&self.request)).await
    }
}

impl Network {
    fn inner(&self) -> MutexGuard<'_, NetworkState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on requests are this call's.
    pub fn work_on(&self, call: CallId) {
        self.inner().current = call;
    }

    /// Whether a call waits for the network.
    pub fn waits(&self, call: CallId) -> bool {
        self.inner().waiting.contains_key(&call)
    }

    /// A call goes on waiting.
    pub fn put_back(&self, call: CallId, waiting: WaitingRequest) {
        self.inner().waiting.insert(call, waiting);
    }

    /// What a call waits for.
    pub fn remove(&self, call: CallId) -> Option<WaitingRequest> {
        self.inner().waiting.remove(&call)
    }
}

/// The way from the nodes to one gateway.
#[derive(Debug)]
pub(super) struct NetworkLink {
    pub network: Arc<Network>,
    pub fake: Arc<dyn FakeGateway>,
}

impl FakeGateway for NetworkLink {
    fn handle(&self, request: Request) -> Pin<Box<dyn Future<Output = Reaction> + Send + '_>> {
        Box::pin(async move {
            if is_of_the_account(request.uri().path()) {
                return self.fake.handle(request).await;
            }
            let (answer, answered) = oneshot::channel();
            {
                let mut inner = self.network.inner();
                let call = inner.current;
                let request = InFlightRequest {
                    request: Arc::new(request),
                    fake: Arc::clone(&self.fake),
                };
                inner
                    .waiting
                    .insert(call, WaitingRequest { request, answer });
            }
            answered.await.unwrap_or(Reaction::Reset)
        })
    }
}

/// Requests for keys and tokens are shared between calls: nothing is played on them.
fn is_of_the_account(path: &str) -> bool {
    path.ends_with("/certificates") || path.contains("token")
}
