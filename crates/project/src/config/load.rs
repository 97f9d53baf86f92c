//! Reads `payrun.yaml`: every mistake at once, with its place. Secrets are resolved here, and
//! nowhere shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::zones::zone;
use payrun_yaml as yaml;
use payrun_yaml::diagnostics::{Diagnostics, SourceText};
use payrun_yaml::fields::{FieldSpec, ValueShape, check, integer_of, text_of};
use payrun_yaml::node::{MappingEntry, Position, YamlNode, parse as parse_yaml};

use super::alerts::{ALERTS_FIELD, DAILY_FIELD, MAIL_FIELD, MONTHLY_FIELD, QUIET_FIELD};
use super::calendars::{self, Calendars};
use super::{
    Config, Database, DatabaseTls, GatewayConfig, GatewayKind, INPUT_MIB, cbtis, egms, hipopay,
    retention, server, wechat,
};

/// The fields of `payrun.yaml`.
pub static CONFIG: [FieldSpec; 18] = [
    FieldSpec::required(
        "database",
        ValueShape::Either(&[ValueShape::Text, ValueShape::Secret]),
        "Where the ledger is: a SQLite file (sqlite://payrun.db or a path, relative to this file), or a PostgreSQL database \
         (postgres://user@host/name; with a password, the whole address by env or file).",
    ),
    FieldSpec::optional(
        "database_tls",
        ValueShape::Word(&DatabaseTls::WORDS),
        "How sure it must be who a PostgreSQL server on another machine is: verified (sslmode=verify-full in its address), or unverified, \
         where whoever is on the way may read and change what is said; verified if not given.",
    ),
    FieldSpec::required(
        "timezone",
        ValueShape::Text,
        "The wall clock of schedules and reports, such as Asia/Hong_Kong.",
    ),
    FieldSpec::optional(
        "jobs",
        ValueShape::Text,
        "A folder of job kinds that replace built-in ones of the same name.",
    ),
    FieldSpec::optional(
        "encryption_key",
        ValueShape::Secrets,
        "The key under which personal data is kept: base64 of 32 bytes, by env or file; of a list [new, old] the first seals, and any \
         opens.",
    ),
    FieldSpec::optional(
        "files",
        ValueShape::Text,
        "Where statements and reports go: a folder beside this file (files), or s3://bucket/prefix.",
    ),
    FieldSpec::optional(
        "workflows",
        ValueShape::Text,
        "The folder of the workflows that the service runs by their schedules; workflows if not given.",
    ),
    FieldSpec::optional(
        "inputs",
        ValueShape::List(&ValueShape::Text),
        "More folders from which runs by schedule and over the API may take item files, relative to this file's folder; those \
         of the project may be taken without.",
    ),
    FieldSpec::optional(
        "input_mib",
        ValueShape::Integer(1, 1_048_576),
        "The largest item file that is planned, in MiB: it is copied to temporary space first; 1024 if not given.",
    ),
    FieldSpec::optional(
        "server",
        ValueShape::Fields(&server::FIELDS),
        "Where the service listens.",
    ),
    FieldSpec::optional(
        "retention",
        ValueShape::Fields(&retention::FIELDS),
        "How long what is kept.",
    ),
    FieldSpec::optional(
        "calendars",
        ValueShape::Text,
        "A folder of business-day calendars, YAML, ICS or gov.hk's JSON; calendars beside this file if not given.",
    ),
    MAIL_FIELD,
    ALERTS_FIELD,
    QUIET_FIELD,
    DAILY_FIELD,
    MONTHLY_FIELD,
    FieldSpec::required(
        "gateways",
        ValueShape::Named(&ValueShape::Kinds(&KINDS)),
        "Gateway accounts by name.",
    ),
];

/// The kinds of gateway, and the fields of an account of each.
static KINDS: [(&str, &[FieldSpec]); 4] = [
    ("wechat", &wechat::FIELDS),
    ("hipopay", &hipopay::FIELDS),
    ("egms", &egms::FIELDS),
    ("cbtis", &cbtis::FIELDS),
];

/// Reads and checks a configuration file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &Path) -> Result<Config, Diagnostics> {
    read_config(&yaml::read(path, true)?, path)
}

/// Checks the text of a configuration that is to be understood as the file `path`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &str, path: &Path) -> Result<Config, Diagnostics> {
    read_config(
        &SourceText::new(&path.display().to_string(), text.to_owned(), true),
        path,
    )
}

fn read_config(source: &Arc<SourceText>, path: &Path) -> Result<Config, Diagnostics> {
    let root = parse_yaml(source)?;
    let mut reading = FileContext {
        source,
        folder: folder_of(path),
        found: Diagnostics::default(),
        open_secrets: Vec::new(),
    };
    check(
        &root,
        &ValueShape::Fields(&CONFIG),
        source,
        &mut reading.found,
    );
    let database = root.get("database").and_then(|node| reading.database(node));
    let database_tls = text_of(&root, "database_tls")
        .and_then(DatabaseTls::parse)
        .unwrap_or_default();
    let timezone = root.get("timezone").and_then(|node| reading.timezone(node));
    let mut gateways = BTreeMap::new();
    for entry in root.get("gateways").map_or(&[][..], YamlNode::entries) {
        if let Some(gateway) = reading.gateway(entry) {
            gateways.insert(entry.key.clone(), gateway);
        }
    }
    let encryption_keys = root
        .get("encryption_key")
        .and_then(|node| reading.secrets(node))
        .unwrap_or_default();
    let alerts = reading.alerts(&root, timezone.unwrap_or(chrono_tz::UTC));
    let files = text_of(&root, "files").unwrap_or("files").to_owned();
    let server = root
        .get("server")
        .map(|node| reading.server(node))
        .unwrap_or_default();
    let retention = root
        .get("retention")
        .map(|node| reading.retention(node))
        .unwrap_or_default();
    let workflows = reading
        .folder
        .join(text_of(&root, "workflows").unwrap_or("workflows"));
    let named = root
        .get("inputs")
        .map_or(&[][..], YamlNode::list)
        .iter()
        .filter_map(YamlNode::text);
    let inputs = named.map(|folder| reading.folder.join(folder)).collect();
    let input_mib = integer_of(&root, "input_mib")
        .and_then(|mib| u64::try_from(mib).ok())
        .unwrap_or(INPUT_MIB);
    let jobs = text_of(&root, "jobs").map(|folder| reading.folder.join(folder));
    let calendar_folder = reading.folder.join(
        root.get("calendars")
            .and_then(YamlNode::text)
            .unwrap_or(calendars::FOLDER),
    );
    let calendars = reading.calendars(root.get("calendars"), &calendar_folder);
    let config = database.zip(timezone);
    // A file may be named more than once.
    let mut open_secrets = std::mem::take(&mut reading.open_secrets);
    open_secrets.sort();
    open_secrets.dedup();
    let folder = reading.folder.clone();
    reading
        .found
        .or_value(config.map(|(database, timezone)| Config {
            folder,
            database,
            database_tls,
            timezone,
            jobs,
            encryption_keys,
            open_secrets,
            files,
            workflows,
            inputs,
            input_mib,
            server,
            retention,
            calendar_folder,
            calendars,
            alerts,
            gateways,
        }))
}

/// The folder of a file; `.` for a bare name.
pub fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// What is known while a file is read.
pub(super) struct FileContext<'a> {
    pub(super) source: &'a SourceText,
    pub(super) folder: PathBuf,
    pub(super) found: Diagnostics,
    /// Files of secrets that others can read, and what to do.
    pub(super) open_secrets: Vec<String>,
}

impl FileContext<'_> {
    /// Notes a mistake.
    pub(super) fn refuse(&mut self, at: Position, message: impl Into<String>, help: &str) {
        let diagnostic = self.source.diagnostic(at, message);
        self.found.push(if help.is_empty() {
            diagnostic
        } else {
            diagnostic.help(help)
        });
    }

    fn database(&mut self, node: &YamlNode) -> Option<Database> {
        const KNOWN: &str = "use sqlite://payrun.db, or postgres://user@host/name";
        let Some(text) = node.text() else {
            let address = self.secret(node)?;
            if !is_server(address.expose_secret()) {
                self.refuse(
                    node.at,
                    "this is no address of a PostgreSQL database",
                    KNOWN,
                );
                return None;
            }
            return Some(Database::Postgres(address));
        };
        let path = match text.split_once("://") {
            None => text,
            Some(("sqlite", path)) => path,
            Some(("postgres" | "postgresql", rest)) => {
                let user = rest.split_once('@').map_or("", |(user, _)| user);
                if user.contains(':') || rest.contains("password=") {
                    let help = "name the whole address by { env: NAME } or { file: path }, or the password by PGPASSWORD or ~/.pgpass";
                    self.refuse(node.at, "a password does not belong into this file", help);
                    return None;
                }
                return Some(Database::Postgres(SecretString::from(text)));
            }
            Some(_) => {
                self.refuse(node.at, "this is no database payrun knows", KNOWN);
                return None;
            }
        };
        if path.is_empty() || path == ":memory:" || path.contains('?') {
            self.refuse(
                node.at,
                "the database must be a file",
                "use sqlite://payrun.db, without options",
            );
            return None;
        }
        Some(Database::Sqlite(self.folder.join(path)))
    }

    fn timezone(&mut self, node: &YamlNode) -> Option<chrono_tz::Tz> {
        let text = node.text()?;
        match zone(text) {
            Ok(zone) => Some(zone),
            Err((message, help)) => {
                self.refuse(node.at, message, &help);
                None
            }
        }
    }

    /// The calendars of the folder that is named, or of the usual one if it is there.
    fn calendars(&mut self, node: Option<&YamlNode>, folder: &Path) -> Calendars {
        if !folder.is_dir() {
            if let Some(node) = node {
                self.refuse(
                    node.at,
                    "there is no such folder of calendars",
                    "it is relative to the folder of this file",
                );
            }
            return Calendars::new();
        }
        calendars::load(folder).unwrap_or_else(|mistakes| {
            self.found.extend(mistakes);
            Calendars::new()
        })
    }

    fn gateway(&mut self, entry: &MappingEntry) -> Option<GatewayConfig> {
        if !is_gateway_name(&entry.key) {
            let help = "1 to 31 of a-z, 0-9 and -, beginning with a letter";
            self.refuse(entry.key_at, "this is no name for a gateway", help);
        }
        let node = &entry.value;
        let kind = match text_of(node, "kind")? {
            "wechat" => GatewayKind::Wechat(self.wechat(node)?),
            "hipopay" => GatewayKind::Hipopay(self.hipopay(node)?),
            "egms" => GatewayKind::Egms(self.egms(node)?),
            "cbtis" => GatewayKind::Cbtis(self.cbtis(node)?),
            _ => return None,
        };
        Some(self.account(&entry.key, node, kind))
    }
}

fn is_server(address: &str) -> bool {
    address.starts_with("postgres://") || address.starts_with("postgresql://")
}

fn is_gateway_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=31).contains(&name.len())
        && name.as_bytes()[0].is_ascii_lowercase()
        && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Platform, WechatMode};
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use base64::Engine as _;
    use std::fs;

    const GOOD: &str = r"
database: sqlite://payrun.db
timezone: Asia/Hong_Kong
gateways:
  hk:
    kind: wechat
    mode: common
    mchid: 10000091
    appid: wxcbda96de0b165486
    merchant_key: { file: key.pem }
    merchant_serial: 5157F09EFDC096DE15EBE81A47057A7232F1B8E1
    api_v3_key: { file: v3.key }
    platform: auto
    notify_url: https://pay.example.com/wechat
";

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
        let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        fs::write(folder.path().join("key.pem"), pem).unwrap();
        fs::write(
            folder.path().join("v3.key"),
            "0123456789abcdef0123456789abcdef\n",
        )
        .unwrap();
        folder
    }

    fn mistakes(folder: &Path, text: &str) -> String {
        let path = folder.join("payrun.yaml");
        fs::write(&path, text).unwrap();
        let shown = load(&path)
            .map(|_| String::new())
            .unwrap_or_else(|found| found.to_string());
        shown.replace(&format!("{}/", folder.display()), "")
    }

    #[test]
    fn a_whole_configuration_is_read_with_its_defaults() {
        let folder = folder();
        let config = parse(GOOD, &folder.path().join("payrun.yaml")).unwrap();
        assert!(
            matches!(&config.database, Database::Sqlite(file) if *file == folder.path().join("payrun.db"))
        );
        let hk = &config.gateways["hk"];
        assert_eq!(
            (
                hk.rate.calls,
                hk.concurrency,
                hk.timeout.as_secs(),
                hk.query_interval.as_secs()
            ),
            (20, 16, 15, 10)
        );
        let GatewayKind::Wechat(wechat) = &hk.kind else {
            panic!("not what was written")
        };
        assert_eq!(wechat.base_url, "https://apihk.mch.weixin.qq.com");
        assert_eq!(wechat.platform, Platform::certificates());
        assert_eq!(
            wechat.mode,
            WechatMode::Common {
                mchid: "10000091".to_owned(),
                appid: "wxcbda96de0b165486".to_owned()
            }
        );
    }

    #[test]
    fn every_mistake_is_reported_at_once_and_no_secret_is_shown() {
        let folder = folder();
        fs::write(folder.path().join("bad.pem"), "not a key").unwrap();
        let text = r"
databse: x
timezone: Asia/Hongkong
gateways:
  HK:
    kind: wechat
    mode: institutional
    mchid: 1
    sp_mchid: a b
    sp_appid: wx1
    merchant_key: { file: bad.pem }
    merchant_serial: S
    api_v3_key: hunter2hunter2
    platform: { public_key: { file: none.pem }, id: KEY_1 }
    notify_url: https://pay.example.com/x?y=1
    base_url: http://example.com
    timeout: 15
    rate: 20 per second
";
        let shown = mistakes(folder.path(), text);
        assert!(!shown.contains("hunter2"), "{shown}");
        insta::assert_snapshot!(shown, @r##"
        payrun.yaml:2:1: unknown field "databse"
          | databse: …
          | ^
            help: did you mean "database"?
        payrun.yaml:2:1: the field "database" is missing
          | databse: …
          | ^
            help: Where the ledger is: a SQLite file (sqlite://payrun.db or a path, relative to this file), or a PostgreSQL database (postgres://user@host/name; with a password, the whole address by env or file).
        payrun.yaml:3:11: "Asia/Hongkong" is no time zone
          | timezone: Asia/Hongkong
          |           ^
            help: did you mean Asia/Hong_Kong?
        payrun.yaml:5:3: this is no name for a gateway
          |   HK:
          |   ^
            help: 1 to 31 of a-z, 0-9 and -, beginning with a letter
        payrun.yaml:7:11: mode institutional needs the field "sub_mchid"
          |     mode: institutional
          |           ^
        payrun.yaml:8:5: the field "mchid" belongs to the other mode, not to institutional
          |     mchid: 1
          |     ^
            help: mode institutional takes sp_mchid, sp_appid, sub_mchid
        payrun.yaml:9:15: sp_mchid takes 1 to 32 letters, digits, _ and -
          |     sp_mchid: a b
          |               ^
        payrun.yaml:11:19: merchant_key (from bad.pem): this is no key: a PEM that begins with -----BEGIN PRIVATE KEY----- is expected
          |     merchant_key: …
          |                   ^
            help: it is the file apiclient_key.pem
        payrun.yaml:13:17: a secret must not stand in the file itself
            help: a secret is a reference: { env: NAME } or { file: path }
        payrun.yaml:14:29: the file none.pem cannot be read: No such file or directory (os error 2)
            help: paths are relative to the folder of this file
        payrun.yaml:14:53: the id of a public key is PUB_KEY_ID_ and digits
        payrun.yaml:15:17: notify_url must not have a query
          |     notify_url: https://pay.example.com/x?y=1
          |                 ^
            help: such as https://pay.example.com/notify
        payrun.yaml:16:15: http is for this machine itself (127.0.0.1, localhost); use https
          |     base_url: http://example.com
          |               ^
            help: such as https://apihk.mch.weixin.qq.com
        payrun.yaml:17:14: expected a duration (250ms, 15s, 10m, 1h, 1d), found a whole number
          |     timeout: 15
          |              ^
        payrun.yaml:18:11: expected a rate (20/s, 600/min), found text
          |     rate: 20 per second
          |           ^
        "##);
    }

    #[test]
    fn a_secret_that_cannot_be_had_is_a_mistake_at_its_place() {
        let folder = folder();
        fs::write(folder.path().join("empty"), "\n").unwrap();
        for (reference, expected) in [
            ("{ file: gone.key }", "gone.key cannot be read"),
            ("{ file: empty }", "is empty"),
            (
                "{ env: PAYRUN_TEST_UNSET }",
                "the environment variable PAYRUN_TEST_UNSET is not set",
            ),
            ("{ env: CARGO_PKG_NAME }", "has 14 bytes; it needs 32"),
            ("{ env: a-b }", "takes the name of an environment variable"),
            (
                "{ file: key.pem, env: X }",
                "this is no reference to a secret",
            ),
        ] {
            let shown = mistakes(folder.path(), &GOOD.replace("{ file: v3.key }", reference));
            assert!(shown.contains(expected), "{reference}: {shown}");
            assert!(shown.starts_with("payrun.yaml:12:17: "), "{shown}");
        }
    }

    /// Each other kind of gateway's own account, with keys of its own in `keys/`.
    fn accounts(folder: &Path) -> String {
        let key = || {
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
                .unwrap()
        };
        for (name, text) in [
            ("hipopay/merchant_key.pem", key().serialize_pem()),
            ("hipopay/platform_public_key.pem", key().public_key_pem()),
            ("egms/sign_key.txt", "e".repeat(32)),
            ("cbtis/token_request.json", r#"{"app_id":"a"}"#.to_owned()),
            ("cbtis/api_key.txt", "c".repeat(32)),
        ] {
            let file = folder.join("keys").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        "  hipopay:
    kind: hipopay
    base_url: https://testapi.hipopay.com
    merchant_no: HP0000000001
    merchant_key: { file: keys/hipopay/merchant_key.pem }
    platform_public_key: { file: keys/hipopay/platform_public_key.pem }
    notify_url: https://example.com/payrun/notify/hipopay
  egms:
    kind: egms
    base_url: https://hkg-online-uat.everonet.com
    sid: S000001
    sign_key: { file: keys/egms/sign_key.txt }
    sign_type: SHA256
    notify_url: https://example.com/payrun/notify/egms
  cbtis:
    kind: cbtis
    base_url: https://api-live.aiscpay.com
    token_request: { path: /mch-api/v1/auth/token, body: { file: keys/cbtis/token_request.json } }
    api_key: { file: keys/cbtis/api_key.txt }
    not_found_code: 404001
    customs: { amounts: cents }
    notify_url: https://example.com/payrun/notify/cbtis
"
        .to_owned()
    }

    #[test]
    fn accounts_of_every_kind_are_read_with_their_defaults() {
        let folder = folder();
        let text = format!("{GOOD}{}", accounts(folder.path()));
        let config = parse(&text, &folder.path().join("payrun.yaml")).unwrap();
        let words: Vec<&str> = config
            .gateways
            .values()
            .map(|gateway| gateway.kind.as_str())
            .collect();
        assert_eq!(words, ["cbtis", "egms", "hipopay", "wechat"]);
        let GatewayKind::Hipopay(hipopay) = &config.gateways["hipopay"].kind else {
            panic!("not what was written")
        };
        assert_eq!(
            (hipopay.version.as_str(), hipopay.encoding),
            ("1.0", payrun_gateway::hipopay::account::Encoding::Rfc3986)
        );
        let GatewayKind::Egms(egms) = &config.gateways["egms"].kind else {
            panic!("not what was written")
        };
        assert_eq!(
            (egms.notify_path.as_str(), egms.key_id.as_deref()),
            ("/payrun/notify/egms", None)
        );
        let GatewayKind::Cbtis(cbtis) = &config.gateways["cbtis"].kind else {
            panic!("not what was written")
        };
        assert_eq!(
            (cbtis.token_header.as_str(), cbtis.token_prefix.as_str()),
            ("authorization", "Bearer ")
        );
        assert_eq!(cbtis.refund_path, "/mch-api/v1/pa/refunds/create");
        assert!(
            !format!("{config:?}").contains("PRIVATE")
                && !format!("{config:?}").contains("app_secret")
        );
    }

    #[test]
    fn what_is_wrong_with_an_account_is_told_by_its_kind() {
        let folder = folder();
        let good = accounts(folder.path());
        for (from, to, expected) in [
            (
                "kind: hipopay",
                "kind: hipopai",
                "did you mean \"hipopay\"?",
            ),
            ("    kind: egms\n", "", "the field \"kind\" is missing"),
            (
                "merchant_no: HP0000000001",
                "mchid: 1",
                "unknown field \"mchid\"",
            ),
            (
                "platform_public_key.pem",
                "merchant_key.pem",
                "this is no RSA public key",
            ),
            (
                "sign_type: SHA256",
                "sign_type: MD5",
                "expected SHA256 or SHA512 or HMAC-SHA256 or HMAC-SHA512",
            ),
            (
                "    token_request",
                "    access_token: { file: v3.key }\n    token_request",
                "exactly one of access_token",
            ),
            (
                "path: /mch-api/v1/auth/token",
                "path: token?x",
                "path is a path",
            ),
            (
                "base_url: https://api-live.aiscpay.com",
                "base_url: http://api-live.aiscpay.com",
                "use https",
            ),
        ] {
            assert!(good.contains(from), "{from}");
            let shown = mistakes(
                folder.path(),
                &format!("{GOOD}{}", good.replacen(from, to, 1)),
            );
            assert!(shown.contains(expected), "{from}: {shown}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        let folder = folder();
        let with = |url: &str| {
            GOOD.replace(
                "    mode: common",
                &format!("    mode: common\n    base_url: {url}"),
            )
        };
        for good in [
            "http://127.0.0.1:8443",
            "http://localhost",
            "http://[::1]:99",
            "https://example.com/",
        ] {
            assert_eq!(mistakes(folder.path(), &with(good)), "", "{good}");
        }
        for bad in [
            "http://127.0.0.1.example.com",
            "http://a@localhost",
            "ftp://localhost",
            "https://e.com/v3",
            "x",
            "https://",
        ] {
            assert_ne!(mistakes(folder.path(), &with(bad)), "", "{bad}");
        }
    }

    #[test]
    fn notifications_go_to_an_https_address_that_the_gateway_can_get_to() {
        let folder = folder();
        let with = |url: &str, base: &str| {
            let text = GOOD.replace("https://pay.example.com/wechat", url);
            mistakes(
                folder.path(),
                &text.replace(
                    "    mode: common",
                    &format!("    mode: common\n    base_url: {base}"),
                ),
            )
        };
        let (real, sandbox) = ("https://apihk.mch.weixin.qq.com", "http://127.0.0.1:8443");
        for (url, expected) in [
            ("http://127.0.0.1:8420/notify/hk", "must be https"),
            ("https://localhost/notify/hk", "cannot get to"),
            ("https://192.168.1.7/notify/hk", "cannot get to"),
            ("https://[fd00::1]/notify/hk", "cannot get to"),
            (
                "https://pay.example.com/notify?gateway=hk",
                "must not have a query",
            ),
            ("http://pay.example.com/notify/hk", "use https"),
        ] {
            assert!(
                with(url, real).contains(expected),
                "{url}: {}",
                with(url, real)
            );
        }
        assert_eq!(with("https://8.8.8.8/notify/hk", real), "");
        assert_eq!(with("http://127.0.0.1:8420/notify/hk", sandbox), "");
        // Each kind of gateway is on the internet.
        let good = accounts(folder.path());
        let shown = mistakes(
            folder.path(),
            &format!(
                "{GOOD}{}",
                good.replace(
                    "https://example.com/payrun/notify",
                    "http://127.0.0.1/notify"
                )
            ),
        );
        assert_eq!(shown.matches("must be https").count(), 3, "{shown}");
    }

    /// A public key as a file of the folder, and its entry.
    fn public_key(folder: &Path, name: &str) -> String {
        let key =
            rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
                .unwrap();
        fs::write(folder.join(name), key.public_key_pem()).unwrap();
        format!("{{ public_key: {{ file: {name} }}, id: PUB_KEY_ID_{name} }}")
    }

    #[test]
    fn a_platform_is_one_key_or_a_list_of_which_any_verifies() {
        let folder = folder();
        let (new, old) = (
            public_key(folder.path(), "new"),
            public_key(folder.path(), "old"),
        );
        let with =
            |platform: &str| GOOD.replace("platform: auto", &format!("platform: {platform}"));
        let read = |platform: &str| {
            let config = parse(&with(platform), &folder.path().join("payrun.yaml")).unwrap();
            let GatewayKind::Wechat(wechat) = &config.gateways["hk"].kind else {
                panic!("not what was written")
            };
            let ids: Vec<String> = wechat
                .platform
                .public_keys
                .iter()
                .map(|key| key.id.clone())
                .collect();
            (wechat.platform.certificates, ids.join(" "))
        };
        assert_eq!(read("auto"), (true, String::new()));
        assert_eq!(read(&new), (false, "PUB_KEY_ID_new".to_owned()));
        assert_eq!(
            read(&format!("[{new}, {old}, auto]")),
            (true, "PUB_KEY_ID_new PUB_KEY_ID_old".to_owned())
        );
        for (platform, expected) in [
            ("[]".to_owned(), "the list is empty"),
            (format!("[{new}, {new}]"), "the same key twice"),
            ("[auto, auto]".to_owned(), "the same key twice"),
            ("[manual]".to_owned(), "expected auto"),
            (
                "[{ public_key: { file: v3.key }, id: PUB_KEY_ID_1 }]".to_owned(),
                "this is no public key",
            ),
        ] {
            let shown = mistakes(folder.path(), &with(&platform));
            assert!(shown.contains(expected), "{platform}: {shown}");
        }
    }

    #[test]
    fn a_merchant_key_is_one_or_a_list_in_the_order_of_their_times() {
        let folder = folder();
        let with = |list: &str| {
            let single = "merchant_key: { file: key.pem }\n    merchant_serial: 5157F09EFDC096DE15EBE81A47057A7232F1B8E1";
            GOOD.replace(single, &format!("merchant_key:\n{list}"))
        };
        let key = |serial: &str, from: &str| {
            format!("      - {{ serial: {serial}, key: {{ file: key.pem }}{from} }}\n")
        };
        let (first, second) = (
            key("A1", ""),
            key("B2", ", from: 2026-12-01T10:00:00+08:00"),
        );
        let good = with(&format!("{first}{second}"));
        let config = parse(&good, &folder.path().join("payrun.yaml"))
            .unwrap_or_else(|found| panic!("{found}"));
        let GatewayKind::Wechat(wechat) = &config.gateways["hk"].kind else {
            panic!("not what was written")
        };
        let times: Vec<Option<String>> = wechat
            .merchant_keys
            .iter()
            .map(|key| key.from.map(|from| from.to_string()))
            .collect();
        assert_eq!(times, [None, Some("2026-12-01T02:00:00Z".to_owned())]);
        for (list, expected) in [
            ("      []\n".to_owned(), "the list is empty"),
            (
                second.clone(),
                "the first key is used until the next one is",
            ),
            (
                format!("{first}{}", key("B2", "")),
                "every key but the first needs from",
            ),
            (
                format!(
                    "{first}{second}{}",
                    key("C3", ", from: 2026-11-01T00:00:00Z")
                ),
                "in the order of their times",
            ),
            (
                format!("{first}{}", key("a1", ", from: 2026-11-01T00:00:00Z")),
                "two keys have the same serial",
            ),
            (
                format!("{first}{}", key("B2", ", from: tomorrow")),
                "from is an instant",
            ),
            (
                format!("{first}    merchant_serial: A1\n"),
                "each key has its own",
            ),
        ] {
            let shown = mistakes(folder.path(), &with(&list));
            assert!(shown.contains(expected), "{list}: {shown}");
        }
        let shown = mistakes(
            folder.path(),
            &GOOD.replace(
                "    merchant_serial: 5157F09EFDC096DE15EBE81A47057A7232F1B8E1\n",
                "",
            ),
        );
        assert!(
            shown.contains("the field \"merchant_serial\" is missing"),
            "{shown}"
        );
    }

    #[test]
    fn the_secrets_of_notifications_may_be_lists_and_each_is_checked() {
        let folder = folder();
        let good = accounts(folder.path());
        let files = ["platform_public_key.pem", "sign_key.txt", "api_key.txt"];
        let mut listed = good.clone();
        for (file, gateway) in files.iter().zip(["hipopay", "egms", "cbtis"]) {
            let one = format!("{{ file: keys/{gateway}/{file} }}");
            assert!(good.contains(&one), "{good}");
            listed = listed.replace(&one, &format!("[{one}, {one}]"));
        }
        let listed = format!("{GOOD}{listed}").replace(
            "api_v3_key: { file: v3.key }",
            "api_v3_key: [{ file: v3.key }, { file: v3.key }]",
        );
        assert_eq!(mistakes(folder.path(), &listed), "");
        let config = parse(&listed, &folder.path().join("payrun.yaml")).unwrap();
        let GatewayKind::Egms(egms) = &config.gateways["egms"].kind else {
            panic!("not what was written")
        };
        assert_eq!(egms.sign_keys.len(), 2);
        for (from, to, expected) in [
            (
                "[{ file: v3.key }, { file: v3.key }]",
                "[{ file: v3.key }, hunter2]",
                "a secret must not stand in the file",
            ),
            (
                "[{ file: v3.key }, { file: v3.key }]",
                "[]",
                "a list of secrets has 1 to 8",
            ),
            (
                "{ file: keys/egms/sign_key.txt }]",
                "{ file: gone }]",
                "gone cannot be read",
            ),
            (
                "{ file: keys/hipopay/platform_public_key.pem }]",
                "{ file: v3.key }]",
                "this is no RSA public key",
            ),
        ] {
            assert!(listed.contains(from), "{from}: {listed}");
            let shown = mistakes(folder.path(), &listed.replacen(from, to, 1));
            assert!(
                shown.contains(expected) && !shown.contains("hunter2"),
                "{to}: {shown}"
            );
        }
    }

    #[test]
    fn a_file_or_a_server_is_taken_as_database_and_a_password_only_by_reference() {
        let folder = folder();
        let with =
            |database: &str| mistakes(folder.path(), &GOOD.replace("sqlite://payrun.db", database));
        assert_eq!(with("data/payrun.db"), "");
        assert_eq!(with("postgres://u@h:5433/db?sslmode=verify-full"), "");
        for address in [
            "postgres://u:hunter2@h/db",
            "postgres://u@h/db?password=hunter2",
        ] {
            assert!(
                with(address).contains("a password does not belong"),
                "{address}"
            );
            assert!(!with(address).contains("hunter2"), "{address}");
        }
        fs::write(folder.path().join("address"), "postgres://u:hunter2@h/db\n").unwrap();
        assert_eq!(with("{ file: address }"), "");
        fs::write(folder.path().join("address"), "mysql://u:hunter2@h/db\n").unwrap();
        assert!(with("{ file: address }").contains("no address of a PostgreSQL database"));
        assert!(with("mysql://h/db").contains("no database payrun knows"));
        assert!(with("\"sqlite://:memory:\"").contains("must be a file"));
    }

    #[test]
    fn a_file_that_is_missing_or_no_text_is_a_diagnostic() {
        let folder = folder();
        assert!(
            load(&folder.path().join("gone.yaml"))
                .unwrap_err()
                .to_string()
                .contains("cannot be read")
        );
        fs::write(folder.path().join("bin.yaml"), [0xff, 0xfe]).unwrap();
        assert!(
            load(&folder.path().join("bin.yaml"))
                .unwrap_err()
                .to_string()
                .contains("not UTF-8")
        );
    }
}
