//! Who is at the terminal: `PAYRUN_AUTHOR`, else the user's name on this machine.

/// The name under which what is done is written down.
pub(super) fn name() -> String {
    let named = |variable: &str| std::env::var(variable).ok().filter(|name| !name.trim().is_empty());
    let name = named("PAYRUN_AUTHOR").or_else(|| named("USER")).or_else(|| named("LOGNAME"));
    name.unwrap_or_else(|| "somebody".to_owned()).chars().filter(|c| !c.is_control()).take(64).collect()
}
