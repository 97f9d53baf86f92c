//! Who gives a command, and why: the user of this machine, or who says so.
//!
//! On the command line a name is what the machine's users say; the audit log keeps the user's own
//! beside it. A token in `PAYRUN_TOKEN` proves who somebody is, and then the command is given in that
//! name. Without one, where it matters who gives the command, the user of the machine counts and not
//! the name.

use clap::Args;

use super::exit::Failure;
use crate::clock::Clock;
use crate::domain::actor::{Actor, ActorError, Authorization, Reason};
use crate::domain::role::Role;
use crate::http::token::Token;
use crate::ledger::Ledger;

/// Who goes by no name that can be found out.
const NOBODY: &str = "unnamed";

/// A token of who gives the command.
const TOKEN: &str = "PAYRUN_TOKEN";

/// Who gives a command, and why.
#[derive(Debug, Args)]
pub(super) struct CommandAuthor {
    #[command(flatten)]
    author: Author,
    /// Why; kept in the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Who gives a command.
#[derive(Debug, Args)]
pub(super) struct Author {
    /// Who gives the command; the user of this machine if not given. A token in PAYRUN_TOKEN proves
    /// who it is, and then counts alone
    #[arg(long, alias = "by", value_name = "NAME", env = "PAYRUN_AUTHOR")]
    author: Option<String>,
}

impl CommandAuthor {
    /// Both: a change needs a reason, and whoever gives a token needs its role for it.
    pub async fn signed(&self, ledger: &Ledger, role: Role) -> Result<Authorization, Failure> {
        let reason = self.reason.as_deref().ok_or_else(|| {
            Failure::invalid("why? give a reason with --reason \"…\"")
                .help("it is kept in the audit log")
        })?;
        let reason = Reason::parse(reason).map_err(invalid)?;
        Ok(Authorization {
            actor: self.author.proven(ledger, role).await?,
            reason,
        })
    }
}

impl Author {
    /// The person.
    pub fn actor(&self) -> Result<Actor, Failure> {
        let user = user();
        let name = self.author.as_deref().unwrap_or(&user);
        Actor::at_console(name, &user).map_err(invalid)
    }

    /// The person whose token this process was given, if it was given one, who must have this role;
    /// else the user of the machine.
    pub async fn proven(&self, ledger: &Ledger, role: Role) -> Result<Actor, Failure> {
        let Some(text) = std::env::var_os(TOKEN) else {
            return self.actor();
        };
        let token = match text.to_str().map(str::trim).and_then(Token::parse) {
            Some(token) => {
                ledger
                    .token_of(token.hash(), Clock::of_machine().now())
                    .await?
            }
            None => None,
        };
        let Some(token) = token else {
            return Err(Failure::invalid(format!("{TOKEN} is no good token")).help(
                "`payrun tokens create NAME --role ROLE` makes one; without the variable the machine's user counts",
            ));
        };
        if !token.role.may_do_as(role) {
            return Err(Failure::invalid(format!(
                "this is for the role {role}; {} is {}",
                token.name, token.role
            )));
        }
        Actor::person(&token.name, &format!("cli (token, {})", token.role)).map_err(invalid)
    }
}

fn invalid(error: ActorError) -> Failure {
    Failure::invalid(error.to_string())
}

/// The user that this process runs as. A container's may have no name.
fn user() -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || matches!(c, '.' | '@' | '_' | '-') {
            c
        } else {
            '-'
        }
    };
    let name: String = whoami::username()
        .unwrap_or_default()
        .chars()
        .map(plain)
        .take(64)
        .collect();
    if name.is_empty() {
        NOBODY.to_owned()
    } else {
        name
    }
}
