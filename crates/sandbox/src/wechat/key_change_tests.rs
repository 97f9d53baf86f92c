//! Keys are changed while payments, replies and notifications go on: WeChat Pay's own, and ours.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};

use crate::{FakeWechat, Settings, SignsWith, WechatAccountKeys};
use payrun_domain::ids::OrderNumber;
use payrun_domain::money::{Amount, Currency};
use payrun_domain::time::Timestamp;
use payrun_gateway::wechat::{Transport, WechatClient};
use payrun_gateway::{Call, Delivery, Gateway, Observation};
use payrun_project::config::{Platform, WechatConfig};
use payrun_system::clock::Clock;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const BASE: &str = "https://sandbox.invalid";

fn identity() -> WechatAccountKeys {
    static ONE: OnceLock<WechatAccountKeys> = OnceLock::new();
    ONE.get_or_init(|| WechatAccountKeys::generate().unwrap())
        .clone()
}

/// A gateway with a paid payment P-1, and the clock of both sides.
struct KeyChangeGateway {
    fake: Arc<FakeWechat>,
    clock: Clock,
}

impl KeyChangeGateway {
    async fn new() -> Self {
        let clock = Clock::driven(NOW);
        let fake = FakeWechat::open(identity(), Settings::default(), clock.clone())
            .await
            .unwrap();
        fake.seed(
            "P-1",
            Amount::parse("10.00", Currency::parse("HKD").unwrap()).unwrap(),
        );
        Self { fake, clock }
    }

    fn client(&self, config: &WechatConfig) -> WechatClient {
        WechatClient::new(
            config,
            Transport::InProcess(self.fake.clone()),
            self.clock.clone(),
        )
        .unwrap()
    }

    async fn notice(&self) -> (HeaderMap, Bytes) {
        self.fake.notification("P-1").await.unwrap().unwrap()
    }

    async fn told(&self, client: &WechatClient) -> Delivery {
        let (headers, body) = self.notice().await;
        client
            .read_notification(&headers, &body, self.clock.now())
            .await
            .delivery
    }

    fn pass(&self, seconds: u64) {
        self.clock
            .set(self.clock.now().plus(Duration::from_secs(seconds)));
    }
}

async fn pay(client: &WechatClient, number: &str) -> Observation {
    let input = json!({ "auth_code": "134650720866361395", "description": "Tea", "merchant_category_code": "4111" });
    let input: Map<String, Value> = serde_json::from_value(input).unwrap();
    let amount = Amount::parse("10.00", Currency::parse("HKD").unwrap()).ok();
    let order_no = OrderNumber::parse(number).unwrap();
    client
        .call(&Call {
            operation: "micropay".into(),
            order_no,
            input,
            amount,
            timeout: Duration::from_secs(5),
        })
        .await
}

fn with(platform: Platform) -> WechatConfig {
    WechatConfig {
        platform,
        ..identity().wechat_config(BASE)
    }
}

#[tokio::test]
async fn while_certificates_give_way_to_a_public_key_either_verifies_and_requests_name_the_public_key()
 {
    let rig = KeyChangeGateway::new().await;
    let public_key = rig.fake.public_key().unwrap();
    let both = with(Platform {
        certificates: true,
        public_keys: vec![public_key.clone()],
    });
    let client = rig.client(&both);
    for (at, signs_with) in [
        SignsWith::Certificate,
        SignsWith::PublicKey,
        SignsWith::Certificate,
    ]
    .into_iter()
    .enumerate()
    {
        rig.fake.sign_with(signs_with);
        assert_eq!(
            pay(&client, &format!("B-{at}")).await.delivery,
            Delivery::Replied,
            "{signs_with:?}"
        );
        assert_eq!(rig.fake.named_key().as_ref(), Some(&public_key.id));
        assert_eq!(rig.told(&client).await, Delivery::Replied, "{signs_with:?}");
    }
    assert_eq!(rig.fake.downloads(), 1);
    // One alone does not verify what the other has signed.
    let certificates = rig.client(&with(Platform::certificates()));
    assert_eq!(rig.told(&certificates).await, Delivery::Replied);
    rig.fake.sign_with(SignsWith::PublicKey);
    assert!(
        matches!(rig.told(&certificates).await, Delivery::Unverified(why) if why.contains("PUB_KEY_ID_"))
    );
}

#[tokio::test]
async fn while_a_public_key_gives_way_to_another_both_verify_and_the_first_is_named() {
    let rig = KeyChangeGateway::new().await;
    rig.fake.sign_with(SignsWith::PublicKey);
    let old = rig.fake.public_key().unwrap();
    let only_old = rig.client(&with(Platform {
        certificates: false,
        public_keys: vec![old.clone()],
    }));
    assert_eq!(rig.told(&only_old).await, Delivery::Replied);
    rig.fake.rotate_platform().unwrap();
    let new = rig.fake.public_key().unwrap();
    assert_ne!(new.id, old.id);
    let both = rig.client(&with(Platform {
        certificates: false,
        public_keys: vec![new.clone(), old],
    }));
    assert_eq!(rig.told(&both).await, Delivery::Replied);
    assert_eq!(pay(&both, "R-1").await.delivery, Delivery::Replied);
    assert_eq!(rig.fake.named_key(), Some(new.id));
    assert!(matches!(rig.told(&only_old).await, Delivery::Unverified(_)));
    assert_eq!(rig.fake.downloads(), 0);
}

#[tokio::test]
async fn where_a_public_key_verifies_a_download_that_fails_keeps_nothing_from_being_sent() {
    let rig = KeyChangeGateway::new().await;
    rig.fake.sign_with(SignsWith::PublicKey);
    rig.fake.hide_certificates(true);
    let public_keys = vec![rig.fake.public_key().unwrap()];
    let client = rig.client(&with(Platform {
        certificates: true,
        public_keys,
    }));
    for n in 0..20 {
        assert_eq!(
            pay(&client, &format!("F-{n}")).await.delivery,
            Delivery::Replied
        );
    }
    assert_eq!(rig.fake.downloads(), 1);
    rig.pass(61);
    assert_eq!(pay(&client, "F-20").await.delivery, Delivery::Replied);
    assert_eq!(rig.fake.downloads(), 2);
}

#[tokio::test]
async fn a_merchant_key_is_used_from_its_time_on() {
    let rig = KeyChangeGateway::new().await;
    let change = NOW.plus(Duration::from_secs(100));
    let mut config = identity().wechat_config(BASE);
    config
        .merchant_keys
        .push(rig.fake.add_merchant_key(Some(change)).unwrap());
    let client = rig.client(&config);
    assert_eq!(pay(&client, "M-1").await.delivery, Delivery::Replied);
    let found = async || {
        let probes = client.probe().await;
        probes
            .into_iter()
            .find(|probe| probe.step == "signature")
            .unwrap()
            .found
            .unwrap()
    };
    assert!(
        found().await.contains(&config.merchant_keys[0].serial),
        "{}",
        found().await
    );
    rig.clock.set(change);
    // The gateway may have forgotten the old one by now.
    rig.fake
        .forget_merchant_key(&config.merchant_keys[0].serial);
    assert_eq!(pay(&client, "M-2").await.state.as_deref(), Some("SUCCESS"));
    assert!(
        found().await.contains(&config.merchant_keys[1].serial),
        "{}",
        found().await
    );
}

#[tokio::test]
async fn our_certificate_that_expires_before_its_key_is_replaced_is_told_of() {
    let rig = KeyChangeGateway::new().await;
    let at = |seconds| NOW.plus(Duration::from_secs(seconds));
    let told = |old_until: u64, new_until: u64| {
        let mut config = identity().wechat_config(BASE);
        config
            .merchant_keys
            .push(rig.fake.add_merchant_key(Some(at(100))).unwrap());
        (config.merchant_keys[0].until, config.merchant_keys[1].until) =
            (Some(at(old_until)), Some(at(new_until)));
        rig.client(&config).certificates()
    };
    assert_eq!(told(101, 500), [("merchant certificate", at(500))]);
    assert_eq!(told(99, 500), [("merchant certificate", at(99))]);
}

#[tokio::test]
async fn a_notification_under_a_certificate_that_cannot_be_had_just_now_is_neither_believed_nor_refused()
 {
    let rig = KeyChangeGateway::new().await;
    let client = rig.client(&with(Platform::certificates()));
    rig.fake.hide_certificates(true);
    // Nothing is known yet, and nothing can be had.
    assert!(matches!(rig.told(&client).await, Delivery::NoKeys(why) if why.contains("HTTP 502")));
    rig.fake.hide_certificates(false);
    // For a minute nobody may ask again: whether there is such a certificate is still not known.
    assert!(matches!(rig.told(&client).await, Delivery::NoKeys(_)));
    assert_eq!(rig.fake.downloads(), 1);
    rig.pass(61);
    assert_eq!(rig.told(&client).await, Delivery::Replied);
    // A rotation that begins right after a download for the sake of a serial is waited for, too.
    rig.fake.rotate_platform().unwrap();
    assert!(matches!(rig.told(&client).await, Delivery::NoKeys(_)));
    rig.pass(61);
    assert_eq!(rig.told(&client).await, Delivery::Replied);
    assert_eq!(rig.fake.downloads(), 3);
}

#[tokio::test]
async fn a_stranger_causes_no_downloads_and_is_refused_whether_certificates_can_be_had_or_not() {
    let rig = KeyChangeGateway::new().await;
    let client = rig.client(&with(Platform::certificates()));
    let (headers, body) = rig.notice().await;
    let mut notice: Value = serde_json::from_slice(&body).unwrap();
    // Anybody can write this: what they cannot do is encrypt it for us.
    notice["resource"]["ciphertext"] =
        json!("bm90IGVuY3J5cHRlZCBmb3IgdXMgYXQgYWxsLCBhcyBsb25nIGFzIGl0IG1heSBiZQ==");
    let forged = serde_json::to_vec(&notice).unwrap();
    let refused = async |forged: &[u8]| {
        for n in 0..50 {
            let mut headers = headers.clone();
            headers.insert(
                "wechatpay-serial",
                HeaderValue::from_str(&format!("70000000000000{n:02}")).unwrap(),
            );
            let seen = client
                .read_notification(&headers, forged, rig.clock.now())
                .await;
            assert!(matches!(seen.delivery, Delivery::Unverified(_)), "{seen:?}");
        }
    };
    rig.fake.hide_certificates(true);
    refused(&forged).await;
    refused(b"no JSON").await;
    rig.fake.hide_certificates(false);
    refused(&forged).await;
    assert_eq!(rig.fake.downloads(), 0);
    // Who has caught a true one can send it under a serial of their own: that costs a download a
    // minute.
    for n in 0..50 {
        let mut headers = headers.clone();
        headers.insert(
            "wechatpay-serial",
            HeaderValue::from_str(&format!("60000000000000{n:02}")).unwrap(),
        );
        let seen = client
            .read_notification(&headers, &body, rig.clock.now())
            .await;
        assert!(
            matches!(seen.delivery, Delivery::Unverified(_) | Delivery::NoKeys(_)),
            "{seen:?}"
        );
    }
    assert_eq!(rig.fake.downloads(), 1);
    // And its own serial makes a forged one no better.
    let seen = client
        .read_notification(&headers, &forged, rig.clock.now())
        .await;
    assert!(matches!(seen.delivery, Delivery::Unverified(_)), "{seen:?}");
}

#[tokio::test]
async fn while_the_apiv3_key_is_changed_what_either_was_used_for_opens() {
    let rig = KeyChangeGateway::new().await;
    let mut config = with(Platform::certificates());
    let old = config.api_v3_keys[0].clone();
    config.api_v3_keys = vec!["n".repeat(32).into()];
    assert!(matches!(
        rig.told(&rig.client(&config)).await,
        Delivery::Unverified(_)
    ));
    config.api_v3_keys.push(old);
    assert_eq!(rig.told(&rig.client(&config)).await, Delivery::Replied);
}
