//! One job of a workflow, held against its job kind and its gateway account.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::compile::{Compiler, is_name};
use super::expression::VariableName;
use super::searchable::open_templates;
use super::source::{ColumnAliases, FileOptions, Separator, TextEncoding};
use super::template::TemplatePart;
use super::{
    Approval, Condition, DaySpan, ItemFileFormat, ItemSource, ItemsSpec, Job, Limits,
    SearchableColumn, Template,
};
use crate::config::{GatewayConfig, GatewayKind, Rate};
use crate::job_kinds::load::read_policy;
use crate::job_kinds::{FieldKind, InputField, JobKind};
use payrun_domain::ids::OrderNumber;
use payrun_domain::item::State;
use payrun_domain::message::Message;
use payrun_domain::money::{Amount, Currency, parse_minor};
use payrun_domain::text::{folded, shown, trimmed};
use payrun_yaml::fields::{duration_of, integer_of, text_of};
use payrun_yaml::node::{MappingEntry, YamlNode};
use payrun_yaml::scalars;

/// The fields of `items` that say where rows come from.
const SOURCES: [&str; 5] = ["file", "from", "days", "window", "contracts"];

/// A job kind as it is on an account.
fn on_account(kind: &JobKind, account: &GatewayConfig) -> JobKind {
    let mut kind = kind
        .on(account.kind.as_str())
        .knowing("customs", &account.customs.ports);
    if !account.customs.sub_orders {
        kind = kind.refusing(
            "sub_order_no",
            Message::new(
                "refused-sub-orders",
                "this account declares whole orders only (customs.sub_orders in payrun.yaml)",
            ),
        );
    }
    if let GatewayKind::Cbtis(cbtis) = &account.kind
        && cbtis.customs.amounts.is_none()
        && matches!(kind.name.as_str(), "declare" | "redeclare")
    {
        let why = Message::new(
            "refused-cbtis-sub-orders",
            "how CBTIS writes the amounts of a sub-order is not documented: ask CBTIS, and set customs.amounts in payrun.yaml",
        );
        kind = kind.refusing("sub_order_no", why);
    }
    match account.customs.declare_within {
        Some(age) => kind.within(age),
        None => kind,
    }
}

/// The texts of a list.
fn texts_of(node: &YamlNode, name: &str) -> Vec<String> {
    let list = node.get(name).map_or(&[][..], YamlNode::list);
    list.iter()
        .filter_map(|one| one.text().map(str::to_owned))
        .collect()
}

/// Says which columns of a file a job uses, and which of them hold personal data.
fn name_columns<'t>(
    options: &mut FileOptions,
    kind: &JobKind,
    with: &'t BTreeMap<String, Template>,
    open: impl Iterator<Item = &'t str>,
) {
    let mut used: BTreeSet<String> = open.map(str::to_owned).collect();
    let mut personal = BTreeSet::new();
    for (name, template) in with {
        let columns = template.item_columns();
        if kind.field(name).is_some_and(|field| field.sensitive) {
            personal.extend(columns.iter().map(|&column| column.to_owned()));
        }
        used.extend(columns.into_iter().map(str::to_owned));
    }
    options.used = used.into_iter().collect();
    options.personal = Some(personal.into_iter().collect());
}

impl<'a> Compiler<'a> {
    pub(super) fn job(&mut self, entry: &MappingEntry) -> Option<Job> {
        let node = &entry.value;
        if !is_name(&entry.key) {
            self.refuse(
                entry.key_at,
                "a job's name has 1 to 64 of a-z, 0-9, - and _, beginning with a letter",
            );
        }
        let kind = self.kind(node);
        let gateway = self.gateway(node, kind.as_deref());
        let kind = match (kind, gateway) {
            (Some(kind), Some(gateway)) => Some(Arc::new(on_account(&kind, gateway))),
            (kind, _) => kind,
        };
        let items = self.items(node);
        let needs = self.needs(node, items.as_ref());
        let with = self.with(node, kind.as_deref());
        let limits = node
            .get("limits")
            .map_or_else(Limits::default, |node| self.limits(node));
        let approval = node.get("approval").map(|node| self.approval(node));
        let of_contracts = matches!(
            items.as_ref().map(|items| &items.source),
            Some(ItemSource::Contracts)
        );
        if let Some(given) = node
            .get("approval")
            .filter(|_| of_contracts && approval.as_ref().is_some_and(Option::is_some))
        {
            // A period has its item; one that was withdrawn before it was approved can never be
            // tried again.
            self.refuse(
                given.at,
                "the periods of contracts cannot wait for approval: what is rejected could never be charged",
            );
        }
        let rate = self.rate(node, gateway);
        let concurrency = self.concurrency(node, gateway);
        let order_number = node
            .get("order_number")
            .and_then(|node| self.order_number(node));
        let of_contracts = items
            .as_ref()
            .filter(|items| matches!(items.source, ItemSource::Contracts));
        let key = match of_contracts {
            Some(items) => {
                self.check_contracts(node, kind.as_deref(), items, &with);
                self.contract_key(node)
            }
            None => self.key(node, kind.as_deref(), &with),
        };
        let kind = kind?;
        self.check_private(&kind, &with, key.as_ref(), order_number.as_ref());
        let open = open_templates(&kind, &with, key.as_ref(), order_number.as_ref());
        let searchable = self.searchable(node, open);
        let mut items = ItemsSpec {
            searchable,
            ..items?
        };
        if matches!(items.source, ItemSource::Job { .. }) {
            self.check_used(
                &items.searchable,
                with.values().chain(&key).chain(&order_number),
            );
        }
        if let ItemSource::File { options, .. } = &mut items.source {
            let condition = items.condition.as_ref();
            let open = key
                .iter()
                .chain(&order_number)
                .flat_map(Template::item_columns);
            let open = open.chain(condition.into_iter().flat_map(Condition::item_columns));
            name_columns(options, &kind, &with, open);
            let searchable = items.searchable.iter().map(|column| column.name.clone());
            options.used.extend(searchable);
            options.used.sort();
            options.used.dedup();
            self.check_optional(node, options, &items.searchable);
            self.check_unused(node, options);
        }
        Some(Job {
            name: entry.key.clone(),
            policy: read_policy(node, &kind.policy),
            approval: approval.unwrap_or_else(|| kind.approval.then(Approval::default)),
            kind,
            gateway: gateway
                .map(|gateway| gateway.name.clone())
                .unwrap_or_default(),
            needs,
            items,
            key,
            order_number,
            derives_empty_number: text_of(node, "empty_order_number") == Some("derive"),
            with,
            limits,
            rate,
            concurrency,
        })
    }

    fn kind(&mut self, node: &YamlNode) -> Option<Arc<JobKind>> {
        let uses = node.get("uses")?;
        let name = uses.text()?;
        let kind = self.job_kinds.by_name.get(name).cloned();
        if kind.is_none() {
            let names = self.job_kinds.by_name.keys().map(String::as_str);
            let message = format!("there is no job kind \"{}\"", shown(name));
            self.push(
                self.source
                    .diagnostic(uses.at, message)
                    .nearest(name, names),
            );
        }
        kind
    }

    fn gateway(&mut self, node: &YamlNode, kind: Option<&JobKind>) -> Option<&'a GatewayConfig> {
        let given = node.get("gateway")?;
        let name = given.text()?;
        let config = self.config;
        let Some(gateway) = config.gateways.get(name) else {
            let names = config.gateways.keys().map(String::as_str);
            let message = format!("payrun.yaml has no gateway \"{}\"", shown(name));
            self.push(
                self.source
                    .diagnostic(given.at, message)
                    .nearest(name, names),
            );
            return None;
        };
        if let Some(kind) = kind.filter(|kind| !kind.gateways.contains_key(gateway.kind.as_str())) {
            let message = format!(
                "the job kind {} is not done on gateways of kind {}",
                kind.name,
                gateway.kind.as_str()
            );
            self.refuse(given.at, message);
        }
        Some(gateway)
    }

    fn items(&mut self, node: &YamlNode) -> Option<ItemsSpec> {
        let node = node.get("items")?;
        let condition = node.get("where").and_then(|node| self.condition(node));
        let given: Vec<&str> = SOURCES
            .into_iter()
            .filter(|name| node.get(name).is_some())
            .collect();
        for (name, of) in [
            ("format", "file"),
            ("sheet", "file"),
            ("encoding", "file"),
            ("separator", "file"),
            ("header", "file"),
            ("hidden", "file"),
            ("columns", "file"),
            ("optional", "file"),
            ("unused", "file"),
            ("searchable", "file or from"),
            ("state", "from"),
            ("until", "days or window"),
            ("due", "contracts"),
        ] {
            if let Some(odd) = node
                .get(name)
                .filter(|_| !given.iter().any(|given| of.contains(given)))
            {
                self.refuse(odd.at, format!("{name} belongs to {of}"));
            }
        }
        let [source] = given.as_slice() else {
            self.refuse(
                node.at,
                format!("items come from exactly one of {}", SOURCES.join(", ")),
            );
            return None;
        };
        let source = match *source {
            "file" => self.file(node)?,
            "from" => self.from(node)?,
            "contracts" => ItemSource::Contracts,
            "days" => ItemSource::Days(span(node, "days")?),
            _ => ItemSource::Window(span(node, "window")?),
        };
        Some(ItemsSpec {
            source,
            condition,
            searchable: Vec::new(),
        })
    }

    fn file(&mut self, node: &YamlNode) -> Option<ItemSource> {
        let file = self.template(node.get("file")?)?;
        if file.uses_item() {
            self.push(
                file.diagnostic("the name of the file cannot depend on its rows")
                    .help("use params and run"),
            );
        }
        let sheet = node.get("sheet");
        let format = match text_of(node, "format") {
            Some("csv") => Some(ItemFileFormat::Csv),
            Some("jsonl") => Some(ItemFileFormat::JsonLines),
            Some("xlsx") => Some(ItemFileFormat::Xlsx { sheet: None }),
            Some(_) | None => None,
        };
        let format = match (sheet, format) {
            (None, format) => format,
            (Some(sheet), None | Some(ItemFileFormat::Xlsx { .. })) => Some(ItemFileFormat::Xlsx {
                sheet: sheet.text().map(str::to_owned),
            }),
            (Some(sheet), Some(ItemFileFormat::Csv | ItemFileFormat::JsonLines)) => {
                self.refuse(sheet.at, "sheet belongs to format: xlsx");
                None
            }
        };
        for (name, belongs) in [
            (
                "encoding",
                !matches!(format, Some(ItemFileFormat::Xlsx { .. })),
            ),
            (
                "separator",
                matches!(format, None | Some(ItemFileFormat::Csv)),
            ),
            (
                "hidden",
                matches!(format, None | Some(ItemFileFormat::Xlsx { .. })),
            ),
        ] {
            if let Some(odd) = node.get(name).filter(|_| !belongs) {
                self.refuse(
                    odd.at,
                    format!("{name} does not belong to a file of this format"),
                );
            }
        }
        let options = FileOptions {
            format,
            encoding: text_of(node, "encoding").and_then(TextEncoding::parse),
            separator: text_of(node, "separator").and_then(Separator::parse),
            header_line: integer_of(node, "header").and_then(|line| u64::try_from(line).ok()),
            include_hidden: text_of(node, "hidden") == Some("include"),
            aliases: node
                .get("columns")
                .map_or_else(Vec::new, |node| self.aliases(node)),
            used: Vec::new(),
            personal: None,
            optional: texts_of(node, "optional"),
            unused: texts_of(node, "unused"),
            chosen: BTreeMap::new(),
        };
        Some(ItemSource::File { file, options })
    }

    /// A column that a file may lack is one that the job uses, and not to find its items by.
    fn check_optional(
        &mut self,
        job: &YamlNode,
        options: &FileOptions,
        searchable: &[SearchableColumn],
    ) {
        let Some(optional) = job.get("items").and_then(|items| items.get("optional")) else {
            return;
        };
        for given in optional.list() {
            let Some(name) = given.text() else { continue };
            if !options.used.iter().any(|used| used == name) {
                let message = format!("this job uses no column {}", shown(name));
                let names = options.used.iter().map(String::as_str);
                let diagnostic = self.source.diagnostic(given.at, message);
                self.push(diagnostic.nearest(name, names));
            } else if searchable.iter().any(|column| column.name == name) {
                let message = format!(
                    "the column {} is searchable: no file may lack it",
                    shown(name)
                );
                self.refuse(given.at, message);
            }
        }
    }

    /// A column that is used cannot be said to be unused.
    fn check_unused(&mut self, job: &YamlNode, options: &FileOptions) {
        let Some(unused) = job.get("items").and_then(|items| items.get("unused")) else {
            return;
        };
        let is_called = |column: &String, name: &str| {
            let mut aliases = options
                .aliases
                .iter()
                .filter(|alias| alias.column == *column);
            folded(column) == folded(name)
                || aliases.any(|alias| alias.names.iter().any(|one| folded(one) == folded(name)))
        };
        for given in unused.list() {
            let Some(name) = given.text() else { continue };
            if let Some(column) = options.used.iter().find(|column| is_called(column, name)) {
                let message = format!("the column {} is used by this job", shown(column));
                self.refuse(given.at, message);
            }
        }
    }

    /// What columns may be called in the file. A name that is given for two columns tells neither.
    fn aliases(&mut self, node: &YamlNode) -> Vec<ColumnAliases> {
        let (mut aliases, mut known) = (Vec::new(), BTreeMap::new());
        for entry in node.entries() {
            let names: Vec<&YamlNode> = match entry.value.list() {
                [] => vec![&entry.value],
                list => list.iter().collect(),
            };
            for name in &names {
                let Some(text) = name.text() else {
                    continue;
                };
                if trimmed(text).is_empty() {
                    self.refuse(name.at, "the name of a column is not empty");
                }
                if let Some(other) = known.insert(folded(text), entry.key.clone())
                    && other != entry.key
                {
                    self.refuse(
                        name.at,
                        format!("\"{}\" is a name of the column {other} too", shown(text)),
                    );
                }
            }
            aliases.push(ColumnAliases {
                column: entry.key.clone(),
                names: names
                    .iter()
                    .filter_map(|name| name.text().map(str::to_owned))
                    .collect(),
            });
        }
        aliases
    }

    fn from(&mut self, node: &YamlNode) -> Option<ItemSource> {
        let from = node.get("from")?;
        let (workflow, job) = match from.text()?.split_once('/') {
            Some((workflow, job)) => (Some(workflow), job),
            None => (None, from.text()?),
        };
        if !is_name(job) || !workflow.is_none_or(is_name) {
            self.refuse(
                from.at,
                "from is the name of a job, or of a workflow and a job: customs-filing/declare",
            );
            return None;
        }
        let states = node
            .get("state")
            .map_or_else(Vec::new, |node| match node.list() {
                [] => node.text().and_then(State::parse).into_iter().collect(),
                list => list
                    .iter()
                    .filter_map(|node| State::parse(node.text()?))
                    .collect(),
            });
        let states = if states.is_empty() {
            vec![State::Succeeded]
        } else {
            states
        };
        Some(ItemSource::Job {
            workflow: workflow.map(str::to_owned),
            job: job.to_owned(),
            states,
        })
    }

    /// The jobs that are named, and the one whose items are taken.
    fn needs(&mut self, node: &YamlNode, items: Option<&ItemsSpec>) -> Vec<String> {
        let needs = node.get("needs").map_or(&[][..], YamlNode::list);
        let mut needs: Vec<String> = needs
            .iter()
            .filter_map(|node| node.text().map(str::to_owned))
            .collect();
        if let Some(ItemSource::Job {
            workflow: None,
            job,
            ..
        }) = items.map(|items| &items.source)
            && !needs.contains(job)
        {
            needs.push(job.clone());
        }
        needs
    }

    /// What goes into a field for personal data goes nowhere else, or it would be kept and shown in
    /// the clear.
    fn check_private(
        &mut self,
        kind: &JobKind,
        with: &BTreeMap<String, Template>,
        key: Option<&Template>,
        order_number: Option<&Template>,
    ) {
        let is_private = |name: &str| kind.field(name).is_some_and(|field| field.sensitive);
        let sealed = with.iter().find(|(name, _)| is_private(name));
        if let Some((name, template)) = sealed.filter(|_| self.config.encryption_keys.is_empty()) {
            let message = format!(
                "{name} is personal data, which is kept under encryption_key in payrun.yaml; there is none"
            );
            let help = "openssl rand -base64 32 > keys/personal.key, and encryption_key: { file: keys/personal.key }";
            self.push(template.diagnostic(message).help(help));
        }
        let private: BTreeSet<&str> = with
            .iter()
            .filter(|(name, _)| is_private(name))
            .flat_map(|(_, template)| template.item_columns())
            .collect();
        for (name, template) in with.iter().filter(|(name, _)| is_private(name)) {
            // A text that is the same for every row is nobody's in particular.
            let of_rows = template
                .names()
                .all(|name| matches!(name, VariableName::Item(_)));
            if !of_rows || has_hidden_columns(template) {
                let message = format!(
                    "{name} is personal data: it comes from columns of the row, named as item.column, alone"
                );
                self.push(
                    template
                        .diagnostic(message)
                        .help("what stands in a parameter is kept in the clear"),
                );
            }
        }
        let sealed = !private.is_empty();
        let open = with
            .iter()
            .filter(|(name, _)| !is_private(name))
            .map(|(_, template)| template);
        for template in open.chain(key).chain(order_number) {
            if sealed && has_hidden_columns(template) {
                let message = "beside personal data a column is named as item.column, so that it can be told which is used";
                self.push(template.diagnostic(message));
            }
            if let Some(column) = template
                .item_columns()
                .into_iter()
                .find(|column| private.contains(column))
            {
                let message =
                    format!("the column {column} holds personal data and is not kept secret here");
                self.push(
                    template
                        .diagnostic(message)
                        .help("use another column; a key may be an id of yours"),
                );
            }
        }
    }

    fn condition(&mut self, node: &YamlNode) -> Option<Condition> {
        match Condition::parse(&node.scalar()?.text, self.source, node.at) {
            Ok(condition) => {
                let names = condition.expression().names().to_vec();
                self.check_names(&names, |message| condition.diagnostic(message));
                Some(condition)
            }
            Err(diagnostic) => {
                self.push(diagnostic);
                None
            }
        }
    }

    fn with(&mut self, job: &YamlNode, kind: Option<&JobKind>) -> BTreeMap<String, Template> {
        let mut with = BTreeMap::new();
        let Some(node) = job.get("with") else {
            return with;
        };
        for entry in node.entries() {
            if let Some(kind) = kind.filter(|kind| kind.field(&entry.key).is_none()) {
                let names = kind.fields.iter().map(|field| field.name.as_str());
                let message = format!("{} has no field \"{}\"", kind.name, shown(&entry.key));
                self.push(
                    self.source
                        .diagnostic(entry.key_at, message)
                        .nearest(&entry.key, names),
                );
            }
            if let Some(template) = self.template(&entry.value) {
                with.insert(entry.key.clone(), template);
            }
        }
        for field in kind.iter().flat_map(|kind| &kind.fields) {
            if with.contains_key(&field.name) {
                continue;
            }
            let default = field
                .default
                .as_ref()
                .and_then(|text| Template::parse(text, self.source, node.at).ok());
            with.extend(default.map(|template| (field.name.clone(), template)));
        }
        if let Some(kind) = kind {
            self.check_given(node, kind);
            self.check_constants(kind, &with);
        }
        with
    }

    /// Fields that must be given, alone or one of several, and amounts with their currency.
    fn check_given(&mut self, node: &YamlNode, kind: &JobKind) {
        let missing = |field: &&InputField| field.required && node.get(&field.name).is_none();
        for field in kind.fields.iter().filter(missing) {
            let message = format!("{} needs the field \"{}\"", kind.name, field.name);
            self.push(
                self.source
                    .diagnostic(node.at, message)
                    .help(field.doc.clone()),
            );
        }
        for group in kind
            .one_of
            .iter()
            .filter(|group| group.iter().all(|name| node.get(name).is_none()))
        {
            self.refuse(
                node.at,
                format!("{} needs one of {}", kind.name, group.join(", ")),
            );
        }
        if let (Some(amount), Some(currency)) = (kind.amount_field(), kind.currency_field()) {
            let given = |field: &InputField| node.get(&field.name).is_some();
            if given(amount) != given(currency) && !amount.required {
                self.refuse(
                    node.at,
                    format!("{} and {} belong together", amount.name, currency.name),
                );
            }
        }
    }

    fn check_constants(&mut self, kind: &JobKind, with: &BTreeMap<String, Template>) {
        let constant = |field: Option<&InputField>| with.get(&field?.name)?.constant();
        let currency = constant(kind.currency_field()).and_then(|code| Currency::parse(code).ok());
        for field in &kind.fields {
            let Some(template) = with.get(&field.name) else {
                continue;
            };
            let Some(text) = template.constant() else {
                continue;
            };
            if let Err((message, help)) = check_constant(field, text, currency) {
                let mut diagnostic = template.diagnostic(message);
                diagnostic.help = help;
                self.push(diagnostic);
            }
        }
    }

    fn key(
        &mut self,
        job: &YamlNode,
        kind: Option<&JobKind>,
        with: &BTreeMap<String, Template>,
    ) -> Option<Template> {
        let template = match job.get("key") {
            Some(node) => self.template(node)?,
            None => {
                let kind = kind?;
                let parts: Vec<&Template> =
                    kind.key.iter().filter_map(|name| with.get(name)).collect();
                if kind.key.is_empty() {
                    let message =
                        format!("{} needs a key: what may happen at most once", kind.name);
                    let help = "such as key: \"{{ item.contract_id }}/{{ run.month }}\"";
                    self.push(self.source.diagnostic(job.at, message).help(help));
                } else if !parts.is_empty() && !parts.iter().any(|part| part.uses_item()) {
                    self.push(
                        parts[0]
                            .diagnostic("the key is the same for every row")
                            .help("use a column"),
                    );
                }
                return None;
            }
        };
        if !template.uses_item() {
            self.push(
                template
                    .diagnostic("the key is the same for every row")
                    .help("use a column, such as {{ item.id }}"),
            );
        }
        Some(template)
    }

    fn order_number(&mut self, node: &YamlNode) -> Option<Template> {
        let template = self.template(node)?;
        match template.constant().map(OrderNumber::parse) {
            Some(Err(error)) => self.push(template.diagnostic(error.to_string())),
            _ if !template.uses_item() => {
                self.push(template.diagnostic("the order number is the same for every row"))
            }
            Some(Ok(_)) | None => {}
        }
        Some(template)
    }

    fn limits(&mut self, node: &YamlNode) -> Limits {
        let total = node
            .get("total")
            .map(|node| self.sums(node))
            .unwrap_or_default();
        let item = node
            .get("item")
            .map(|node| self.sums(node))
            .unwrap_or_default();
        Limits {
            items: integer_of(node, "items").and_then(|items| u64::try_from(items).ok()),
            total,
            item,
        }
    }

    /// None where it is switched off.
    fn approval(&mut self, node: &YamlNode) -> Option<Approval> {
        if node.text().is_some() {
            return None;
        }
        let usual = Approval::default();
        if let Some(expires) = node
            .get("expires")
            .filter(|_| duration_of(node, "expires").is_some_and(|d| d.is_zero()))
        {
            self.refuse(expires.at, "an approval takes some time: 7d, say");
        }
        Some(Approval {
            above: node
                .get("above")
                .map(|node| self.sums(node))
                .unwrap_or_default(),
            by: integer_of(node, "by")
                .and_then(|number| u32::try_from(number).ok())
                .unwrap_or(usual.by),
            expires: duration_of(node, "expires").unwrap_or(usual.expires),
        })
    }

    /// Money by currency, in minor units.
    fn sums(&mut self, node: &YamlNode) -> BTreeMap<String, i64> {
        let mut sums = BTreeMap::new();
        for entry in node.entries() {
            let currency = match Currency::parse(&entry.key) {
                Ok(currency) => currency,
                Err(error) => {
                    self.refuse(entry.key_at, error.to_string());
                    continue;
                }
            };
            match entry.value.text().map(|text| Amount::parse(text, currency)) {
                Some(Ok(amount)) => {
                    sums.insert(entry.key.clone(), amount.minor());
                }
                Some(Err(error)) => self.refuse(entry.value.at, error.to_string()),
                None => {}
            }
        }
        sums
    }

    fn rate(&mut self, job: &YamlNode, gateway: Option<&GatewayConfig>) -> Option<Rate> {
        let node = job.get("rate")?;
        let rate = scalars::rate(node.text()?)?;
        if gateway.is_some_and(|gateway| rate.is_faster_than(gateway.rate)) {
            self.refuse(
                node.at,
                "a job cannot be faster than its gateway account's rate in payrun.yaml",
            );
        }
        Some(rate)
    }

    fn concurrency(&mut self, job: &YamlNode, gateway: Option<&GatewayConfig>) -> Option<u32> {
        let number = u32::try_from(integer_of(job, "concurrency")?).ok()?;
        if let Some((node, gateway)) = job
            .get("concurrency")
            .zip(gateway)
            .filter(|(_, gateway)| number > gateway.concurrency)
        {
            let message = format!(
                "the gateway account allows {} at once (payrun.yaml)",
                gateway.concurrency
            );
            self.refuse(node.at, message);
        }
        Some(number)
    }
}

fn span(node: &YamlNode, name: &str) -> Option<DaySpan> {
    let days = integer_of(node, name).and_then(|days| u32::try_from(days).ok())?;
    Some(DaySpan {
        days,
        today: text_of(node, "until") == Some("today"),
    })
}

/// Whether it uses columns that cannot be told without a row: `item["…"]`, or the row as a whole.
fn has_hidden_columns(template: &Template) -> bool {
    let hidden = |part: &TemplatePart| match part {
        TemplatePart::Expression(expression) => {
            expression.text().contains("item[") || expression.text().contains("item|")
        }
        TemplatePart::Text(_) | TemplatePart::Name(_) => false,
    };
    template.parts().iter().any(hidden)
}

type MessageAndHelp = (String, Option<String>);

fn check_constant(
    field: &InputField,
    text: &str,
    currency: Option<Currency>,
) -> Result<(), MessageAndHelp> {
    let plain = |message: String| (message, None);
    if text.is_empty() {
        let message = format!("{} must not be empty", field.name);
        return if field.required {
            Err(plain(message))
        } else {
            Ok(())
        };
    }
    match field.kind {
        FieldKind::Text { .. } | FieldKind::Choice(_) | FieldKind::Date => field
            .check(text)
            .map_err(|reason| plain(reason.to_string())),
        FieldKind::Decimal => match currency {
            Some(currency) => parse_minor(text, currency)
                .map(drop)
                .map_err(|error| plain(error.to_string())),
            None => Ok(()),
        },
        FieldKind::Currency => Currency::parse(text)
            .map(drop)
            .map_err(|error| plain(error.to_string())),
        FieldKind::Amount => match currency {
            Some(currency) => Amount::parse(text, currency)
                .map(drop)
                .map_err(|error| plain(error.to_string())),
            None => Ok(()),
        },
    }
}
