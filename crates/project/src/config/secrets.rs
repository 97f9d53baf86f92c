//! References to secrets, resolved. The text of a secret goes into a [`SecretString`] and nowhere
//! else.

use std::fs::File;
use std::io::Read;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use payrun_system::private_files::open_to_others;
use payrun_yaml::fields::text_of;
use payrun_yaml::node::YamlNode;

use super::load::FileContext;

/// The longest secret that is read, in bytes.
const SECRET_MAX: u64 = 64 * 1024;

/// Where a secret comes from, for messages; only for references that have the right form.
pub(super) fn origin(node: &YamlNode) -> String {
    match (text_of(node, "env"), text_of(node, "file")) {
        (Some(name), _) => format!("from the environment variable {name}"),
        (None, Some(path)) => format!("from {path}"),
        (None, None) => "from nowhere".to_owned(),
    }
}

/// The references of a field that takes one or a list of them.
pub(super) fn references(node: &YamlNode) -> &[YamlNode] {
    if node.list().is_empty() {
        std::slice::from_ref(node)
    } else {
        node.list()
    }
}

impl FileContext<'_> {
    /// The secrets that a checked reference, or each of a list, names; none, and noted, if one
    /// cannot be had.
    pub(super) fn secrets(&mut self, node: &YamlNode) -> Option<Vec<SecretString>> {
        // Every one is looked at, so that every mistake is reported.
        let secrets: Vec<Option<SecretString>> = references(node)
            .iter()
            .map(|node| self.secret(node))
            .collect();
        secrets.into_iter().collect()
    }

    /// The secret that a checked reference names; none, and noted, if it cannot be had.
    pub(super) fn secret(&mut self, node: &YamlNode) -> Option<SecretString> {
        let [entry] = node.entries() else { return None };
        let name = entry.value.text().filter(|name| !name.is_empty())?;
        match entry.key.as_str() {
            "env" => self.read_variable(node, name),
            "file" => self.read_secret_file(node, name),
            _ => None,
        }
    }

    /// What a checked reference names that is no secret, such as a certificate: others may read its
    /// file.
    pub(super) fn public(&mut self, node: &YamlNode) -> Option<String> {
        let noted = self.open_secrets.len();
        let text = self.secret(node)?.expose_secret().to_owned();
        self.open_secrets.truncate(noted);
        Some(text)
    }

    fn read_variable(&mut self, node: &YamlNode, name: &str) -> Option<SecretString> {
        let is_name =
            name.len() <= 128 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name || name.as_bytes()[0].is_ascii_digit() {
            self.refuse(
                node.at,
                "env: takes the name of an environment variable",
                "letters, digits and _",
            );
            return None;
        }
        match std::env::var(name).map(Zeroizing::new) {
            Ok(text) if !text.trim().is_empty() => Some(SecretString::from(text.trim())),
            Ok(_) => {
                self.refuse(
                    node.at,
                    format!("the environment variable {name} is empty"),
                    "",
                );
                None
            }
            Err(_) => {
                self.refuse(
                    node.at,
                    format!("the environment variable {name} is not set"),
                    "",
                );
                None
            }
        }
    }

    fn read_secret_file(&mut self, node: &YamlNode, name: &str) -> Option<SecretString> {
        if name.contains("-----") || name.chars().any(char::is_control) {
            self.refuse(
                node.at,
                "file: takes the path of a file, not what is in it",
                "",
            );
            return None;
        }
        let path = self.folder.join(name);
        let mut text = Zeroizing::new(String::new());
        let read = File::open(&path).and_then(|file| {
            self.open_secrets.extend(open_to_others(&path, &file));
            file.take(SECRET_MAX + 1).read_to_string(&mut text)
        });
        let problem = match read {
            Err(error) => format!("the file {} cannot be read: {error}", path.display()),
            Ok(_) if text.len() as u64 > SECRET_MAX => {
                format!("the file {} is too long for a secret", path.display())
            }
            Ok(_) if text.trim().is_empty() => format!("the file {} is empty", path.display()),
            Ok(_) => return Some(SecretString::from(text.trim())),
        };
        self.refuse(
            node.at,
            problem,
            "paths are relative to the folder of this file",
        );
        None
    }
}
