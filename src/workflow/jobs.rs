//! One job of a workflow, held against its job kind and its gateway account.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lower::{Lowering, is_name};
use super::{Condition, Format, Items, Job, Limits, Template};
use crate::catalog::load::read_policy;
use crate::catalog::{Field, FieldKind, JobKind};
use crate::config::{GatewayConfig, Rate};
use crate::domain::ids::OrderNumber;
use crate::domain::money::{Amount, Currency};
use crate::yaml::diagnostics::suggestion;
use crate::yaml::fields::{integer_of, text_of};
use crate::yaml::node::{Entry, Node, shown};
use crate::yaml::scalars;

impl<'a> Lowering<'a> {
    pub(super) fn job(&mut self, entry: &Entry) -> Option<Job> {
        let node = &entry.value;
        if !is_name(&entry.key) {
            self.refuse(entry.key_at, "a job's name has 1 to 64 of a-z, 0-9, - and _, beginning with a letter");
        }
        let kind = self.kind(node);
        let gateway = self.gateway(node, kind.as_deref());
        let items = self.items(node);
        let with = self.with(node, kind.as_deref());
        let limits = node.get("limits").map_or_else(Limits::default, |node| self.limits(node));
        let rate = self.rate(node, gateway);
        let concurrency = self.concurrency(node, gateway);
        let order_number = node.get("order_number").and_then(|node| self.order_number(node));
        let key = self.key(node, kind.as_deref(), &with);
        let kind = kind?;
        let needs = node.get("needs").map_or(&[][..], Node::list);
        Some(Job {
            name: entry.key.clone(),
            policy: read_policy(node, &kind.policy),
            kind,
            gateway: gateway.map(|gateway| gateway.name.clone()).unwrap_or_default(),
            needs: needs.iter().filter_map(|node| node.text().map(str::to_owned)).collect(),
            items: items?,
            key: key?,
            order_number,
            with,
            limits,
            rate,
            concurrency,
        })
    }

    fn kind(&mut self, node: &Node) -> Option<Arc<JobKind>> {
        let uses = node.get("uses")?;
        let name = uses.text()?;
        let kind = self.catalog.kinds.get(name).cloned();
        if kind.is_none() {
            let names = self.catalog.kinds.keys().map(String::as_str);
            let message = format!("there is no job kind \"{}\"", shown(name));
            self.push(self.source.diagnostic(uses.at, message).nearest(name, names));
        }
        kind
    }

    fn gateway(&mut self, node: &Node, kind: Option<&JobKind>) -> Option<&'a GatewayConfig> {
        let given = node.get("gateway")?;
        let name = given.text()?;
        let config = self.config;
        let Some(gateway) = config.gateways.get(name) else {
            let names = config.gateways.keys().map(String::as_str);
            let message = format!("payrun.yaml has no gateway \"{}\"", shown(name));
            self.push(self.source.diagnostic(given.at, message).nearest(name, names));
            return None;
        };
        if let Some(kind) = kind.filter(|kind| !kind.gateways.contains_key(gateway.kind.word())) {
            let message = format!("the job kind {} is not done on gateways of kind {}", kind.name, gateway.kind.word());
            self.refuse(given.at, message);
        }
        Some(gateway)
    }

    fn items(&mut self, node: &Node) -> Option<Items> {
        let node = node.get("items")?;
        let file = node.get("file").and_then(|node| self.template(node));
        if let Some(file) = file.as_ref().filter(|file| file.uses_item()) {
            self.push(file.diagnostic("the name of the file cannot depend on its rows").help("use params and run"));
        }
        let format = match text_of(node, "format") {
            Some("csv") => Some(Format::Csv),
            Some("jsonl") => Some(Format::JsonLines),
            Some(_) | None => None,
        };
        let condition = node.get("where").and_then(|node| self.condition(node));
        Some(Items { file: file?, format, condition })
    }

    fn condition(&mut self, node: &Node) -> Option<Condition> {
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

    fn with(&mut self, job: &Node, kind: Option<&JobKind>) -> BTreeMap<String, Template> {
        let mut with = BTreeMap::new();
        let Some(node) = job.get("with") else { return with };
        for entry in node.entries() {
            if let Some(kind) = kind.filter(|kind| kind.field(&entry.key).is_none()) {
                let names = kind.fields.iter().map(|field| field.name.as_str());
                let message = format!("{} has no field \"{}\"", kind.name, shown(&entry.key));
                self.push(self.source.diagnostic(entry.key_at, message).nearest(&entry.key, names));
            }
            if let Some(template) = self.template(&entry.value) {
                with.insert(entry.key.clone(), template);
            }
        }
        if let Some(kind) = kind {
            self.check_given(node, kind);
            self.check_constants(kind, &with);
        }
        with
    }

    /// Fields that must be given, alone or one of several, and amounts with their currency.
    fn check_given(&mut self, node: &Node, kind: &JobKind) {
        let missing = |field: &&Field| field.required && node.get(&field.name).is_none();
        for field in kind.fields.iter().filter(missing) {
            let message = format!("{} needs the field \"{}\"", kind.name, field.name);
            self.push(self.source.diagnostic(node.at, message).help(field.doc.clone()));
        }
        for group in kind.one_of.iter().filter(|group| group.iter().all(|name| node.get(name).is_none())) {
            self.refuse(node.at, format!("{} needs one of {}", kind.name, group.join(", ")));
        }
        if let (Some(amount), Some(currency)) = (kind.amount_field(), kind.currency_field()) {
            let given = |field: &Field| node.get(&field.name).is_some();
            if given(amount) != given(currency) && !amount.required {
                self.refuse(node.at, format!("{} and {} belong together", amount.name, currency.name));
            }
        }
    }

    fn check_constants(&mut self, kind: &JobKind, with: &BTreeMap<String, Template>) {
        let constant = |field: Option<&Field>| with.get(&field?.name)?.constant();
        let currency = constant(kind.currency_field()).and_then(|code| Currency::parse(code).ok());
        for field in &kind.fields {
            let Some(template) = with.get(&field.name) else { continue };
            let Some(text) = template.constant() else { continue };
            if let Err((message, help)) = check_constant(field, text, currency) {
                let mut diagnostic = template.diagnostic(message);
                diagnostic.help = help;
                self.push(diagnostic);
            }
        }
    }

    fn key(&mut self, job: &Node, kind: Option<&JobKind>, with: &BTreeMap<String, Template>) -> Option<Template> {
        let template = match job.get("key") {
            Some(node) => self.template(node)?,
            None => {
                let kind = kind?;
                let parts: Vec<&Template> = kind.key.iter().filter_map(|name| with.get(name)).collect();
                if kind.key.is_empty() {
                    let message = format!("{} needs a key: what may happen at most once", kind.name);
                    let help = "such as key: \"{{ item.contract_id }}/{{ run.month }}\"";
                    self.push(self.source.diagnostic(job.at, message).help(help));
                }
                if parts.is_empty() {
                    return None;
                }
                Template::joined(&parts, self.source, job.at)
            }
        };
        if !template.uses_item() {
            self.push(
                template.diagnostic("the key is the same for every row").help("use a column, such as {{ item.id }}"),
            );
        }
        Some(template)
    }

    fn order_number(&mut self, node: &Node) -> Option<Template> {
        let template = self.template(node)?;
        match template.constant().map(OrderNumber::parse) {
            Some(Err(error)) => self.push(template.diagnostic(error.to_string())),
            _ if !template.uses_item() => self.push(template.diagnostic("the order number is the same for every row")),
            Some(Ok(_)) | None => {}
        }
        Some(template)
    }

    fn limits(&mut self, node: &Node) -> Limits {
        let mut total = BTreeMap::new();
        for entry in node.get("total").map_or(&[][..], Node::entries) {
            let Ok(currency) = Currency::parse(&entry.key) else {
                let message = format!("\"{}\" is not a currency code of ISO 4217", shown(&entry.key));
                self.push(self.source.diagnostic(entry.key_at, message).nearest(&entry.key, Currency::codes()));
                continue;
            };
            match entry.value.text().map(|text| Amount::parse(text, currency)) {
                Some(Ok(amount)) => {
                    total.insert(entry.key.clone(), amount.minor());
                }
                Some(Err(error)) => self.refuse(entry.value.at, error.to_string()),
                None => {}
            }
        }
        Limits { items: integer_of(node, "items").and_then(|items| u64::try_from(items).ok()), total }
    }

    fn rate(&mut self, job: &Node, gateway: Option<&GatewayConfig>) -> Option<Rate> {
        let node = job.get("rate")?;
        let rate = scalars::rate(node.text()?)?;
        let faster = |account: &Rate| {
            u128::from(rate.calls) * account.per.as_millis() > u128::from(account.calls) * rate.per.as_millis()
        };
        if gateway.is_some_and(|gateway| faster(&gateway.rate)) {
            self.refuse(node.at, "a job cannot be faster than its gateway account's rate in payrun.yaml");
        }
        Some(rate)
    }

    fn concurrency(&mut self, job: &Node, gateway: Option<&GatewayConfig>) -> Option<u32> {
        let number = u32::try_from(integer_of(job, "concurrency")?).ok()?;
        if let Some((node, gateway)) =
            job.get("concurrency").zip(gateway).filter(|(_, gateway)| number > gateway.concurrency)
        {
            let message = format!("the gateway account allows {} at once (payrun.yaml)", gateway.concurrency);
            self.refuse(node.at, message);
        }
        Some(number)
    }
}

type Refusal = (String, Option<String>);

fn check_constant(field: &Field, text: &str, currency: Option<Currency>) -> Result<(), Refusal> {
    let plain = |message: String| (message, None);
    if text.is_empty() {
        let message = format!("{} must not be empty", field.name);
        return if field.required { Err(plain(message)) } else { Ok(()) };
    }
    match field.kind {
        FieldKind::Text { .. } => field.check(text).map_err(plain),
        FieldKind::Currency => Currency::parse(text)
            .map(drop)
            .map_err(|error| (error.to_string(), suggestion(text, Currency::codes()).filter(|_| text.len() == 3))),
        FieldKind::Amount => match currency {
            Some(currency) => Amount::parse(text, currency).map(drop).map_err(|error| plain(error.to_string())),
            None => Ok(()),
        },
    }
}
