//! One conversation with a mail server (RFC 5321), by lettre, command by command: what is refused
//! tells by where it is refused.
//!
//! A server that turns *us* away (no connection, TLS, login, sender) may be mended, so the mail
//! waits. A server that refuses *the recipient or the mail* for good (5xx) is believed.

use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MultiPart};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use lettre::transport::smtp::{Error, commands::Rset};
use lettre::{Address, Message};
use secrecy::ExposeSecret;

use super::attachments::MailAttachment;
use payrun_domain::text::{visible, visible_lines};
use payrun_domain::time::Timestamp;
use payrun_ledger::NewMail;
use payrun_project::config::{MailConfig, MailSecurity};

/// How long saying good-bye may take.
const GOOD_BYE: Duration = Duration::from_secs(2);

/// What became of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// The server took it, and said this.
    Taken(String),
    /// It is refused for good.
    Refused(String),
    /// It was not taken, or nobody knows; it may be another time.
    NotNow(String),
    /// No server was there, or it let nobody in.
    NoServer(String),
}

/// A mail as it is sent.
#[derive(Debug, Clone)]
pub(super) struct OutgoingMail {
    /// What it says.
    pub mail: NewMail,
    /// When it was made.
    pub made_at: Timestamp,
    /// What hangs on it.
    pub attachments: Vec<MailAttachment>,
}

impl OutgoingMail {
    /// One on which nothing hangs.
    pub const fn plain(mail: NewMail, made_at: Timestamp) -> Self {
        Self {
            mail,
            made_at,
            attachments: Vec::new(),
        }
    }
}

/// How a mail server is talked to.
#[derive(Clone)]
pub(super) struct Mailer {
    config: MailConfig,
    tls: Option<TlsParameters>,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Mailer {
    /// With these settings.
    pub fn new(config: &MailConfig) -> Result<Self, String> {
        let tls = match config.security {
            MailSecurity::None => None,
            MailSecurity::Tls | MailSecurity::StartTls => {
                Some(tls(config).map_err(|error| error.to_string())?)
            }
        };
        Ok(Self {
            config: config.clone(),
            tls,
        })
    }

    /// Sends mails one after the other, by one connection as long as that lasts.
    pub async fn send(&self, mails: &[OutgoingMail]) -> Vec<SendOutcome> {
        let mut connection = None;
        let mut outcomes: Vec<SendOutcome> = Vec::with_capacity(mails.len());
        for mail in mails {
            // A server that is away is not waited for once for each mail.
            if let Some(SendOutcome::NoServer(why)) = outcomes.last() {
                outcomes.push(SendOutcome::NoServer(why.clone()));
                continue;
            }
            let (tried, kept) = self.send_one(connection.take(), mail).await;
            outcomes.push(tried);
            connection = kept;
        }
        if let Some(mut connection) = connection {
            tokio::time::timeout(GOOD_BYE, connection.quit()).await.ok();
        }
        outcomes
    }

    async fn send_one(
        &self,
        connection: Option<AsyncSmtpConnection>,
        mail: &OutgoingMail,
    ) -> (SendOutcome, Option<AsyncSmtpConnection>) {
        let (envelope, bytes) = match self.written(mail) {
            Ok(written) => written,
            Err(why) => return (SendOutcome::Refused(why), connection),
        };
        let mut connection = match connection {
            Some(open) => open,
            None => match self.with_timeout(self.connect()).await {
                Ok(open) => open,
                Err(why) => return (SendOutcome::NoServer(why), None),
            },
        };
        let Ok(tried) = tokio::time::timeout(
            self.config.timeout,
            talk(&mut connection, &envelope, &bytes),
        )
        .await
        else {
            return (
                SendOutcome::NotNow(format!(
                    "no answer within {} s",
                    self.config.timeout.as_secs()
                )),
                None,
            );
        };
        let usable =
            matches!(tried, SendOutcome::Taken(_)) || connection.command(Rset).await.is_ok();
        (
            tried,
            (usable && !connection.has_broken()).then_some(connection),
        )
    }

    async fn with_timeout<T>(
        &self,
        work: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        let waited = tokio::time::timeout(self.config.timeout, work).await;
        waited.unwrap_or_else(|_| {
            Err(format!(
                "no answer within {} s",
                self.config.timeout.as_secs()
            ))
        })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, String> {
        let MailConfig {
            host,
            port,
            security,
            login,
            from,
            timeout,
            ..
        } = &self.config;
        let hello = ClientId::Domain(from.email.domain().to_owned());
        let place = |what: &str, error: Error| format!("{what} {host}:{port}: {}", reason(&error));
        let wrapped = self.tls.clone().filter(|_| *security == MailSecurity::Tls);
        let connecting = AsyncSmtpConnection::connect_tokio1(
            (host.as_str(), *port),
            Some(*timeout),
            &hello,
            wrapped,
            None,
        );
        let mut connection = connecting
            .await
            .map_err(|error| place("cannot connect to", error))?;
        if let Some(tls) = self
            .tls
            .clone()
            .filter(|_| *security == MailSecurity::StartTls)
        {
            connection
                .starttls(tls, &hello)
                .await
                .map_err(|error| place("no STARTTLS with", error))?;
        }
        if let Some((user, password)) = login {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            let login = connection.auth(DEFAULT_MECHANISMS, &credentials).await;
            login.map_err(|error| place("not let in by", error))?;
        }
        Ok(connection)
    }

    /// The envelope, and the mail as it goes over the wire.
    fn written(&self, outgoing: &OutgoingMail) -> Result<((Address, Address), Vec<u8>), String> {
        let OutgoingMail {
            mail,
            made_at,
            attachments,
        } = outgoing;
        let to: Address = mail
            .recipient
            .parse()
            .map_err(|_| "this is no e-mail address".to_owned())?;
        let made = UNIX_EPOCH + Duration::from_millis(u64::try_from(made_at.millis()).unwrap_or(0));
        let header = |name: &str, value: &str| {
            let name =
                HeaderName::new_from_ascii(name.to_owned()).map_err(|error| error.to_string())?;
            Ok::<_, String>(HeaderValue::new(name, value.to_owned()))
        };
        let text = MultiPart::alternative_plain_html(
            visible_lines(&mail.plain).into_owned(),
            visible_lines(&mail.html).into_owned(),
        );
        let message = Message::builder()
            .from(self.config.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(visible(&mail.subject).into_owned())
            .message_id(Some(mail.message_id.clone()))
            .date(made)
            // No holiday's answering machine answers to this (RFC 3834).
            .raw_header(header("Auto-Submitted", "auto-generated")?)
            .multipart(with_files(text, attachments)?)
            .map_err(|error| error.to_string())?;
        Ok(((self.config.from.email.clone(), to), message.formatted()))
    }
}

/// The text, and what hangs on it.
fn with_files(text: MultiPart, files: &[MailAttachment]) -> Result<MultiPart, String> {
    if files.is_empty() {
        return Ok(text);
    }
    let mut whole = MultiPart::mixed().multipart(text);
    for file in files {
        let media =
            ContentType::parse(media_type(&file.name)).map_err(|error| error.to_string())?;
        let part = Attachment::new(file.name.clone()).body(file.content.clone(), media);
        whole = whole.singlepart(part);
    }
    Ok(whole)
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("xlsx") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Some("html") => "text/html; charset=utf-8",
        Some(_) | None => "application/octet-stream",
    }
}

fn tls(config: &MailConfig) -> Result<TlsParameters, Error> {
    let builder = TlsParametersBuilder::new(config.host.clone());
    match &config.ca {
        None => builder.build(),
        // Who names an authority trusts no other.
        Some(pem) => {
            let authority = Certificate::from_pem(pem.as_bytes())?;
            builder
                .certificate_store(CertificateStore::None)
                .add_root_certificate(authority)
                .build()
        }
    }
}

/// Gives one mail.
async fn talk(
    connection: &mut AsyncSmtpConnection,
    (from, to): &(Address, Address),
    mail: &[u8],
) -> SendOutcome {
    if let Err(error) = connection
        .command(Mail::new(Some(from.clone()), Vec::new()))
        .await
    {
        return SendOutcome::NotNow(format!("the sender is refused: {}", reason(&error)));
    }
    if let Err(error) = connection.command(Rcpt::new(to.clone(), Vec::new())).await {
        return judged("the recipient", &error);
    }
    if let Err(error) = connection.command(Data).await {
        return judged("the mail", &error);
    }
    match connection.message(mail).await {
        Ok(response) => SendOutcome::Taken(response_text(&response)),
        Err(error) => judged("the mail", &error),
    }
}

fn judged(what: &str, error: &Error) -> SendOutcome {
    let said = format!("{what} was not taken: {}", reason(error));
    if error.is_permanent() {
        SendOutcome::Refused(said)
    } else {
        SendOutcome::NotNow(said)
    }
}

fn response_text(response: &Response) -> String {
    let words: Vec<&str> = response.message().collect();
    printable(&format!("{} {}", response.code(), words.join(" ")))
}

fn reason(error: &Error) -> String {
    printable(&error.to_string())
}

fn printable(text: &str) -> String {
    visible(text).chars().take(300).collect()
}
