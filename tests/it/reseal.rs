//! The keys of what is kept of persons are changed while work goes on, on both engines: any listed
//! key opens, the first seals, and none can be taken away that is still needed.

use expect_test::expect;
use std::io::{Read as _, Seek as _, Write as _};

use std::collections::BTreeSet;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use payrun::clock::Clock;
use payrun::domain::ids::KeyHash;
use payrun::engine::vault::Vault;
use payrun::ledger::{Ledger, NewNotification, SealedKind};
use payrun::sandbox::faults::FaultPlan;
use serde_json::{Value, json};

use crate::support::engine_builder::WebhookService;
use crate::support::gateways::{Rig, personal_key};
use crate::support::{App, Setup};

const PAYMENTS: usize = 30;
pub const RUN: [&str; 5] = ["run", "workflows/pay.yaml", "--json", "--wait", "0s"];

/// A project whose payments, with the payers' codes, wait for a gateway that cannot be reached.
pub fn waiting(server: bool, approval: &str) -> App {
    let app = App::of(Setup {
        server,
        ..Setup::default()
    });
    for (name, byte) in [("old", 1), ("new", 2)] {
        app.write(&format!("keys/{name}.key"), personal_key(byte));
    }
    app.edit(
        "payrun.yaml",
        "gateways:\n",
        "encryption_key: { file: keys/old.key }\ngateways:\n",
    );
    let rows: String = (0..PAYMENTS)
        .map(|n| format!("p-{n},1{n}.50,13465072086{n:03}0000\n"))
        .collect();
    app.write("data/payments.csv", format!("id,amount,code\n{rows}"));
    app.write(
        "workflows/pay.yaml",
        format!(
            "workflow: pay\njobs:\n  pay:\n    uses: pay\n    gateway: hk\n    items: {{ file: ../data/payments.csv }}\n    \
             key: \"{{{{ item.id }}}}\"\n    with:\n      amount: \"{{{{ item.amount }}}}\"\n      currency: HKD\n      \
             description: Rent\n      auth_code: \"{{{{ item.code }}}}\"\n      merchant_category_code: \"4111\"\n{approval}    \
             retry: {{ attempts: 1000, first: 50ms, max: 200ms }}\n    \
             query: {{ schedule: [50ms, 100ms], grace: 1200ms, horizon: 5m }}\n"
        ),
    );
    gateway(&app, false);
    app
}

/// Whether the gateway can be reached from now on.
pub fn gateway(app: &App, there: bool) {
    let yaml = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    let far = "base_url: http://127.0.0.1:9 # ";
    let yaml = if there {
        yaml.replace(far, "base_url: ")
    } else {
        yaml.replace("base_url: ", far)
    };
    app.write("payrun.yaml", yaml);
}

/// Lists these keys from now on.
fn list_keys(app: &App, keys: &str) {
    let yaml = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    let line = yaml
        .lines()
        .find(|line| line.starts_with("encryption_key:"))
        .map(|line| format!("{line}\n"));
    let yaml = yaml.replace(&line.unwrap_or_default(), "");
    let line = if keys.is_empty() {
        String::new()
    } else {
        format!("encryption_key: {keys}\n")
    };
    app.write(
        "payrun.yaml",
        yaml.replacen("gateways:\n", &format!("{line}gateways:\n"), 1),
    );
}

const OLD: &str = "{ file: keys/old.key }";
const NEW: &str = "{ file: keys/new.key }";
const BOTH: &str = "[{ file: keys/new.key }, { file: keys/old.key }]";

fn vault(bytes: &[u8]) -> Vault {
    let keys: Vec<_> = bytes
        .iter()
        .map(|byte| personal_key(*byte).into())
        .collect();
    Vault::of(&keys).unwrap().unwrap()
}

fn id(byte: u8) -> String {
    vault(&[byte]).ids().next().unwrap().to_owned()
}

async fn keys_in_use(ledger: &Ledger) -> BTreeSet<String> {
    ledger.sealing_keys().await.unwrap()
}

/// Does something with the ledger.
fn with_ledger<T>(app: &App, work: impl AsyncFnOnce(&Ledger) -> T) -> T {
    app.wait_for(async {
        let ledger = app.ledger().await;
        let done = work(&ledger).await;
        ledger.close().await;
        done
    })
}

fn resealed(app: &App) -> (Option<i32>, Value) {
    let ended = app.payrun(&["reseal", "--json"]);
    (
        ended.code(),
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}")),
    )
}

/// A sealed text as payrun made it before keys had ids.
fn sealed_before_ids(byte: u8, text: &str, aad: &[u8]) -> String {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[byte; 32]).unwrap());
    let mut bytes = text.as_bytes().to_vec();
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key([7; 12]),
        Aad::from(aad),
        &mut bytes,
    )
    .unwrap();
    STANDARD.encode([&[7; 12][..], &bytes].concat())
}

fn on_both(test: impl Fn(bool)) {
    [false, true].into_iter().for_each(test);
}

#[test]
fn a_key_that_is_needed_cannot_be_taken_away_until_everything_was_sealed_again() {
    on_both(|server| {
        let app = waiting(server, "");
        app.payrun(&RUN).exits(4);
        for keys in [NEW, ""] {
            list_keys(&app, keys);
            let ended = app.payrun(&["run", "--resume"]).exits(2);
            ended
                .prints(&format!("lacks the key {}", id(1)))
                .says(expect!["30 values"])
                .says(expect!["30 items"])
                .says(expect!["payrun reseal"]);
        }
        list_keys(&app, BOTH);
        app.payrun(&["doctor", "--offline"])
            .prints(&id(2))
            .says(expect!["`payrun reseal` moves 30 values"]);
        assert_eq!(with_ledger(&app, keys_in_use), BTreeSet::from([id(1)]));
        let (code, told) = resealed(&app);
        assert_eq!(
            (code, &told["moved"], &told["left"]),
            (Some(0), &json!(30), &json!(0)),
            "{told}"
        );
        assert_eq!(
            (told["key"].as_str(), &told["other_keys"]),
            (Some(id(2).as_str()), &json!([id(1)]))
        );
        assert_eq!(with_ledger(&app, keys_in_use), BTreeSet::from([id(2)]));
        assert_eq!(resealed(&app).1["moved"], 0);
        app.payrun(&["reseal"])
            .exits(0)
            .prints(&format!("nothing is sealed under {} any more", id(1)));
        list_keys(&app, NEW);
        gateway(&app, true);
        let online = app
            .payrun(&["check", "workflows/pay.yaml", "--online"])
            .exits(0);
        let online = online.prints(&format!("encryption_key: seals under {}", id(2)));
        online
            .says(expect!["accepted under merchant serial "])
            .says(expect!["and the reply verified under "]);
        app.payrun(&["run", "--resume"]).exits(0);
        assert_eq!(app.by_state(), json!({ "succeeded": 30 }));
        // The other way round the key of now is needed.
        list_keys(&app, OLD);
        app.payrun(&RUN[..3])
            .exits(2)
            .prints(&format!("lacks the key {}", id(2)));
    });
}

#[test]
fn what_was_sealed_again_stays_so_and_the_command_goes_on_with_the_rest() {
    on_both(|server| {
        let app = waiting(server, "");
        app.payrun(&RUN).exits(4);
        list_keys(&app, BOTH);
        with_ledger(&app, async |ledger| {
            // As it was broken off after a page.
            let both = vault(&[2, 1]);
            let reseal = |row: &payrun::ledger::SealedRow| {
                both.reseal_input(&row.text, row.key_hash.unwrap(), row.approved)
                    .map_err(|why| why.to_string())
            };
            let page = ledger
                .reseal_page(SealedKind::Items, (&id(1), 0), 10, &reseal)
                .await
                .unwrap();
            assert_eq!((page.seen, page.left.len()), (10, 0));
            assert_eq!(keys_in_use(ledger).await, BTreeSet::from([id(1), id(2)]));
            assert_eq!(
                ledger
                    .sealed_under(SealedKind::Items, &id(1))
                    .await
                    .unwrap(),
                20
            );
        });
        assert_eq!(resealed(&app).1["moved"], 20);
        gateway(&app, true);
        list_keys(&app, NEW);
        app.payrun(&["run", "--resume"]).exits(0);
        assert_eq!(app.by_state(), json!({ "succeeded": 30 }));
    });
}

#[test]
fn a_batch_that_waits_for_approval_is_the_same_batch_under_another_key() {
    on_both(|server| {
        let app = waiting(
            server,
            "    approval: { above: { HKD: \"100.00\" }, expires: 1d }\n",
        );
        let (ann, bob) = (app.token("ann", "admin"), app.token("bob", "approver"));
        app.payrun_as(&ann, &RUN).exits(4);
        let hash = |app: &App| {
            app.json(&["approvals", "show", "1", "--json"])[0]["hash"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let shown = hash(&app);
        list_keys(&app, BOTH);
        assert_eq!(resealed(&app).1["moved"], 30);
        list_keys(&app, NEW);
        assert_eq!(hash(&app), shown);
        let approve = [
            "approvals",
            "approve",
            "1",
            "--reason",
            "a test",
            "--hash",
            &shown,
        ];
        app.payrun_as(&bob, &approve)
            .exits(0)
            .says(expect!["30 items released"]);
        gateway(&app, true);
        app.payrun(&["run", "--resume"]).exits(0);
        // And once more after the approval: the judge makes the same hash of what ran.
        list_keys(&app, "[{ file: keys/old.key }, { file: keys/new.key }]");
        assert_eq!(resealed(&app).1["moved"], 30);
        let broken = payrun::checker::check(
            &app.json_lines(&["journal"]),
            &Vec::new(),
            &[],
            &Default::default(),
        );
        assert_eq!(broken.iter().find(|broken| broken.promise == 5), None);
    });
}

#[test]
fn what_was_sealed_before_keys_had_ids_opens_and_is_sealed_again() {
    on_both(|server| {
        let app = waiting(server, "");
        app.payrun(&RUN).exits(4);
        let statement = "update items set input = $2 where id = $1";
        app.wait_for(async {
            let ledger = app.ledger().await;
            let filter = payrun::ledger::ItemFilter::default();
            let items = ledger.items(&filter, 0, 1_000).await.unwrap();
            ledger.close().await;
            let (mut file, mut schema) = (None, None);
            if server {
                schema = Some(app.schema().connect().await);
            } else {
                use sqlx::Connection as _;
                let url = format!("sqlite://{}", app.database().display());
                file = Some(sqlx::SqliteConnection::connect(&url).await.unwrap());
            }
            let proof = sealed_before_ids(1, "payrun personal data", b"payrun personal data");
            let keep =
                format!("insert into encryption_key_check (id, proof) values (1, '{proof}')");
            for item in &items {
                let key: KeyHash = item.key_hash.unwrap();
                let bound_to = [&b"auth_code\0"[..], key.as_bytes()].concat();
                let mut input: Value = serde_json::from_str(&item.input).unwrap();
                input["auth_code"] =
                    json!({ "sealed": sealed_before_ids(1, "134650720860000000", &bound_to) });
                let input = input.to_string();
                if let Some(file) = &mut file {
                    sqlx::query(statement)
                        .bind(item.id)
                        .bind(&input)
                        .execute(&mut *file)
                        .await
                        .unwrap();
                }
                if let Some(schema) = &mut schema {
                    sqlx::query(statement)
                        .bind(item.id)
                        .bind(&input)
                        .execute(&mut *schema)
                        .await
                        .unwrap();
                }
            }
            if let Some(file) = &mut file {
                sqlx::query(sqlx::AssertSqlSafe(keep.clone()))
                    .execute(file)
                    .await
                    .unwrap();
            }
            if let Some(schema) = &mut schema {
                sqlx::query(sqlx::AssertSqlSafe(keep))
                    .execute(schema)
                    .await
                    .unwrap();
            }
        });
        list_keys(&app, NEW);
        app.payrun(&RUN[..3]).exits(2).says(expect![
            "lacks the key that the ledger was begun with: 30 values"
        ]);
        // Under the key of before they are sent as they are.
        list_keys(&app, BOTH);
        assert_eq!(resealed(&app).1["moved"], 30);
        list_keys(&app, NEW);
        gateway(&app, true);
        app.payrun(&["run", "--resume"]).exits(0);
        assert_eq!(app.by_state(), json!({ "succeeded": 30 }));
    });
}

#[test]
fn notifications_are_sealed_again_and_what_does_not_open_is_left_and_told_of() {
    on_both(|server| {
        let app = waiting(server, "");
        with_ledger(&app, async |ledger| {
            let old = vault(&[1]);
            for n in 0..5 {
                let digest = format!("digest-{n}");
                // One was spoilt.
                let bound = if n == 3 { "another" } else { &digest };
                let body = old.seal_notification("e30=", bound).unwrap();
                let received_at = Clock::System.now();
                let lane = "hk".to_owned();
                let headers = "{}".to_owned();
                let new = NewNotification {
                    lane,
                    digest,
                    received_at,
                    headers,
                    body,
                    sealed: true,
                    order_no: None,
                };
                ledger.keep_notification(new).await.unwrap();
            }
        });
        list_keys(&app, BOTH);
        let (code, told) = resealed(&app);
        assert_eq!(
            (code, &told["moved"], &told["left"]),
            (Some(3), &json!(4), &json!(1)),
            "{told}"
        );
        assert!(
            told["why"][0]
                .as_str()
                .unwrap()
                .starts_with("notification "),
            "{told}"
        );
        list_keys(&app, NEW);
        app.payrun(&RUN[..3])
            .exits(2)
            .says(expect!["1 value"])
            .says(expect!["1 notification"]);
    });
}

#[test]
fn uploaded_files_are_sealed_again_too_and_the_service_does_not_start_without_their_key() {
    let rig = Rig::new(FaultPlan::NONE);
    let content = b"id,name\n1,a person\n".to_vec();
    let whole = |file: Option<std::fs::File>| {
        let mut content = Vec::new();
        let mut file = file.unwrap();
        file.rewind().unwrap();
        file.read_to_end(&mut content).unwrap();
        content
    };
    let keep = || {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        rig.wait_for(async {
            let service = WebhookService::of(&rig, Clock::System).await;
            let name = service.engine.keep_upload(file, "csv").await.unwrap();
            let back = service.engine.upload(&name).await.unwrap();
            service.engine.ledger.clone().close().await;
            (name, whole(back))
        })
    };
    let (name, back) = keep();
    assert_eq!(back, content);
    rig.write("keys/new.key", personal_key(9));
    let yaml = std::fs::read_to_string(rig.folder.path().join("payrun.yaml")).unwrap();
    let one = "encryption_key: { file: keys/personal.key }\n";
    let keys = |keys: &str| {
        rig.write(
            "payrun.yaml",
            yaml.replace(one, &format!("encryption_key: {keys}\n")),
        )
    };
    keys("{ file: keys/new.key }");
    let (code, text) = rig.payrun(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("1 uploaded file cannot be opened") && text.contains("payrun reseal"),
        "{text}"
    );
    keys("[{ file: keys/new.key }, { file: keys/personal.key }]");
    let (code, text) = rig.payrun(&["reseal", "--json"]);
    assert_eq!(
        (
            code,
            serde_json::from_str::<Value>(&text).unwrap()["moved"].clone()
        ),
        (Some(0), json!(1))
    );
    keys("{ file: keys/new.key }");
    assert_eq!(keep(), (name, content.clone()));
    let kept: Vec<_> = std::fs::read_dir(rig.folder.path().join("files/uploads"))
        .unwrap()
        .collect();
    assert_eq!(kept.len(), 1);
    // A file as it was named before keys had ids.
    let name = format!("{}.csv", "ab".repeat(32));
    let sealed = vault(&[9]).seal_file(b"x".to_vec(), &name).unwrap();
    std::fs::write(
        rig.folder
            .path()
            .join(format!("files/uploads/{name}.sealed")),
        sealed,
    )
    .unwrap();
    let read = |name: &str| {
        rig.wait_for(async {
            let service = WebhookService::of(&rig, Clock::System).await;
            let back = service.engine.upload(name).await.unwrap();
            service.engine.ledger.clone().close().await;
            back
        })
    };
    assert_eq!(whole(read(&name)), b"x");
    let (code, text) = rig.payrun(&["reseal"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 moved") && read(&name).is_some(), "{text}");
}
