//! Statements as the gateways send them: a file counts as a whole or not at all, and then every
//! line of it is there.

use payrun::statement::{self, StatementFormat};

use super::Target;

/// The longest reason, in bytes.
const REASON_MAX: usize = 1_000;

#[test]
fn statements_of_wechat_pay() {
    statements(
        &Target::of("statement_wechat", 1_000),
        StatementFormat::Wechat,
        "wechat",
    );
}

#[test]
fn statements_of_hipopay() {
    statements(
        &Target::of("statement_hipopay", 1_000),
        StatementFormat::Hipopay,
        "hipopay",
    );
}

fn statements(target: &Target, format: StatementFormat, name: &str) {
    let golden = std::fs::read_dir(crate::support::root().join("tests/golden/statements")).unwrap();
    let mut golden: Vec<_> = golden.map(|entry| entry.unwrap().path()).collect();
    golden.retain(|path| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with(name)
    });
    golden.sort();
    let golden = golden
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    target.try_on_these(golden, |input| {
        let read = match statement::read(format, input) {
            Ok(read) => read,
            Err(error) => {
                let lines = input.split(|byte| *byte == b'\n').count() as u64;
                assert!(
                    error.what.len() <= REASON_MAX
                        && error.column >= 1
                        && (1..=lines + 1).contains(&error.line),
                    "{error}"
                );
                return error.what;
            }
        };
        // Title and header come before the lines, a caption and its totals after them.
        let without = match (format, &read.totals) {
            (StatementFormat::Hipopay, _) => 2,
            (StatementFormat::Wechat, None) => 1,
            (StatementFormat::Wechat, Some(_)) => 3,
        };
        let there = input
            .strip_prefix("\u{feff}".as_bytes())
            .unwrap_or(input)
            .split(|byte| *byte == b'\n');
        let there = there
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .filter(|line| !line.is_empty())
            .count();
        assert_eq!(read.lines.len() + without, there);
        assert!(
            read.lines
                .windows(2)
                .all(|pair| pair[0].line + 1 == pair[1].line)
        );
        let differs = read.totals.map(|totals| totals.differs).unwrap_or_default();
        assert!(differs.iter().all(|reason| reason.says.len() <= REASON_MAX));
        format!(
            "read, {}",
            differs.first().map_or("", |reason| reason.says.as_str())
        )
    });
}
