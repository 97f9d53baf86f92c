//! Who gives a command, and why: the user of this machine, or who says so.
//!
//! On the command line a name is what the machine's users say; the audit log keeps the user's own beside it. Where that is not
//! enough, people get tokens for the service.

use clap::Args;

use super::exit::Failure;
use crate::domain::actor::{Actor, ActorError, Reason, Signed};

/// Who goes by no name that can be found out.
const NOBODY: &str = "unnamed";

/// Who gives a command, and why.
#[derive(Debug, Args)]
pub(super) struct By {
    #[command(flatten)]
    author: Author,
    /// Why; kept in the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Who gives a command.
#[derive(Debug, Args)]
pub(super) struct Author {
    /// Who gives the command; the user of this machine if not given
    #[arg(long, value_name = "NAME", env = "PAYRUN_AUTHOR")]
    author: Option<String>,
}

impl By {
    /// Both; a change needs a reason.
    pub fn signed(&self) -> Result<Signed, Failure> {
        let reason = self.reason.as_deref().ok_or_else(|| {
            Failure::invalid("why? give a reason with --reason \"…\"").help("it is kept in the audit log")
        })?;
        Ok(Signed { actor: self.author.actor()?, reason: Reason::parse(reason).map_err(invalid)? })
    }
}

impl Author {
    /// The person.
    pub fn actor(&self) -> Result<Actor, Failure> {
        let user = user();
        let name = self.author.as_deref().unwrap_or(&user);
        Actor::person(name, &format!("cli ({user})")).map_err(invalid)
    }
}

fn invalid(error: ActorError) -> Failure {
    Failure::invalid(error.to_string())
}

/// The user that this process runs as. A container's may have no name.
fn user() -> String {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '.' | '@' | '_' | '-') { c } else { '-' };
    let name: String = whoami::username().unwrap_or_default().chars().map(plain).take(64).collect();
    if name.is_empty() { NOBODY.to_owned() } else { name }
}
