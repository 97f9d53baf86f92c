//! Notifications (docs/gateways/wechat.md, "Notifications"): verified, decrypted, and read into the
//! same observation as the query of the same thing. A notification is only ever what the gateway
//! says of its own accord; nothing is answered here.
//!
//! The platform signs for every merchant it has, so a right signature does not make a notification
//! ours: it must open under our APIv3 key and name our ids. A probe with a wrong signature is
//! refused like any other. One that is encrypted for us, and signed under a certificate that cannot
//! be had just now, is neither believed nor refused: it is to be sent again.

use std::time::Duration;

use http::HeaderMap;
use serde::Deserialize;

use super::client::WechatClient;
use super::platform_keys::KeyringError;
use super::refunds::read_refund;
use super::wire::{self, EncryptedResource};
use crate::exchange::{bounded, unreadable};
use crate::notification::{NotificationProtocol, NotificationReply, OrderKind};
use crate::wechat::account::WechatMode;
use crate::{Delivery, Observation};
use payrun_domain::time::Timestamp;

/// The headers by which a notification is verified.
const SIGNED_BY: [&str; 4] = [
    "wechatpay-timestamp",
    "wechatpay-nonce",
    "wechatpay-serial",
    "wechatpay-signature",
];

/// How long a notification may wait for platform keys: it must be answered within 5 seconds.
const KEYS_WITHIN: Duration = Duration::from_secs(4);

impl WechatClient {
    /// Reads a notification; what is not from the gateway, too old or too new, or not for this
    /// account, is not believed.
    pub async fn read_notification(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        received_at: Timestamp,
    ) -> Observation {
        let mut seen = Observation {
            evidence: wire::evidence(body),
            ..Observation::of(Delivery::Replied)
        };
        let notice: Result<EncryptedNotification, _> = serde_json::from_slice(body);
        if self.keyring.needs_download(headers, received_at) {
            // Anybody can name a serial that nobody knows; only what is encrypted for us is worth a
            // download.
            let opened = notice
                .as_ref()
                .map_err(unreadable)
                .and_then(|notice| self.opened(&notice.resource.sealed));
            if let Err(why) = opened {
                seen.delivery = Delivery::Unverified(why);
                return seen;
            }
        }
        if let Err(delivery) = self.verify_notification(headers, body, received_at).await {
            seen.delivery = delivery;
            return seen;
        }
        let notice = match notice {
            Ok(notice) => notice,
            Err(error) => {
                return Observation {
                    delivery: Delivery::Unreadable(unreadable(&error)),
                    ..seen
                };
            }
        };
        match self.opened(&notice.resource.sealed) {
            Err(why) => seen.delivery = Delivery::Unverified(why),
            Ok(text) => {
                seen.evidence = wire::evidence(&text);
                if let Err(why) = self.read_plaintext(&notice, &text, &mut seen) {
                    seen.delivery = Delivery::Unreadable(why);
                }
            }
        }
        seen
    }

    async fn verify_notification(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        received_at: Timestamp,
    ) -> Result<(), Delivery> {
        let verifying = self
            .keyring
            .verify_as_of(&self.channel, headers, body, received_at);
        match tokio::time::timeout(KEYS_WITHIN, verifying)
            .await
            .unwrap_or(Err(KeyringError::Slow))
        {
            Ok(()) => Ok(()),
            Err(error @ (KeyringError::NotNow { .. } | KeyringError::Slow)) => {
                Err(Delivery::NoKeys(error.to_string()))
            }
            Err(error) => Err(Delivery::Unverified(error.to_string())),
        }
    }

    fn opened(&self, sealed: &EncryptedResource) -> Result<Vec<u8>, String> {
        if sealed.algorithm != "AEAD_AES_256_GCM" {
            return Err("the algorithm is not AEAD_AES_256_GCM".into());
        }
        let aad = sealed.associated_data.as_deref().unwrap_or_default();
        self.api_key
            .open(&sealed.nonce, aad, &sealed.ciphertext)
            .map_err(|error| error.to_string())
    }

    fn read_plaintext(
        &self,
        notice: &EncryptedNotification,
        text: &[u8],
        seen: &mut Observation,
    ) -> Result<(), String> {
        let ids: NotifiedMerchant =
            serde_json::from_slice(text).map_err(|error| unreadable(&error))?;
        if !ids.is_exactly(&self.mode) {
            return Err("the notification is for another merchant".into());
        }
        let kind = notice.event_type.split('.').next().unwrap_or_default();
        let original = notice.resource.original_type.as_deref();
        match (kind, original) {
            ("TRANSACTION", Some("transaction") | None) => {
                seen.is_about(OrderKind::Payment);
                self.read_transaction(text, seen)
            }
            ("REFUND", Some("refund") | None) => {
                seen.is_about(OrderKind::Refund);
                read_refund(text, seen)
            }
            _ => Err(format!(
                "a notification of {:?} about {:?} is not read here",
                bounded(notice.event_type.clone(), 64),
                bounded(original.unwrap_or_default().to_owned(), 64)
            )),
        }
    }
}

/// How WeChat Pay wants to be answered (docs/gateways/wechat.md, "Notifications"): any 2xx; what is
/// in the body is for people.
pub(super) fn notification_protocol() -> NotificationProtocol {
    NotificationProtocol {
        media: &["application/json"],
        signed_by: SIGNED_BY.map(str::to_owned).to_vec(),
        taken: NotificationReply::json(r#"{"code":"SUCCESS","message":"OK"}"#),
        refused: NotificationReply::json(r#"{"code":"FAIL","message":"not accepted"}"#),
    }
}

/// A notification around its encrypted resource.
#[derive(Deserialize)]
struct EncryptedNotification {
    event_type: String,
    resource: Resource,
}

#[derive(Deserialize)]
struct Resource {
    original_type: Option<String>,
    #[serde(flatten)]
    sealed: EncryptedResource,
}

/// Whom a resource is about.
#[derive(Deserialize)]
struct NotifiedMerchant {
    mchid: Option<String>,
    sp_mchid: Option<String>,
    sub_mchid: Option<String>,
}

impl NotifiedMerchant {
    /// Whether it names this account. Unlike a reply, which answers our own question, it must.
    fn is_exactly(&self, mode: &WechatMode) -> bool {
        match mode {
            WechatMode::Common { mchid, appid: _ } => self.mchid.as_ref() == Some(mchid),
            WechatMode::Institutional {
                sp_mchid,
                sp_appid: _,
                sub_mchid,
                sub_appid: _,
            } => {
                self.sp_mchid.as_ref() == Some(sp_mchid)
                    && self.sub_mchid.as_ref() == Some(sub_mchid)
            }
        }
    }
}
