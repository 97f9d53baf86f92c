//! Notifications of the four gateways. One that was changed after it was signed is not believed, or
//! says what it said before; one whose changed content the gateway has signed itself is read or
//! refused.
//!
//! An input is the headers, an empty line, and the body. A body of WeChat Pay's may be followed by
//! two empty lines and what is to be encrypted into it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use payrun::clock::Clock;
use payrun::config::GatewayKind;
use payrun::domain::time::Timestamp;
use payrun::engine::Account;
use payrun::gateway::notification::Notification;
use payrun::gateway::{Delivery, Observation};
use payrun::sandbox::egms::auth::{SandboxSignKey, SignedParts};
use payrun::sandbox::faults::FaultPlan;
use payrun::sandbox::hipopay::auth::{notification_message, parse_form};
use payrun::sandbox::notifications::events::{FinishedOrder, NotificationFlaw};
use payrun::sandbox::shared::keys::{SandboxApiKey, SandboxSigningKey};
use payrun::sandbox::wechat::auth::reply_message;
use payrun::sandbox::{TransactionKind, cbtis};
use secrecy::SecretString;
use serde_json::Value;

use super::Target;
use crate::support::engine_builder::WebhookService;
use crate::support::gateways::{Rig, number};

/// The path by which EGMS knows us.
const SIGNED_PATH: &str = "/payrun/notify/egms";

/// How a gateway signs: this body, at this time.
type Sign = Box<dyn Fn(&mut HeaderMap, &[u8]) -> Vec<u8>>;

#[test]
fn notifications_of_wechat_pay() {
    let rig = Rig::new(FaultPlan::NONE);
    let path = |name: &str| {
        std::fs::read_to_string(rig.folder.path().join("keys/wechat").join(name)).unwrap()
    };
    let key = SandboxSigningKey::from_pem(&SecretString::from(path("platform_key.pem"))).unwrap();
    let api_key = SandboxApiKey::new(&SecretString::from(
        path("api_v3_key.txt").trim().to_owned(),
    ))
    .unwrap();
    let sign = move |headers: &mut HeaderMap, content: &[u8]| {
        let body = encrypted(&api_key, content).unwrap_or_else(|| content.to_vec());
        let said = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let (timestamp, nonce) = (said("wechatpay-timestamp"), said("wechatpay-nonce"));
        let signature = key.sign(&reply_message(&timestamp, &nonce, &body)).unwrap();
        headers.insert(
            "wechatpay-signature",
            HeaderValue::from_str(&signature).unwrap(),
        );
        body
    };
    notifications(
        &rig,
        &Target::of("notification_wechat", 400),
        "wechat",
        Box::new(sign),
    );
}

/// A notification with what follows it encrypted into it; none if it is not of two parts.
fn encrypted(key: &SandboxApiKey, content: &[u8]) -> Option<Vec<u8>> {
    let (outer, inner) = std::str::from_utf8(content).ok()?.split_once("\n\n\n")?;
    let mut notice: Value = serde_json::from_str(outer).ok()?;
    let resource = notice.get_mut("resource")?.as_object_mut()?;
    let ciphertext = key.seal("fuzz-fuzz-12", "fuzz", inner.as_bytes())?;
    for (name, value) in [
        ("nonce", "fuzz-fuzz-12"),
        ("associated_data", "fuzz"),
        ("ciphertext", &ciphertext),
    ] {
        resource.insert(name.to_owned(), value.into());
    }
    serde_json::to_vec(&notice).ok()
}

#[test]
fn notifications_of_hipopay() {
    let rig = Rig::new(FaultPlan::NONE);
    let pem =
        std::fs::read_to_string(rig.folder.path().join("keys/hipopay/platform_key.pem")).unwrap();
    let key = SandboxSigningKey::from_pem(&SecretString::from(pem)).unwrap();
    let sign = move |headers: &mut HeaderMap, content: &[u8]| {
        let timestamp = headers
            .get("timestamp")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let message = notification_message(&parse_form(content).unwrap_or_default(), &timestamp);
        let signature = key.sign(message.as_bytes()).unwrap();
        headers.insert("signature", HeaderValue::from_str(&signature).unwrap());
        content.to_vec()
    };
    notifications(
        &rig,
        &Target::of("notification_hipopay", 400),
        "hipopay",
        Box::new(sign),
    );
}

#[test]
fn notifications_of_egms() {
    let rig = Rig::new(FaultPlan::NONE);
    let config = payrun::config::load::load(&rig.folder.path().join("payrun.yaml")).unwrap();
    let GatewayKind::Egms(account) = &config.gateways["egms"].kind else {
        panic!("it is EGMS's")
    };
    let (key, path) = (
        SandboxSignKey::new(account.sign_keys[0].clone(), account.sign_type),
        account.notify_path.clone(),
    );
    let sign = move |headers: &mut HeaderMap, content: &[u8]| {
        let said = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let (date_time, msg_id) = (said("datetime"), said("msgid"));
        let message = SignedParts {
            method: "POST",
            target: &path,
            date_time: &date_time,
            msg_id: &msg_id,
            body: content,
        };
        headers.insert(
            "authorization",
            HeaderValue::from_str(&key.sign(message).unwrap()).unwrap(),
        );
        content.to_vec()
    };
    notifications(
        &rig,
        &Target::of("notification_egms", 500),
        "egms",
        Box::new(sign),
    );
}

#[test]
fn notifications_of_cbtis() {
    let rig = Rig::new(FaultPlan::NONE);
    let config = payrun::config::load::load(&rig.folder.path().join("payrun.yaml")).unwrap();
    let GatewayKind::Cbtis(account) = &config.gateways["cbtis"].kind else {
        panic!("it is CBTIS's")
    };
    let (key, header) = (
        account.api_keys[0].clone(),
        account.signature_header.to_ascii_lowercase(),
    );
    let sign = move |headers: &mut HeaderMap, content: &[u8]| {
        let signature = HeaderValue::from_str(&cbtis::auth::signature(content, &key)).unwrap();
        headers.insert(HeaderName::try_from(header.as_str()).unwrap(), signature);
        content.to_vec()
    };
    notifications(
        &rig,
        &Target::of("notification_cbtis", 500),
        "cbtis",
        Box::new(sign),
    );
}

fn notifications(rig: &Rig, target: &Target, gateway: &'static str, sign: Sign) {
    let at = Timestamp::from_millis(chrono::Utc::now().timestamp_millis());
    let doorway = rig.wait_for(WebhookService::of(rig, Clock::System));
    let account = Arc::clone(&doorway.engine.accounts[gateway]);
    let read = |headers: HeaderMap, body: Vec<u8>| {
        let seen = rig.wait_for(account.gateway.verify_notification(&Notification {
            headers,
            body: Bytes::from(body),
            received_at: at,
        }));
        is_bounded(&seen);
        seen
    };
    let payment = FinishedOrder {
        gateway,
        kind: TransactionKind::Payment,
        number: number(0),
    };
    let told = [
        None,
        Some(NotificationFlaw::OtherAmount),
        Some(NotificationFlaw::Early),
    ]
    .into_iter()
    .filter_map(|twist| {
        rig.wait_for(rig.gateways.notification(&payment, twist, SIGNED_PATH))
            .unwrap()
    });
    let told: Vec<(HeaderMap, Bytes)> = told.collect();
    assert_eq!(told.len(), 3);
    let said: Vec<Observation> = told
        .iter()
        .map(|(headers, body)| said(read(headers.clone(), body.to_vec())))
        .collect();
    assert!(
        said.iter().all(|seen| seen.delivery == Delivery::Replied),
        "{said:?}"
    );
    let long = told
        .iter()
        .flat_map(|told| with_long_headers(&account, told));
    let made = told
        .iter()
        .cloned()
        .chain(long)
        .map(|(headers, body)| wire(&account, &headers, &body))
        .collect();
    target.try_on_these(made, |input| {
        let (mut headers, content) = notice(input);
        let changed = read(headers.clone(), content.to_vec());
        let outcome = changed.delivery.why();
        if changed.delivery == Delivery::Replied {
            assert!(
                said.contains(&self::said(changed)),
                "it was changed, and is believed"
            );
        }
        let body = sign(&mut headers, content);
        let signed = read(headers, body);
        format!(
            "{outcome} {:?} {}",
            std::mem::discriminant(&signed.delivery),
            signed.delivery.why()
        )
    });
}

/// A notification with each of the headers that are read made long: a stranger can write anything
/// into them.
fn with_long_headers(
    account: &Account,
    (headers, body): &(HeaderMap, Bytes),
) -> Vec<(HeaderMap, Bytes)> {
    let kept = account.gateway.notification_protocol().signed_by;
    let long = kept.into_iter().map(|name| {
        let mut headers = headers.clone();
        let value = HeaderValue::from_bytes(&headers[name.as_str()].as_bytes().repeat(50)).unwrap();
        headers.insert(HeaderName::try_from(name).unwrap(), value);
        (headers, body.clone())
    });
    long.collect()
}

/// What an observation says, whatever the bytes were.
fn said(seen: Observation) -> Observation {
    Observation {
        evidence: String::new(),
        ..seen
    }
}

/// What a notification says is kept, and shown to people. The gateway's own number is kept as it
/// is.
fn is_bounded(seen: &Observation) {
    let texts = [&seen.code, &seen.message, &seen.state];
    let longest = texts
        .into_iter()
        .flatten()
        .map(String::len)
        .max()
        .unwrap_or_default();
    assert!(longest <= 4_096, "a text of {longest} bytes");
    assert!(
        seen.delivery.why().len() <= 1_000,
        "{}",
        seen.delivery.why()
    );
}

/// A notification as an input.
fn wire(account: &Account, headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let kept = account.gateway.notification_protocol().signed_by;
    let lines = kept.iter().filter_map(|name| {
        Some(format!(
            "{name}: {}\n",
            headers.get(name.as_str())?.to_str().ok()?
        ))
    });
    [lines.collect::<String>().as_bytes(), b"\n", body].concat()
}

/// An input as a notification: what is no header is left out, as the listener does.
fn notice(input: &[u8]) -> (HeaderMap, &[u8]) {
    let end = input.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((&b""[..], input), |end| {
        (&input[..end + 1], &input[end + 2..])
    });
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let named = HeaderName::from_bytes(&line[..colon])
            .ok()
            .zip(HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok());
        if let Some((name, value)) = named {
            headers.append(name, value);
        }
    }
    (headers, body)
}

#[test]
fn an_input_is_read_as_it_was_written() {
    let (headers, body) = notice(b"timestamp: 1\nsignature: x\n\na=1\n\n\nb");
    assert_eq!(
        (
            headers["timestamp"].as_bytes(),
            headers["signature"].as_bytes(),
            body
        ),
        (&b"1"[..], &b"x"[..], &b"a=1\n\n\nb"[..])
    );
}
