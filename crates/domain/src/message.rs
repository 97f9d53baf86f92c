//! What people are told, kept so that it can be said in another language: an id, the English
//! sentence, and what is put into it by name.
//!
//! The English is written where the message arises, and nowhere else. Whoever shows a message in
//! another language has its sentence by the id, and puts the same arguments in. A message decides
//! nothing: what the program acts on is a code of its own.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

/// A sentence, or a part of one.
///
/// ```
/// use payrun_domain::message::Message;
/// let message = Message::new("row-empty", "{field} is empty").with("field", "amount");
/// assert_eq!(message.to_string(), "amount is empty");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Message {
    /// By which other languages have its sentence. Empty: it is said in these words only.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    id: Cow<'static, str>,
    /// The sentence, with `{name}` where an argument goes.
    #[serde(rename = "en")]
    english: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    args: BTreeMap<Cow<'static, str>, MessageArgument>,
}

/// What is put into a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MessageArgument {
    /// A value: of a file, a name, a number. It is the same in every language.
    Text(String),
    /// Another message.
    Message(Box<Message>),
    /// Names, one after the other.
    Names {
        /// The names.
        names: Vec<String>,
    },
    /// Names of which any one will do.
    Either {
        /// The names.
        either: Vec<String>,
    },
    /// Several sentences.
    Sentences {
        /// The sentences.
        sentences: Vec<Message>,
    },
}

impl MessageArgument {
    /// Names, one after the other.
    pub fn names(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::Names {
            names: names.into_iter().map(Into::into).collect(),
        }
    }

    /// Names of which any one will do.
    pub fn either(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::Either {
            either: names.into_iter().map(Into::into).collect(),
        }
    }
}

impl Message {
    /// A message that has its sentence in every language by this id.
    pub const fn new(id: &'static str, english: &'static str) -> Self {
        Self {
            id: Cow::Borrowed(id),
            english: Cow::Borrowed(english),
            args: BTreeMap::new(),
        }
    }

    /// Words that are the same in every language: those of a person, of a gateway, or of another
    /// program.
    pub fn plain(words: impl Into<Cow<'static, str>>) -> Self {
        Self {
            id: Cow::Borrowed(""),
            english: words.into(),
            args: BTreeMap::new(),
        }
    }

    /// Several messages as one, a sentence after the other.
    pub fn all(mut messages: Vec<Self>) -> Self {
        match messages.len() {
            1 => messages.remove(0),
            _ => Message::new("sentences", "{sentences}").with("sentences", messages),
        }
    }

    /// With an argument; one that has the name already is replaced.
    #[must_use]
    pub fn with(mut self, name: &'static str, argument: impl Into<MessageArgument>) -> Self {
        self.args.insert(Cow::Borrowed(name), argument.into());
        self
    }

    /// By which other languages have its sentence; none of words that are the same in all.
    pub fn id(&self) -> Option<&str> {
        Some(&*self.id).filter(|id| !id.is_empty())
    }

    /// The English sentence, with `{name}` where an argument goes.
    pub fn english(&self) -> &str {
        &self.english
    }

    /// What is put in, by name.
    pub fn arguments(&self) -> impl Iterator<Item = (&str, &MessageArgument)> {
        self.args.iter().map(|(name, value)| (&**name, value))
    }

    /// The argument of this name.
    pub fn argument(&self, name: &str) -> Option<&MessageArgument> {
        self.args.get(name)
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.english.is_empty()
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = &*self.english;
        while let Some(at) = rest.find('{') {
            f.write_str(&rest[..at])?;
            rest = &rest[at..];
            let named = rest[1..].split_once('}').and_then(|(name, behind)| {
                let argument = self.args.get(name)?;
                Some((argument, behind))
            });
            match named {
                Some((argument, behind)) => {
                    argument.fmt(f)?;
                    rest = behind;
                }
                None => {
                    f.write_char('{')?;
                    rest = &rest[1..];
                }
            }
        }
        f.write_str(rest)
    }
}

/// Its English, as the debugging of a text prints one.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

impl fmt::Display for MessageArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Message(message) => message.fmt(f),
            Self::Names { names } => f.write_str(&names.join(", ")),
            Self::Either { either } => f.write_str(&either.join(" or ")),
            Self::Sentences { sentences } => {
                for (place, one) in sentences.iter().enumerate() {
                    if place > 0 {
                        f.write_str("; ")?;
                    }
                    one.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

/// Words that are the same in every language.
impl From<String> for Message {
    fn from(words: String) -> Self {
        Self::plain(words)
    }
}

/// Words that are the same in every language.
impl From<&'static str> for Message {
    fn from(words: &'static str) -> Self {
        Self::plain(words)
    }
}

impl From<&str> for MessageArgument {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for MessageArgument {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<String> for MessageArgument {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for MessageArgument {
    fn from(number: u64) -> Self {
        Self::Text(number.to_string())
    }
}

impl From<i64> for MessageArgument {
    fn from(number: i64) -> Self {
        Self::Text(number.to_string())
    }
}

impl From<usize> for MessageArgument {
    fn from(number: usize) -> Self {
        Self::Text(number.to_string())
    }
}

impl From<Message> for MessageArgument {
    fn from(message: Message) -> Self {
        Self::Message(Box::new(message))
    }
}

/// A part of a sentence that may be left out.
impl From<Option<Message>> for MessageArgument {
    fn from(message: Option<Message>) -> Self {
        message.map_or_else(|| Self::Text(String::new()), Self::from)
    }
}

impl From<Vec<Message>> for MessageArgument {
    fn from(messages: Vec<Message>) -> Self {
        Self::Sentences {
            sentences: messages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_other_languages_need_of_a_message_is_there() {
        let message = Message::new("row-empty", "{field} is empty").with("field", "amount");
        assert_eq!(message.id(), Some("row-empty"));
        assert_eq!(message.english(), "{field} is empty");
        let amount = MessageArgument::from("amount");
        let arguments: Vec<_> = message.arguments().collect();
        assert_eq!(arguments, [("field", &amount)]);
        assert_eq!(message.argument("field"), Some(&amount));
        assert_eq!(message.argument("other"), None);
        assert!(!message.is_empty());
        // The same in every language.
        assert_eq!(Message::plain("declined").id(), None);
        assert!(Message::plain("").is_empty());
    }

    #[test]
    fn what_is_put_in_is_taken_as_it_is_and_other_braces_stay() {
        let message = Message::new(
            "m",
            "columns: { {name}: {value} } {other} {{ item.{name} }}",
        )
        .with("name", "{value}")
        .with("value", "{name}");
        assert_eq!(
            message.to_string(),
            "columns: { {value}: {name} } {other} {{ item.{value} }}"
        );
    }

    #[test]
    fn a_message_is_the_same_after_it_was_kept() {
        let part = Message::new("part", "did you mean {name}?").with("name", "Id");
        let message = Message::new("m", "{a}{b}; {c}; {d}; {e}")
            .with("a", part.clone())
            .with("b", None::<Message>)
            .with("c", vec![part, Message::plain("as it is")])
            .with("d", MessageArgument::names(["x", "y"]))
            .with("e", MessageArgument::either(["x", "y"]));
        let kept = serde_json::to_string(&message).unwrap();
        let again: Message = serde_json::from_str(&kept).unwrap();
        assert_eq!(again, message);
        assert_eq!(
            again.to_string(),
            "did you mean Id?; did you mean Id?; as it is; x, y; x or y"
        );
    }

    #[test]
    fn one_of_several_is_itself() {
        let one = Message::new("one", "one");
        assert_eq!(Message::all(vec![one.clone()]), one);
        assert_eq!(Message::all(vec![one.clone(), one]).to_string(), "one; one");
    }
}
