//! A real SMTP server on loopback (`tests/smtp/server.py`), with a certificate of its own.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpSocket;

/// Names the Python that has aiosmtpd. Not being given one is a failure, so that nobody takes half
/// of the tests for all.
const PYTHON: &str = "PAYRUN_TEST_SMTP";

/// Who may send by it.
pub const USER: &str = "payrun";
pub const PASSWORD: &str = "hunter2";

/// A server that listens until it is dropped.
pub struct MailServer {
    listens: Listens,
    folder: TempDir,
    port: u16,
    security: &'static str,
}

enum Listens {
    Process(Child),
    /// Nobody does, and as long as this is held nobody else can.
    Nobody(#[expect(dead_code, reason = "held for its port")] TcpSocket),
}

impl MailServer {
    /// One that is dead: whoever connects is refused.
    pub fn dead() -> Self {
        let held = TcpSocket::new_v4().unwrap();
        held.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let port = held.local_addr().unwrap().port();
        Self {
            listens: Listens::Nobody(held),
            folder: tempfile::tempdir().unwrap(),
            port,
            security: "none",
        }
    }

    /// Without TLS and login, in this mood.
    pub fn plain(mood: Value) -> Self {
        Self::start("none", mood)
    }

    /// With TLS (`tls`, `starttls`) and login.
    pub fn secured(security: &'static str) -> Self {
        Self::start(security, json!({ "user": USER, "password": PASSWORD }))
    }

    /// With a login too, and in this mood.
    pub fn start(security: &'static str, mut settings: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certify(folder.path());
        settings["security"] = security.into();
        settings["cert"] = path(&folder, "cert.pem").into();
        settings["key"] = path(&folder, "key.pem").into();
        let python = std::env::var(PYTHON).unwrap_or_else(|_| {
            panic!(
                "{PYTHON} is not set: run tests/run.sh, or name the Python of a venv with tests/smtp/requirements.txt"
            )
        });
        let mut child = Command::new(python)
            .arg(super::root().join("tests/smtp/server.py"))
            .args([path(&folder, "mails.jsonl"), settings.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut port)
            .unwrap();
        let port = port.trim().parse().expect("the mail server listens");
        Self {
            listens: Listens::Process(child),
            folder,
            port,
            security,
        }
    }

    /// `mail:` of payrun.yaml for it.
    pub fn yaml(&self) -> String {
        let Self { port, security, .. } = self;
        let mut yaml = format!(
            "mail:\n  host: localhost\n  port: {port}\n  security: {security}\n  from: payrun <payrun@example.com>\n  timeout: 5s\n"
        );
        if *security != "none" {
            let file = |name, text: &str| {
                std::fs::write(self.folder.path().join(name), text).unwrap();
                path(&self.folder, name)
            };
            let password = file("password", PASSWORD);
            let ca = path(&self.folder, "ca.pem");
            yaml += &format!(
                "  user: {USER}\n  password: {{ file: {password} }}\n  ca: {{ file: {ca} }}\n"
            );
        }
        yaml
    }

    /// Every mail it took so far.
    pub fn mails(&self) -> Vec<Value> {
        let text =
            std::fs::read_to_string(self.folder.path().join("mails.jsonl")).unwrap_or_default();
        // A line that is being written is not there yet.
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// To whom, and the subject of every mail it took.
    pub fn subjects(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.mails()
            .iter()
            .map(|mail| (text(&mail["to"][0]), text(&mail["headers"]["subject"])))
            .collect()
    }

    /// The certificate of another authority.
    pub fn stranger(&self) -> PathBuf {
        let folder = self.folder.path().join("stranger");
        std::fs::create_dir_all(&folder).unwrap();
        certify(&folder);
        folder.join("ca.pem")
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        if let Listens::Process(child) = &mut self.listens {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

/// An authority, and a certificate of its for localhost.
fn certify(folder: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("ca.pem"), authority_certificate.pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}
