//! A job that charges the contracts kept in payrun: what it charges, and under which key, is the
//! contract's and no workflow's.
//!
//! Another key could charge a period twice; another amount would not be what the contract says. So
//! both are refused here.

use std::collections::BTreeMap;

use super::compile::Compiler;
use super::expression::VariableName;
use super::template::TemplatePart;
use super::{CONTRACT_COLUMNS, ItemsSpec, Template};
use crate::job_kinds::JobKind;
use payrun_domain::text::shown;
use payrun_yaml::node::YamlNode;

/// What may happen at most once.
const KEY: &str = "{{ item.contract_id }}/{{ item.period }}";

/// Fields that are the contract's own columns of the same name.
const OWN: [&str; 3] = ["contract_id", "amount", "currency"];

impl Compiler<'_> {
    /// The key of a contract's period, whether it is written out or not.
    pub(super) fn contract_key(&mut self, job: &YamlNode) -> Option<Template> {
        let own = Template::parse(KEY, self.source, job.at).ok()?;
        if let Some(given) = job.get("key").and_then(|node| self.template(node))
            && !same(&given, &own)
        {
            let message =
                "the key of a contract's period is its own: another could charge a period twice";
            self.push(
                given
                    .diagnostic(message)
                    .help(format!("leave key out, or write \"{KEY}\"")),
            );
        }
        Some(own)
    }

    pub(super) fn check_contracts(
        &mut self,
        job: &YamlNode,
        kind: Option<&JobKind>,
        items: &ItemsSpec,
        with: &BTreeMap<String, Template>,
    ) {
        if let Some(kind) = kind.filter(|kind| !charges_contracts(kind)) {
            let message = format!(
                "items: contracts belongs to kinds that charge contracts; {} does not",
                kind.name
            );
            self.refuse(job.get("items").map_or(job.at, |items| items.at), message);
        }
        if let Some(odd) = job.get("order_number") {
            self.refuse(
                odd.at,
                "the order numbers of contracts are derived from their periods",
            );
        }
        for name in OWN {
            let own = format!("{{{{ item.{name} }}}}");
            let Some(given) = with.get(name) else {
                continue;
            };
            if !matches!(given.parts(), [TemplatePart::Name(VariableName::Item(column))] if column == name)
            {
                let message = format!("{name} is the contract's");
                self.push(
                    given
                        .diagnostic(message)
                        .help(format!("write {name}: \"{own}\"")),
                );
            }
        }
        self.check_contract_columns(items, with);
    }

    fn check_contract_columns(&mut self, items: &ItemsSpec, with: &BTreeMap<String, Template>) {
        let of_condition = items.condition.iter().flat_map(|one| {
            one.item_columns()
                .into_iter()
                .map(move |column| (column, one.diagnostic("")))
        });
        let of_fields = with.values().flat_map(|one| {
            one.item_columns()
                .into_iter()
                .map(move |column| (column, one.diagnostic("")))
        });
        for (column, mut diagnostic) in of_condition.chain(of_fields) {
            if !CONTRACT_COLUMNS.contains(&column) {
                diagnostic.message = format!("contracts have no column {}", shown(column));
                self.push(diagnostic.nearest(column, CONTRACT_COLUMNS));
            }
        }
    }
}

fn charges_contracts(kind: &JobKind) -> bool {
    kind.effect
        && kind.one_at_a_time.as_deref() == Some("contract_id")
        && kind.amount_field().is_some()
}

/// Whether two templates of texts and plain names are the same.
fn same(one: &Template, other: &Template) -> bool {
    let alike = |(one, other): (&TemplatePart, &TemplatePart)| match (one, other) {
        (TemplatePart::Text(one), TemplatePart::Text(other)) => one == other,
        (TemplatePart::Name(one), TemplatePart::Name(other)) => one == other,
        (TemplatePart::Text(_) | TemplatePart::Name(_) | TemplatePart::Expression(_), _) => false,
    };
    one.parts().len() == other.parts().len() && one.parts().iter().zip(other.parts()).all(alike)
}

#[cfg(test)]
mod tests {
    use crate::workflow::ItemSource;
    use crate::workflow::load::tests::read;

    const SUBSCRIPTIONS: &str = r#"workflow: subscriptions
jobs:
  charge:
    uses: deduct
    gateway: hk
    items: { contracts: active, due: run }
    with:
      contract_id: "{{ item.contract_id }}"
      amount: "{{ item.amount }}"
      currency: "{{ item.currency }}"
      description: "{{ item.description }} {{ item.period }}"
      merchant_category_code: "4900"
"#;

    fn mistakes(text: &str) -> String {
        read(text)
            .map(|_| String::new())
            .unwrap_or_else(|found| found.to_string())
    }

    #[test]
    fn the_key_is_the_contracts_period_whether_written_out_or_not() {
        let workflow = read(SUBSCRIPTIONS).unwrap();
        assert!(matches!(
            workflow.jobs[0].items.source,
            ItemSource::Contracts
        ));
        let columns: Vec<_> = workflow.jobs[0]
            .key
            .as_ref()
            .unwrap()
            .item_columns()
            .into_iter()
            .collect();
        assert_eq!(columns, ["contract_id", "period"]);
        let with = |key: &str| {
            SUBSCRIPTIONS.replace("    with:", &format!("    key: \"{key}\"\n    with:"))
        };
        assert_eq!(
            mistakes(&with("{{ item.contract_id }}/{{ item.period }}")),
            ""
        );
        for key in [
            "{{ item.contract_id }}/{{ run.month }}",
            "{{ item.contract_id }}",
            "x{{ item.contract_id }}/{{ item.period }}",
        ] {
            assert!(
                mistakes(&with(key)).contains("another could charge a period twice"),
                "{key}"
            );
        }
    }

    #[test]
    fn nothing_else_is_charged_than_the_contract_says() {
        for (from, to, what) in [
            (
                "\"{{ item.amount }}\"",
                "\"1.00\"",
                "amount is the contract's",
            ),
            (
                "\"{{ item.currency }}\"",
                "HKD",
                "currency is the contract's",
            ),
            (
                "\"{{ item.contract_id }}\"",
                "\"{{ item.description }}\"",
                "contract_id is the contract's",
            ),
            (
                "{{ item.description }}",
                "{{ item.plan }}",
                "contracts have no column plan",
            ),
            (
                "due: run",
                "due: run, where: item.plann == \"x\"",
                "contracts have no column plann",
            ),
            (
                "uses: deduct",
                "uses: terminate",
                "belongs to kinds that charge contracts",
            ),
            (
                "    with:",
                "    order_number: \"{{ item.period }}\"\n    with:",
                "derived from their periods",
            ),
            (
                "contracts: active, due: run",
                "file: a.csv, due: run",
                "due belongs to contracts",
            ),
            ("contracts: active", "contracts: all", "contracts"),
        ] {
            let found = mistakes(&SUBSCRIPTIONS.replacen(from, to, 1));
            assert!(found.contains(what), "{to}: {found}");
        }
    }
}
