//! A listener before the gateway that notes, in the gateway's own order, which order was sent and
//! which was asked about.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What was done about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyAction {
    /// It was sent.
    Sent,
    /// It was asked about.
    Asked,
}

/// What went over the wire.
pub struct Wire {
    /// Where to call instead of the gateway.
    pub address: SocketAddr,
    seen: Mutex<HashMap<String, Vec<ProxyAction>>>,
}

impl Wire {
    /// Listens on loopback and passes everything on.
    pub async fn before(gateway: SocketAddr) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            seen: Mutex::default(),
        });
        let watching = Arc::clone(&wire);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let wire = Arc::clone(&watching);
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(gateway).await {
                        wire.pass(client, server).await;
                    }
                });
            }
        });
        wire
    }

    /// By order number, what was done about it, in order.
    pub fn seen(&self) -> HashMap<String, Vec<ProxyAction>> {
        self.seen.lock().unwrap().clone()
    }

    /// How many orders were sent, counting each sending.
    pub fn sent(&self) -> usize {
        self.seen()
            .values()
            .flatten()
            .filter(|action| **action == ProxyAction::Sent)
            .count()
    }

    /// Without faults only a query tells what became of a lost reply: no order is sent twice
    /// unasked.
    #[track_caller]
    pub fn assert_asked_before_sent_again(&self) {
        for (order, actions) in self.seen() {
            let twice_unasked = actions
                .windows(2)
                .any(|two| two == [ProxyAction::Sent, ProxyAction::Sent]);
            assert!(
                !twice_unasked,
                "{order} was sent again before it was queried: {actions:?}"
            );
        }
    }

    async fn pass(&self, client: TcpStream, server: TcpStream) {
        client.set_nodelay(true).ok();
        server.set_nodelay(true).ok();
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let back =
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let (mut requests, mut bytes) = (Vec::new(), vec![0; 16 * 1024]);
        while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
            requests.extend_from_slice(&bytes[..read]);
            while let Some(length) = whole(&requests) {
                self.note(&requests.drain(..length).collect::<Vec<_>>());
            }
            if to_server.write_all(&bytes[..read]).await.is_err() {
                break;
            }
        }
        to_server.shutdown().await.ok();
        back.abort();
    }

    fn note(&self, request: &[u8]) {
        let text = String::from_utf8_lossy(request);
        let line = text.lines().next().unwrap_or_default();
        let action = if line.starts_with("POST /v3/global/papay/transactions") {
            ProxyAction::Sent
        } else {
            ProxyAction::Asked
        };
        let (start, end) = match action {
            ProxyAction::Sent => ("\"out_trade_no\":\"", &['"'][..]),
            ProxyAction::Asked => ("/out-trade-no/", &['?', ' ', '/'][..]),
        };
        let order = text
            .split_once(start)
            .and_then(|(_, rest)| rest.split_once(end))
            .map(|(order, _)| order.to_owned());
        if let Some(order) = order {
            self.seen
                .lock()
                .unwrap()
                .entry(order)
                .or_default()
                .push(action);
        }
    }
}

/// The length of the first request, if all of it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text
        .split_once("content-length:")
        .and_then(|(_, rest)| rest.lines().next()?.trim().parse().ok())
        .unwrap_or(0);
    (bytes.len() >= head + length).then_some(head + length)
}
