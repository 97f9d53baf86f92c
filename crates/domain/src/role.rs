//! What a person or program may do that speaks to the service.

use std::fmt;

/// A role. Whatever the role, nobody approves what they began themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads, begins runs, pauses, retries, cancels.
    Operator,
    /// Reads and approves.
    Approver,
    /// All of it.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    /// The word for this role.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    /// The role of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// Whether somebody of this role may do what is for another.
    ///
    /// ```
    /// use payrun_domain::role::Role;
    /// assert!(Role::Approver.may_do_as(Role::Viewer));
    /// assert!(!Role::Approver.may_do_as(Role::Operator));
    /// ```
    pub const fn may_do_as(self, other: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::Operator => matches!(other, Self::Viewer | Self::Operator),
            Self::Approver => matches!(other, Self::Viewer | Self::Approver),
            Self::Viewer => matches!(other, Self::Viewer),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_one_word_and_does_what_is_for_itself_and_for_those_below_it() {
        let shown = |role: Role| {
            let may = Role::ALL.into_iter().filter(|other| role.may_do_as(*other));
            let may: Vec<&str> = may.map(Role::as_str).collect();
            format!("{role}: {}", may.join(" "))
        };
        let expected = [
            "viewer: viewer",
            "operator: viewer operator",
            "approver: viewer approver",
            "admin: viewer operator approver admin",
        ];
        assert_eq!(Role::ALL.map(shown), expected);
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("root"), None);
    }
}
