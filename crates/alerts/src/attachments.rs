//! Files that hang on mails. The outbox has their names only: they are read when the mail is sent,
//! as far as they fit.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use payrun_ledger::NewMail;

/// The most bytes of files that hang on one mail: mail servers refuse much more. What does not fit
/// is left out; the mail names where it is.
const BYTES_MAX: u64 = 5 * 1024 * 1024;

/// What is read: nothing if there is no such file, it is too long, or it cannot be read.
type FileContent = Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>>;

/// Reads a kept file by its name, if it has no more than so many bytes.
#[derive(Clone)]
pub struct AttachmentReader(Arc<dyn Fn(String, u64) -> FileContent + Send + Sync>);

impl fmt::Debug for AttachmentReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttachmentReader")
    }
}

/// A file of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MailAttachment {
    /// What it is called: `run-7.xlsx`.
    pub name: String,
    /// What is in it.
    pub content: Vec<u8>,
}

impl AttachmentReader {
    /// By what reads a file.
    pub fn new(read: impl Fn(String, u64) -> FileContent + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The files of a mail, in the order of their names, as far as they fit.
    pub(super) async fn read(&self, mail: &NewMail) -> Vec<MailAttachment> {
        let (mut files, mut left) = (Vec::new(), BYTES_MAX);
        for name in &mail.attachments {
            let Some(content) = (self.0)(name.clone(), left).await else {
                tracing::warn!(
                    file = name,
                    "a file does not hang on a mail: it is gone, or too long"
                );
                continue;
            };
            left = left.saturating_sub(content.len() as u64);
            let short = name.rsplit('/').next().unwrap_or(name);
            files.push(MailAttachment {
                name: short.to_owned(),
                content,
            });
        }
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_is_left_out() {
        let reader = AttachmentReader::new(|name, most| {
            let length = if name.contains("big") { BYTES_MAX } else { 10 };
            Box::pin(async move { (length <= most).then(|| vec![0; length as usize]) })
        });
        let names = ["reports/a.xlsx", "reports/big.xlsx", "reports/c.xlsx"];
        let mail = NewMail {
            name: String::new(),
            recipient: String::new(),
            message_id: String::new(),
            subject: String::new(),
            plain: String::new(),
            html: String::new(),
            attachments: names.map(str::to_owned).to_vec(),
        };
        let files = reader.read(&mail).await;
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["a.xlsx", "c.xlsx"]);
    }
}
