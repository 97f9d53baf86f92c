//! Who does something, which way it came, and why. Nothing that a person changes is changed
//! without.

use thiserror::Error;

use super::text::is_unseen;

/// The longest name of a person, in characters.
const NAME_MAX: usize = 64;

/// The longest reason, in characters.
const REASON_MAX: usize = 500;

/// Who starts the runs that a schedule fires. No person can have this name.
const SCHEDULE: &str = "schedule";

/// Who lets approvals expire. No person can have this name.
const PAYRUN: &str = "payrun";

/// A person by name, or payrun itself, and the way it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    name: String,
    via: String,
    /// The user of the machine, where the name is only what that user says.
    user: Option<String>,
}

impl Actor {
    /// A person who has proved the name. `via`: the way, as the audit log shows it, such as `api
    /// (operator)`.
    ///
    /// # Errors
    /// If the name is empty, too long, kept for payrun itself, or has other characters than
    /// letters, digits and ` .@_+-`.
    ///
    /// ```
    /// use payrun_domain::actor::Actor;
    /// let ann = Actor::person("ann@example.com", "api (operator)").unwrap();
    /// assert!(ann.is("Ann@Example.com"));
    /// assert!(Actor::person("schedule", "api (operator)").is_err());
    /// ```
    pub fn person(name: &str, via: &str) -> Result<Self, ActorError> {
        let name = name.trim();
        let allowed = |c: char| {
            (c.is_alphanumeric() && !is_unseen(c)) || matches!(c, ' ' | '.' | '@' | '_' | '+' | '-')
        };
        if name.is_empty() || name.chars().count() > NAME_MAX || !name.chars().all(allowed) {
            return Err(ActorError::Name);
        }
        let person = Self {
            name: name.to_owned(),
            via: via.to_owned(),
            user: None,
        };
        if [SCHEDULE, PAYRUN].iter().any(|kept| person.is(kept)) {
            Err(ActorError::Kept)
        } else {
            Ok(person)
        }
    }

    /// A user of this machine, who may go by any name.
    ///
    /// # Errors
    /// As [`Actor::person`].
    pub fn at_console(name: &str, user: &str) -> Result<Self, ActorError> {
        Ok(Self {
            user: Some(user.to_owned()),
            ..Self::person(name, &format!("cli ({user})"))?
        })
    }

    /// The schedule of a workflow.
    pub fn schedule() -> Self {
        Self {
            name: SCHEDULE.to_owned(),
            via: PAYRUN.to_owned(),
            user: None,
        }
    }

    /// payrun by itself.
    pub fn payrun() -> Self {
        Self {
            name: PAYRUN.to_owned(),
            via: PAYRUN.to_owned(),
            user: None,
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The way it came.
    pub fn via(&self) -> &str {
        &self.via
    }

    /// The user of the machine, where the name is only what that user says.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Who this is, whatever name is given: what two deeds of one person have in common.
    pub fn identity(&self) -> String {
        self.user.as_deref().unwrap_or(&self.name).to_lowercase()
    }

    /// Whether this is a person.
    pub fn is_person(&self) -> bool {
        is_person(&self.name)
    }

    /// Whether a name is this one's: upper and lower case make nobody another.
    pub fn is(&self, name: &str) -> bool {
        self.name.to_lowercase() == name.trim().to_lowercase()
    }
}

/// Whether a name is a person's.
pub fn is_person(name: &str) -> bool {
    ![SCHEDULE, PAYRUN]
        .iter()
        .any(|kept| kept.eq_ignore_ascii_case(name.trim()))
}

/// Why something is done, in a person's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// A reason that says something.
    ///
    /// # Errors
    /// If it is empty, too long, has several lines, or has characters that cannot be seen: those
    /// who read it later read what was written.
    pub fn parse(text: &str) -> Result<Self, ActorError> {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > REASON_MAX {
            return Err(ActorError::Reason);
        }
        match text.chars().enumerate().find(|(_, c)| is_unseen(*c)) {
            Some((before, c)) => Err(ActorError::Unseen {
                at: before + 1,
                code: c.into(),
            }),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who does something, and why: what every control wants to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Who.
    pub actor: Actor,
    /// Why.
    pub reason: Reason,
}

impl Authorization {
    /// As an item's history shows it: `ann: a reason`.
    pub fn words(&self) -> String {
        format!("{}: {}", self.actor.name(), self.reason.as_str())
    }
}

/// What can be wrong with a name or a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ActorError {
    /// No name of a person.
    #[error("a name has 1 to {NAME_MAX} letters, digits, blanks and .@_+-")]
    Name,
    /// A name that payrun itself goes by.
    #[error("\"{SCHEDULE}\" and \"{PAYRUN}\" are no person's names")]
    Kept,
    /// Nothing that says why.
    #[error("a reason has 1 to {REASON_MAX} characters in one line")]
    Reason,
    /// A reason with a character that steers, turns text around, or cannot be seen.
    #[error(
        "character {at} of the reason, U+{code:04X}, cannot be seen or breaks the line; take it out"
    )]
    Unseen {
        /// Which one, counted from 1.
        at: usize,
        /// Its number.
        code: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_persons_and_a_reason_says_something() {
        for bad in [
            "",
            "  ",
            "a\nb",
            "a\u{202e}b",
            "\u{3164}",
            "Payrun",
            "schedule ",
            &"a".repeat(65),
            "<b>",
        ] {
            assert!(Actor::person(bad, "cli").is_err(), "{bad:?}");
        }
        assert_eq!(
            Reason::parse("  wrong file ").unwrap().as_str(),
            "wrong file"
        );
        for bad in ["", " ", &"a".repeat(501)] {
            assert_eq!(Reason::parse(bad), Err(ActorError::Reason), "{bad:?}");
        }
        for (bad, code) in [
            ("a\nb", 0xa),
            ("a\u{1b}[31m", 0x1b),
            ("a\u{85}", 0x85),
            ("a\u{202e}b", 0x202e),
            ("a\u{feff}", 0xfeff),
        ] {
            let error = Reason::parse(bad).err();
            assert!(
                error == Some(ActorError::Unseen { at: 2, code }) || bad.trim().len() == 1,
                "{bad:?}: {error:?}"
            );
        }
        assert_eq!(
            Reason::parse("付款人要求停止（投诉）").unwrap().as_str(),
            "付款人要求停止（投诉）"
        );
    }

    #[test]
    fn upper_and_lower_case_make_nobody_another() {
        let ann = Actor::person("Ann Lee", "cli").unwrap();
        assert!(ann.is("ann lee") && ann.is(" ANN LEE ") && !ann.is("annlee"));
        assert!(!Actor::schedule().is_person() && ann.is_person());
    }

    #[test]
    fn the_longest_name_and_the_longest_reason_are_taken() {
        assert!(Actor::person(&"a".repeat(64), "cli").is_ok());
        assert!(Reason::parse(&"a".repeat(500)).is_ok());
    }

    #[test]
    fn who_acts_is_shown_with_the_way_and_told_apart_by_the_user() {
        let bob = Actor::at_console("Bob", "Ann").unwrap();
        assert_eq!(
            (bob.name(), bob.via(), bob.user()),
            ("Bob", "cli (Ann)", Some("Ann"))
        );
        assert_eq!(bob.identity(), "ann");
        let carl = Actor::person("Carl", "api (operator)").unwrap();
        assert_eq!(
            (carl.via(), carl.identity()),
            ("api (operator)", "carl".to_owned())
        );
        let authorization = Authorization {
            actor: carl,
            reason: Reason::parse("wrong file").unwrap(),
        };
        assert_eq!(authorization.words(), "Carl: wrong file");
    }
}
