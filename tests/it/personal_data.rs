//! Personal data: sealed in the ledger, opened for one call, and found nowhere else, whatever goes
//! wrong.

use std::path::Path;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use payrun::sandbox::faults::{FaultPlan, Level};

use crate::support::gateways::{ORDERS, Rig, personal_key, text_of};

/// Values that are nowhere else.
const CARD: &str = "510921199308072310";
const NAME: &str = "张伟奇异鸟";
const OPENID: &str = "oCanaryOpenid7Zq";
const CODE: &str = "134650720866987654";
const ADDRESS: &str = "203.0.113.217";

const CANARIES: [&str; 5] = [CARD, NAME, OPENID, CODE, ADDRESS];

const POLICY: &str = "    retry: { attempts: 30, first: 50ms, max: 200ms }\n    \
                      query: { schedule: [50ms, 100ms, 200ms], grace: 1500ms, horizon: 4s }\n";

/// Everything that takes personal data, with rows that are good, rejected, and such that need review.
fn write_work(rig: &Rig) {
    let mut rows = "order,theirs,sub,amount,card,name,openid,code,address\n".to_owned();
    for (n, sub) in ["S-0", "S-1", "S-2", "S-3-fail", "S-4-different", "S-5-back"]
        .into_iter()
        .enumerate()
    {
        let order = format!("P-{n}");
        let theirs = ["wechat", "hipopay"].map(|gateway| rig.seed(gateway, &order, "20.00", "CNY"))
            [0]
        .clone();
        rows.push_str(&format!(
            "{order},{theirs},{sub},20.00,{CARD},{NAME},{OPENID},{CODE},{ADDRESS}\n"
        ));
    }
    // Rejected: an amount of three decimals, a card and a code that are too long, and a name with a
    // control character.
    let long = "9".repeat(40);
    for (n, (amount, card, name, code)) in [
        ("20.001", CARD.to_owned(), NAME.to_owned(), CODE.to_owned()),
        (
            "20.00",
            format!("{CARD}{long}"),
            NAME.to_owned(),
            format!("{CODE}{long}"),
        ),
        (
            "20.00",
            CARD.to_owned(),
            format!("{NAME}\u{7}"),
            format!("{CODE}x"),
        ),
        (
            "20.00",
            format!("{CARD}é"),
            NAME.repeat(20),
            CODE.to_owned(),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        rows.push_str(&format!(
            "R-{n},1,R-{n},{amount},{card},{name},{OPENID}é,{code},{ADDRESS}é\n"
        ));
    }
    rig.write("people.csv", rows);
    rig.write(
        "people.yaml",
        format!(
            "workflow: people\njobs:\n{}{}{}",
            declares(),
            checks(),
            pays()
        ),
    );
}

fn declares() -> String {
    ["wechat", "hipopay"]
        .map(|gateway| {
            format!(
                "  declare-{gateway}:\n    uses: declare\n    gateway: {gateway}\n    items: {{ file: people.csv }}\n    \
                 with:\n      out_trade_no: \"{{{{ item.order }}}}\"\n      \
                 transaction_id: \"{{{{ item.theirs }}}}\"\n      sub_order_no: \"{{{{ item.sub }}}}\"\n      \
                 customs: SHENZHEN\n      mch_customs_no: SZ0001\n      amount: \"{{{{ item.amount }}}}\"\n      \
                 currency: CNY\n      product_fee: \"{{{{ item.amount }}}}\"\n      transport_fee: \"0.00\"\n      \
                 cert_id: \"{{{{ item.card }}}}\"\n      name: \"{{{{ item.name }}}}\"\n{POLICY}"
            )
        })
        .concat()
        + &format!(
            "  again:\n    uses: redeclare\n    gateway: hipopay\n    items: {{ from: declare-hipopay, state: failed }}\n    \
             key: \"{{{{ item.key }}}}/again\"\n    with:\n      way: modify\n      \
             out_trade_no: \"{{{{ item.out_trade_no }}}}\"\n      transaction_id: \"{{{{ item.transaction_id }}}}\"\n      \
             sub_order_no: \"{{{{ item.sub_order_no }}}}\"\n      customs: \"{{{{ item.customs }}}}\"\n      \
             mch_customs_no: \"{{{{ item.mch_customs_no }}}}\"\n      amount: \"{{{{ item.amount }}}}\"\n      \
             currency: \"{{{{ item.currency }}}}\"\n      product_fee: \"{{{{ item.product_fee }}}}\"\n      \
             transport_fee: \"{{{{ item.transport_fee }}}}\"\n      cert_id: \"{{{{ item.cert_id }}}}\"\n      \
             name: \"{{{{ item.name }}}}\"\n{POLICY}"
        )
}

fn checks() -> String {
    format!(
        "  check:\n    uses: identity\n    gateway: wechat\n    items: {{ file: people.csv }}\n    with:\n      \
         out_trade_no: \"{{{{ item.order }}}}\"\n      transaction_id: \"{{{{ item.theirs }}}}\"\n      \
         sub_order_no: \"{{{{ item.sub }}}}\"\n      customs: SHENZHEN\n      mch_customs_no: SZ0001\n      \
         cert_id: \"{{{{ item.card }}}}\"\n      name: \"{{{{ item.name }}}}\"\n{POLICY}"
    )
}

fn pays() -> String {
    let particulars = [
        (
            "wechat",
            "      auth_code: \"{{ item.code }}\"\n      merchant_category_code: \"4111\"\n      \
             payer_client_ip: \"{{ item.address }}\"\n",
        ),
        (
            "hipopay",
            "      openid: \"{{ item.openid }}\"\n      appid: wx1\n      client_ip: \"{{ item.address }}\"\n",
        ),
        (
            "egms",
            "      openid: \"{{ item.openid }}\"\n      appid: wx1\n      platform: MINI\n",
        ),
    ];
    let job = |(gateway, particulars): (&str, &str)| {
        format!(
            "  pay-{gateway}:\n    uses: pay\n    gateway: {gateway}\n    items: {{ file: people.csv }}\n    \
             key: \"{{{{ item.order }}}}\"\n    with:\n      amount: \"{{{{ item.amount }}}}\"\n      currency: HKD\n      \
             description: Rent\n{particulars}{POLICY}"
        )
    };
    particulars.map(job).concat()
}

/// A canary as it is, and in the spellings that bytes come to lie in.
fn spellings(canary: &str) -> Vec<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'.';
    let percent: String = canary
        .bytes()
        .map(|b| {
            if plain(b) {
                char::from(b).into()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect();
    let escaped: String = canary
        .encode_utf16()
        .map(|unit| format!("\\u{unit:04x}"))
        .collect();
    let hex: String = canary.bytes().map(|b| format!("{b:02x}")).collect();
    let mut all = vec![
        canary.to_owned(),
        percent.to_lowercase(),
        percent,
        escaped,
        hex,
    ];
    // In base64 it looks another way at each of three places; what depends on its neighbours is
    // left out.
    all.extend((0..3).map(|before| {
        let shifted = STANDARD.encode([vec![0; before], canary.as_bytes().to_vec()].concat());
        shifted[4 * before.div_ceil(3)..shifted.len() / 4 * 4 - 4].to_owned()
    }));
    all
}

/// Asserts that no canary is in these bytes.
#[track_caller]
fn assert_clean(of: &str, bytes: &[u8]) {
    static ALL: LazyLock<Vec<(&str, String)>> = LazyLock::new(|| {
        CANARIES
            .iter()
            .flat_map(|canary| spellings(canary).into_iter().map(|text| (*canary, text)))
            .collect()
    });
    let text = String::from_utf8_lossy(bytes);
    for (canary, spelling) in ALL.iter() {
        if let Some(at) = text.find(spelling.as_str()) {
            let around: String = text[..at].chars().rev().take(80).collect();
            panic!(
                "{of} holds {canary} as {spelling} behind {}",
                around.chars().rev().collect::<String>()
            );
        }
    }
}

#[test]
fn every_spelling_of_a_canary_is_found() {
    for canary in CANARIES {
        for before in ["", "x", "xy", "xyz"] {
            let text = format!("{before}{canary}!");
            let found = |bytes: &str| {
                spellings(canary)
                    .iter()
                    .any(|spelling| bytes.contains(spelling.as_str()))
            };
            assert!(
                found(&text) && found(&STANDARD.encode(&text)),
                "{canary} behind {before:?}"
            );
        }
    }
}

#[track_caller]
fn assert_folder_clean(folder: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count += assert_folder_clean(&path);
        } else if path.file_name().is_none_or(|name| name != "people.csv") {
            assert_clean(&path.display().to_string(), &std::fs::read(&path).unwrap());
            count += 1;
        }
    }
    count
}

/// Runs a command with all logs, and looks at what it says; its exit code.
fn said(rig: &Rig, args: &[&str]) -> Option<i32> {
    let mut command = rig.command(args);
    let out = command
        .env("RUST_LOG", "trace")
        .env("PAYRUN_LOG", "trace")
        .output()
        .unwrap();
    assert_clean(&format!("stdout of {args:?}"), &out.stdout);
    assert_clean(&format!("stderr of {args:?}"), &out.stderr);
    out.status.code()
}

fn leaves_nothing(plan: FaultPlan) -> Rig {
    let rig = Rig::new(plan);
    write_work(&rig);
    said(&rig, &["plan", "people.yaml", "--rows", "20"]);
    said(&rig, &["plan", "people.yaml", "--rows", "20", "--json"]);
    let mut code = said(&rig, &["run", "people.yaml", "--wait", "20s"]);
    assert_folder_clean(rig.folder.path());
    while code == Some(4) {
        code = said(&rig, &["run", "--resume", "--json", "--wait", "20s"]);
    }
    assert_eq!(code, Some(3));
    for args in [
        &["items", "--json", "-n", "0"][..],
        &["items", "--format", "csv", "-n", "0"],
        &["items", "-o", "-", "--format", "csv"],
        &["items", "-o", "-", "--format", "ndjson"],
        &["items", "-n", "0"],
        &["show"],
        &["show", "--json"],
        &["runs", "--json"],
        &["doctor"],
        &["check"],
    ] {
        said(&rig, args);
    }
    for item in rig.items() {
        let id = item["item"].to_string();
        said(&rig, &["show", "--item", &id]);
        said(&rig, &["show", "--item", &id, "--json"]);
    }
    let states: std::collections::BTreeSet<String> = rig
        .items()
        .iter()
        .map(|item| text_of(item, "state").to_owned())
        .collect();
    assert!(
        states.contains("succeeded") && states.contains("rejected"),
        "{states:?}"
    );
    assert!(
        assert_folder_clean(rig.folder.path()) > 10,
        "the folder was looked at"
    );
    rig
}

#[test]
fn personal_data_is_found_nowhere() {
    let rig = leaves_nothing(FaultPlan::NONE);
    let state = |job: &str, line: u64| {
        let items = rig.items_of(job);
        let item = items.iter().find(|item| item["line"] == line).unwrap();
        text_of(item, "state").to_owned()
    };
    assert_eq!(
        (state("check", 6), state("declare-hipopay", 6)),
        ("needs_review".to_owned(), "succeeded".to_owned())
    );
    assert_eq!(
        (state("declare-hipopay", 5), state("again", 5)),
        ("failed".to_owned(), "succeeded".to_owned())
    );
}

#[test]
fn under_faults_personal_data_is_found_nowhere() {
    std::thread::scope(|scope| {
        for seed in [1, 2] {
            scope.spawn(move || drop(leaves_nothing(FaultPlan::new(seed, Level::Heavy))));
        }
    });
}

#[test]
fn without_a_key_such_a_workflow_is_refused_with_what_to_do() {
    let rig = Rig::new(FaultPlan::NONE);
    write_work(&rig);
    let yaml = std::fs::read_to_string(rig.folder.path().join("payrun.yaml")).unwrap();
    rig.write(
        "payrun.yaml",
        yaml.replace("encryption_key: { file: keys/personal.key }\n", ""),
    );
    let (code, text) = rig.payrun(&["run", "people.yaml", "--wait", "20s"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("cert_id is personal data") && text.contains("openssl rand -base64 32"),
        "{text}"
    );
    assert!(rig.items().is_empty());
    assert_folder_clean(rig.folder.path());
}

#[test]
fn with_another_key_than_before_nothing_is_sent() {
    let rig = Rig::new(FaultPlan::NONE);
    write_work(&rig);
    let read = |name: &str| std::fs::read_to_string(rig.folder.path().join(name)).unwrap();
    let (yaml, people) = (read("payrun.yaml"), read("people.yaml"));
    rig.write(
        "people.yaml",
        people.replace("attempts: 30", "attempts: 60"),
    );
    // Planned, and not sent: the gateways cannot be reached.
    rig.write(
        "payrun.yaml",
        yaml.replace(&rig.base_url(), "http://127.0.0.1:9"),
    );
    assert_eq!(said(&rig, &["run", "people.yaml", "--wait", "0s"]), Some(4));
    rig.write("payrun.yaml", &yaml);
    rig.write("keys/personal.key", personal_key(8));
    assert!(matches!(
        said(&rig, &["run", "--resume", "--wait", "0s"]),
        Some(2 | 4)
    ));
    for gateway in ["wechat", "hipopay", "egms"] {
        let theirs = rig.totals(gateway);
        assert!(theirs.customs.filed.is_empty(), "{gateway}: {theirs:?}");
        assert_eq!(theirs.customs.identity_checks, 0);
        assert!(
            theirs
                .paid
                .get("HKD")
                .is_none_or(|paid| paid.0 == ORDERS as u64),
            "{gateway}: {theirs:?}"
        );
    }
    assert_folder_clean(rig.folder.path());
    // With the key of before it goes on.
    rig.write("keys/personal.key", personal_key(7));
    assert_eq!(said(&rig, &["run", "--resume", "--wait", "20s"]), Some(3));
    assert!(!rig.totals("hipopay").customs.filed.is_empty());
}
