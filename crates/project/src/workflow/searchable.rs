//! `searchable:` of a job's items: by which columns `payrun find` finds an item, and which of them
//! are kept as keyed hashes only.

use std::collections::{BTreeMap, BTreeSet};

use super::compile::Compiler;
use super::{FilePlace, SearchableColumn, Template};
use crate::job_kinds::JobKind;
use payrun_domain::text::shown;
use payrun_yaml::node::YamlNode;

/// Most columns: each is a row of the ledger for every item.
const COLUMNS_MAX: usize = 8;

impl Compiler<'_> {
    /// The columns that a job names. `open`: the templates whose text the ledger keeps in the clear.
    pub(super) fn searchable<'t>(
        &mut self,
        job: &YamlNode,
        open: impl Iterator<Item = &'t Template>,
    ) -> Vec<SearchableColumn> {
        let Some(node) = job.get("items").and_then(|items| items.get("searchable")) else {
            return Vec::new();
        };
        let in_the_clear: BTreeSet<&str> = open.flat_map(Template::item_columns).collect();
        let mut columns: Vec<SearchableColumn> = Vec::new();
        for given in node.list() {
            let Some(name) = given.text() else { continue };
            if columns.iter().any(|column| column.name == name) {
                self.refuse(given.at, format!("the column {} stands twice", shown(name)));
                continue;
            }
            let column = SearchableColumn {
                name: name.to_owned(),
                hashed: !in_the_clear.contains(name),
                place: FilePlace::new(self.source, given.at),
            };
            if column.hashed && self.config.encryption_keys.is_empty() {
                let message = format!(
                    "the column {} may be personal, and is kept as a hash under encryption_key in payrun.yaml; there is none",
                    shown(name)
                );
                let help = "openssl rand -base64 32 > keys/personal.key, and encryption_key: { file: keys/personal.key }; only what \
                            the key, the order number or an open field has too is kept as text";
                self.push(column.place.diagnostic(message).help(help));
            }
            columns.push(column);
        }
        if columns.len() > COLUMNS_MAX {
            self.refuse(
                node.at,
                format!(
                    "{} columns are searchable; {COLUMNS_MAX} are possible",
                    columns.len()
                ),
            );
        }
        columns
    }

    /// Refuses columns of another job's items that nothing of this job uses: no heading line tells
    /// whether there is such a column.
    pub(super) fn check_used<'t>(
        &mut self,
        columns: &[SearchableColumn],
        templates: impl Iterator<Item = &'t Template>,
    ) {
        let used: BTreeSet<&str> = templates.flat_map(Template::item_columns).collect();
        for column in columns {
            if !used.contains(column.name.as_str()) {
                let name = shown(&column.name);
                let message = format!("no field, key or order number of the job uses item.{name}");
                let names = used.iter().copied();
                self.push(
                    column
                        .place
                        .diagnostic(message)
                        .nearest(&column.name, names),
                );
            }
        }
    }
}

/// The templates of a job whose text the ledger keeps in the clear.
pub(super) fn open_templates<'t>(
    kind: &'t JobKind,
    with: &'t BTreeMap<String, Template>,
    key: Option<&'t Template>,
    order_number: Option<&'t Template>,
) -> impl Iterator<Item = &'t Template> {
    with.iter()
        .filter(|(name, _)| kind.field(name).is_some_and(|field| !field.sensitive))
        .map(|(_, template)| template)
        .chain(key)
        .chain(order_number)
}
