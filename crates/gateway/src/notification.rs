//! Notifications: what a gateway says of its own accord, and how it wants to be answered.
//!
//! Nothing is judged here, and nothing is kept. A notification is read into the same observation as
//! the query of the same thing; one that is not from the gateway is
//! [`super::Delivery::Unverified`].

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::Observation;
use payrun_domain::time::Timestamp;

/// The longest notification that is read, in bytes.
pub const NOTICE_MAX: usize = 256 * 1024;

/// A notification as it came in.
#[derive(Debug, Clone)]
pub struct Notification {
    /// The headers; of one that was kept, those of [`NotificationProtocol::signed_by`].
    pub headers: HeaderMap,
    /// The raw body, which is what was signed.
    pub body: Bytes,
    /// When it came in: by this it is told whether it is stale, however much later it is read
    /// again.
    pub received_at: Timestamp,
}

/// What an order is, in the gateway's books: each sort has numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderKind {
    /// Money from a payer.
    Payment,
    /// Money back.
    Refund,
    /// A payment withdrawn.
    Cancellation,
}

/// How a gateway talks, and wants to be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationProtocol {
    /// The media types it may use; empty: any, or none.
    pub media: &'static [&'static str],
    /// The headers without which a notification cannot be verified; they are kept with it.
    pub signed_by: Vec<String>,
    /// What tells it that we have the notification.
    pub taken: NotificationReply,
    /// What tells it to try again: not verified, or not kept. The status is the server's business.
    pub refused: NotificationReply,
}

/// The body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotificationReply {
    /// Its media type.
    pub media: &'static str,
    /// Its text.
    pub body: &'static str,
}

impl NotificationReply {
    pub(super) const fn text(body: &'static str) -> Self {
        Self {
            media: "text/plain; charset=utf-8",
            body,
        }
    }

    pub(super) const fn json(body: &'static str) -> Self {
        Self {
            media: "application/json",
            body,
        }
    }
}

impl NotificationProtocol {
    /// Whether a notification may come with this `Content-Type`.
    pub fn takes(&self, content_type: Option<&str>) -> bool {
        let media = content_type.map(|text| text.split(';').next().unwrap_or_default().trim());
        self.media.is_empty()
            || media
                .is_some_and(|media| self.media.iter().any(|own| own.eq_ignore_ascii_case(media)))
    }
}

/// How far ahead of our clock a notification may have been signed.
const AHEAD_MAX: Duration = Duration::from_secs(300);

/// Why a notification is not believed that was signed too long ago, or is to be signed yet.
pub(super) const UNTIMELY: &str = "the notification was signed too long ago, or ahead of our clock";

/// Whether a notification came in soon enough after it was signed, and not before.
pub(super) fn is_timely(signed_at: Timestamp, received_at: Timestamp, age_max: Duration) -> bool {
    received_at.since(signed_at) <= age_max && signed_at.since(received_at) <= AHEAD_MAX
}

impl Observation {
    /// Says what a notification is about.
    pub(super) fn is_about(&mut self, subject: OrderKind) {
        self.about = Some(subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_counts_without_its_parameters_and_none_where_any_may_come() {
        let (taken, refused) = (
            NotificationReply::text("success"),
            NotificationReply::text("fail"),
        );
        let json = NotificationProtocol {
            media: &["application/json"],
            signed_by: Vec::new(),
            taken,
            refused,
        };
        assert!(json.takes(Some("Application/JSON; charset=utf-8")));
        assert!(
            !json.takes(Some("text/plain"))
                && !json.takes(None)
                && !json.takes(Some("application/jsonx"))
        );
        assert!(NotificationProtocol { media: &[], ..json }.takes(None));
    }
}
