//! `mail`, `alerts`, `quiet_hours` and `daily` of `payrun.yaml`, and the rules of workflow files:
//! who hears of what, and how.

use std::str::FromStr;
use std::time::Duration;

use lettre::Address;
use lettre::message::Mailbox;
use lettre::transport::smtp::client::Certificate;
use secrecy::SecretString;

use super::load::FileContext;
use super::urls::is_loopback;
use payrun_domain::alert::{
    AlertKind, AlertRule, QuietHours, Timing, UNKNOWN_FOR, UNREACHABLE_FOR, time_of_day,
};
use payrun_domain::schedule::{FiringInterval, Schedule};
use payrun_yaml::fields::{FieldSpec, SECRET, ValueShape, duration_of, integer_of, text_of};
use payrun_yaml::node::{Position, YamlNode};

/// The longest `after`: events older than this are not looked for.
const AFTER_MAX: Duration = Duration::from_secs(30 * 86_400);

/// The most addresses of one rule.
const TO_MAX: usize = 50;

/// How mails are sent, and to whom.
#[derive(Debug, Clone, Default)]
pub struct AlertsConfig {
    /// The mail server; without one nothing is mailed.
    pub mail: Option<MailConfig>,
    /// Who hears of what, of all workflows.
    pub rules: Vec<AlertRule>,
    /// When what can wait does wait.
    pub quiet_hours: Option<QuietHours>,
    /// When the day's sums are sent, and to whom.
    pub daily: Option<DailyMail>,
    /// When the report of a month is made, and to whom it is sent.
    pub monthly: Option<MonthlyReport>,
}

/// The report of a month.
#[derive(Debug, Clone)]
pub struct MonthlyReport {
    /// When that of the month before is made.
    pub at: Schedule,
    /// To whom it is sent; it is made where this is nobody, too.
    pub to: Vec<String>,
}

/// The daily mail.
#[derive(Debug, Clone)]
pub struct DailyMail {
    /// When.
    pub at: Schedule,
    /// To whom.
    pub to: Vec<String>,
}

/// A mail server.
#[derive(Debug, Clone)]
pub struct MailConfig {
    /// Its name, which its certificate must have.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub security: MailSecurity,
    /// Who we are there; none where it asks nobody.
    pub login: Option<(String, SecretString)>,
    /// Whom mails are from.
    pub from: Mailbox,
    /// The only certificates that vouch for the server, as PEM; the machine's if none are given.
    pub ca: Option<String>,
    /// How long a connection, and then each mail, may take.
    pub timeout: Duration,
}

/// How the connection to a mail server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the beginning.
    Tls,
    /// TLS by STARTTLS, or nothing is sent.
    StartTls,
    /// None: for a server on this machine.
    None,
}

impl MailSecurity {
    const WORDS: [&str; 3] = ["tls", "starttls", "none"];

    fn parse(word: &str) -> Option<Self> {
        match word {
            "tls" => Some(Self::Tls),
            "starttls" => Some(Self::StartTls),
            "none" => Some(Self::None),
            _ => None,
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Tls => 465,
            Self::StartTls => 587,
            Self::None => 25,
        }
    }
}

const ON: FieldSpec = FieldSpec::required("on", ValueShape::Word(&AlertKind::WORDS), "On what.");
const AFTER: FieldSpec = FieldSpec::optional(
    "after",
    ValueShape::Duration,
    "How long it must have lasted; for not_started and not_finished, how long after the schedule's time.",
);
const BY: FieldSpec = FieldSpec::optional(
    "by",
    ValueShape::Text,
    "For not_started and not_finished: by which time of day, on days on which the schedule fires, such as \"09:45\".",
);
const TO: FieldSpec = FieldSpec::required(
    "to",
    ValueShape::List(&ValueShape::Text),
    "To whom: e-mail addresses.",
);

/// The fields of a rule in a workflow file.
pub static WORKFLOW_RULE: [FieldSpec; 4] = [ON, AFTER, BY, TO];

static RULE: [FieldSpec; 5] = [
    ON,
    AFTER,
    BY,
    FieldSpec::optional(
        "workflow",
        ValueShape::Text,
        "Of which workflow only; of all if not given.",
    ),
    TO,
];

static MAIL: [FieldSpec; 8] = [
    FieldSpec::required("host", ValueShape::Text, "The name of the mail server."),
    FieldSpec::optional(
        "port",
        ValueShape::Integer(1, 65_535),
        "Its port; 465, 587 or 25 by security if not given.",
    ),
    FieldSpec::required(
        "security",
        ValueShape::Word(&MailSecurity::WORDS),
        "tls from the beginning, starttls, or none for a server on this machine.",
    ),
    FieldSpec::optional("user", ValueShape::Text, "Who we are at the server."),
    FieldSpec::optional("password", ValueShape::Secret, "And the password."),
    FieldSpec::required(
        "from",
        ValueShape::Text,
        "Whom mails are from: payrun <payrun@example.com>.",
    ),
    FieldSpec::optional(
        "ca",
        ValueShape::Fields(&SECRET),
        "The certificate of a private authority that vouches for the server, as PEM; the machine's if not given.",
    ),
    FieldSpec::optional(
        "timeout",
        ValueShape::Duration,
        "How long a connection or a mail may take; 30s if not given.",
    ),
];

static QUIET: [FieldSpec; 2] = [
    FieldSpec::required(
        "from",
        ValueShape::Text,
        "From which time of day, such as \"22:00\".",
    ),
    FieldSpec::required("to", ValueShape::Text, "To which, such as \"07:00\"."),
];

static DAILY: [FieldSpec; 2] = [
    FieldSpec::required(
        "at",
        ValueShape::Text,
        "The time of day, such as \"08:00\".",
    ),
    FieldSpec::required(
        "to",
        ValueShape::List(&ValueShape::Text),
        "To whom: e-mail addresses.",
    ),
];

/// The days of a month.
const DAYS: std::ops::RangeInclusive<i64> = 1..=31;

static MONTHLY: [FieldSpec; 3] = [
    FieldSpec::optional(
        "on",
        ValueShape::Integer(*DAYS.start(), *DAYS.end()),
        "The day of the next month: 2 if not given; 31 is the last of a shorter one.",
    ),
    FieldSpec::optional(
        "at",
        ValueShape::Text,
        "The time of day: \"08:00\" if not given.",
    ),
    FieldSpec::optional(
        "to",
        ValueShape::List(&ValueShape::Text),
        "To whom it is sent: e-mail addresses; to nobody if not given.",
    ),
];

static A_RULE: ValueShape = ValueShape::Fields(&RULE);
static DAILY_FORMS: [ValueShape; 2] = [ValueShape::Text, ValueShape::Fields(&DAILY)];

pub(super) const MAIL_FIELD: FieldSpec = FieldSpec::optional(
    "mail",
    ValueShape::Fields(&MAIL),
    "The mail server that alerts are sent by.",
);
pub(super) const ALERTS_FIELD: FieldSpec = FieldSpec::optional(
    "alerts",
    ValueShape::List(&A_RULE),
    "Who hears of what, of all workflows.",
);
pub(super) const QUIET_FIELD: FieldSpec = FieldSpec::optional(
    "quiet_hours",
    ValueShape::Fields(&QUIET),
    "When what can wait waits until they are over.",
);
pub(super) const DAILY_FIELD: FieldSpec = FieldSpec::optional(
    "daily",
    ValueShape::Either(&DAILY_FORMS),
    "When the sums of the day are sent: a time of day, for all whom the alerts of this file go to; or at and to.",
);

pub(super) const MONTHLY_FIELD: FieldSpec = FieldSpec::optional(
    "monthly",
    ValueShape::Fields(&MONTHLY),
    "When the service makes the report of the month before, under reports/months of files, and to whom it is sent: { on: 2, at: \"08:00\", to: \
     [finance@example.com] }.",
);

impl FileContext<'_> {
    /// All of it; `zone` is the wall clock.
    pub(super) fn alerts(&mut self, root: &YamlNode, zone: chrono_tz::Tz) -> AlertsConfig {
        let mail = root.get("mail").and_then(|node| self.mail(node));
        let nodes = root.get("alerts").map_or(&[][..], YamlNode::list);
        let mut refuse = |at, message: String, help: &str| self.refuse(at, message, help);
        let rules: Vec<AlertRule> = nodes
            .iter()
            .filter_map(|node| rule(node, text_of(node, "workflow"), &mut refuse))
            .collect();
        let quiet_hours = root
            .get("quiet_hours")
            .and_then(|node| self.quiet_hours(node, zone));
        let daily = root
            .get("daily")
            .and_then(|node| self.daily(node, &rules, zone));
        let monthly = root
            .get("monthly")
            .and_then(|node| self.monthly(node, zone));
        if mail.is_none() && root.get("mail").is_none() {
            let monthly = root.get("monthly").and_then(|node| node.get("to"));
            let monthly = monthly.map(|node| ("monthly: to", node));
            let others = ["alerts", "daily"].map(|name| Some((name, root.get(name)?)));
            for (name, node) in others.into_iter().flatten().chain(monthly) {
                self.refuse(
                    node.at,
                    format!("{name} needs mail: the server that it is sent by"),
                    MAIL_FIELD.doc,
                );
            }
        }
        AlertsConfig {
            mail,
            rules,
            quiet_hours,
            daily,
            monthly,
        }
    }

    fn monthly(&mut self, node: &YamlNode, zone: chrono_tz::Tz) -> Option<MonthlyReport> {
        // What else stands there, its field has refused.
        let day = match node.get("on") {
            None => 2,
            Some(_) => integer_of(node, "on").filter(|day| DAYS.contains(day))?,
        };
        let time = text_of(node, "at").unwrap_or("08:00");
        let at = Schedule::every(&FiringInterval::Month(day), time, zone);
        let at = at
            .map_err(|error| self.refuse(node.at, error.to_string(), ""))
            .ok()?;
        let to = match node.get("to") {
            Some(to) => addresses(to, &mut |at, message, help| self.refuse(at, message, help))?,
            None => Vec::new(),
        };
        Some(MonthlyReport { at, to })
    }

    fn mail(&mut self, node: &YamlNode) -> Option<MailConfig> {
        let host = self.host(node);
        let security = text_of(node, "security").and_then(MailSecurity::parse)?;
        let given = integer_of(node, "port").and_then(|port| u16::try_from(port).ok());
        if let Some(host) = host
            .as_deref()
            .filter(|host| security == MailSecurity::None && !is_loopback(host))
        {
            let at = node.get("security").map_or(node.at, |node| node.at);
            let message = format!("security: none is for a server on this machine, not for {host}");
            self.refuse(at, message, "use tls or starttls");
        }
        let login = self.login(node);
        let from = node.get("from").and_then(|node| self.mailbox(node));
        let ca = node.get("ca").and_then(|node| self.authority(node));
        let timeout = duration_of(node, "timeout").unwrap_or(Duration::from_secs(30));
        if !(Duration::from_secs(1)..=Duration::from_secs(60)).contains(&timeout) {
            let at = node.get("timeout").map_or(node.at, |node| node.at);
            self.refuse(at, "timeout takes 1s to 60s", "");
        }
        Some(MailConfig {
            host: host?,
            port: given.unwrap_or(security.port()),
            security,
            login: login?,
            from: from?,
            ca,
            timeout,
        })
    }

    fn host(&mut self, node: &YamlNode) -> Option<String> {
        let value = node.get("host")?;
        let host = value.text()?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':');
        if (1..=253).contains(&host.len()) && host.bytes().all(allowed) {
            return Some(host.to_owned());
        }
        self.refuse(
            value.at,
            "host is the name or address of a mail server",
            "such as smtp.example.com",
        );
        None
    }

    /// Both or neither of user and password; none if something is wrong.
    fn login(&mut self, node: &YamlNode) -> Option<Option<(String, SecretString)>> {
        match (text_of(node, "user"), node.get("password")) {
            (None, None) => Some(None),
            (Some(user), Some(password)) => Some(Some((user.to_owned(), self.secret(password)?))),
            (Some(_), None) | (None, Some(_)) => {
                self.refuse(
                    node.at,
                    "user and password belong together",
                    "give both, or neither",
                );
                None
            }
        }
    }

    fn mailbox(&mut self, node: &YamlNode) -> Option<Mailbox> {
        match Mailbox::from_str(node.text()?) {
            Ok(mailbox) => Some(mailbox),
            Err(_) => {
                self.refuse(
                    node.at,
                    "this is no e-mail address",
                    "such as payrun <payrun@example.com>",
                );
                None
            }
        }
    }

    fn authority(&mut self, node: &YamlNode) -> Option<String> {
        let pem = self.public(node)?;
        if pem.contains("-----BEGIN CERTIFICATE-----")
            && Certificate::from_pem(pem.as_bytes()).is_ok()
        {
            return Some(pem);
        }
        let message = format!(
            "ca ({}): a certificate as PEM is expected",
            super::secrets::origin(node)
        );
        self.refuse(
            node.at,
            message,
            "it begins with -----BEGIN CERTIFICATE-----",
        );
        None
    }

    fn quiet_hours(&mut self, node: &YamlNode, zone: chrono_tz::Tz) -> Option<QuietHours> {
        let quiet = QuietHours::new(text_of(node, "from")?, text_of(node, "to")?, zone);
        quiet
            .map_err(|error| self.refuse(node.at, error.to_string(), ""))
            .ok()
    }

    fn daily(
        &mut self,
        node: &YamlNode,
        rules: &[AlertRule],
        zone: chrono_tz::Tz,
    ) -> Option<DailyMail> {
        let time = node.text().or_else(|| text_of(node, "at"))?;
        let at = Schedule::every(&FiringInterval::Day, time, zone);
        let at = at
            .map_err(|error| self.refuse(node.at, error.to_string(), ""))
            .ok()?;
        let to = match node.get("to") {
            Some(to) => addresses(to, &mut |at, message, help| self.refuse(at, message, help))?,
            None => everybody(rules),
        };
        if to.is_empty() {
            self.refuse(
                node.at,
                "nobody would get the daily mail",
                "write { at: \"08:00\", to: [you@example.com] }",
            );
        }
        Some(DailyMail { at, to })
    }
}

fn everybody(rules: &[AlertRule]) -> Vec<String> {
    let all: std::collections::BTreeSet<&String> = rules.iter().flat_map(|rule| &rule.to).collect();
    all.into_iter().cloned().collect()
}

/// A checked rule of either file, about one workflow or all; what is wrong is refused at its place.
pub(crate) fn rule(
    node: &YamlNode,
    workflow: Option<&str>,
    refuse: &mut impl FnMut(Position, String, &str),
) -> Option<AlertRule> {
    let on = text_of(node, "on").and_then(AlertKind::parse)?;
    let to = addresses(node.get("to")?, refuse);
    let by = node
        .get("by")
        .map(|by| (by.at, by.text().and_then(time_of_day)));
    if let Some((at, None)) = by {
        refuse(at, "by takes a time of day".to_owned(), "such as \"09:45\"");
        return None;
    }
    let (by, after) = (by.and_then(|(_, time)| time), duration_of(node, "after"));
    if let Some(mistake) = mistimed(on, by.is_some(), after) {
        refuse(node.at, format!("{}: {mistake}", on.as_str()), "");
        return None;
    }
    if matches!(on, AlertKind::Disk | AlertKind::Database) && workflow.is_some() {
        refuse(
            node.at,
            format!("{} is about no workflow", on.as_str()),
            "write it in payrun.yaml, without workflow",
        );
        return None;
    }
    let default = if on == AlertKind::Unknown {
        UNKNOWN_FOR
    } else if on == AlertKind::GatewayUnreachable {
        UNREACHABLE_FOR
    } else {
        Duration::ZERO
    };
    let workflow = workflow.map(str::to_owned);
    Some(AlertRule {
        on,
        after: after.unwrap_or(default),
        by,
        workflow,
        to: to?,
    })
}

fn mistimed(on: AlertKind, by: bool, after: Option<Duration>) -> Option<&'static str> {
    if after.is_some_and(|after| after > AFTER_MAX) {
        return Some("after takes at most 30d");
    }
    match (on.timing(), by, after.is_some()) {
        (Timing::Needed, true, true) | (Timing::Needed, false, false) => {
            Some("exactly one of after (the schedule's time) and by (a time of day) is needed")
        }
        (Timing::AtOnce | Timing::After, true, _) => Some("by is for not_started and not_finished"),
        (Timing::AtOnce, false, true) => Some("it is told at once, and takes no after"),
        (Timing::Needed, _, _) | (Timing::After, false, _) | (Timing::AtOnce, false, false) => None,
    }
}

fn addresses(
    node: &YamlNode,
    refuse: &mut impl FnMut(Position, String, &str),
) -> Option<Vec<String>> {
    let nodes = node.list();
    if nodes.is_empty() || nodes.len() > TO_MAX {
        refuse(node.at, format!("to takes 1 to {TO_MAX} addresses"), "");
        return None;
    }
    let mut sound = true;
    let mut to = Vec::with_capacity(nodes.len());
    for node in nodes {
        match node.text().map(Address::from_str) {
            Some(Ok(address)) => to.push(address.to_string()),
            Some(Err(_)) | None => {
                refuse(
                    node.at,
                    "this is no e-mail address".to_owned(),
                    "such as billing@example.com",
                );
                sound = false;
            }
        }
    }
    sound.then_some(to)
}
