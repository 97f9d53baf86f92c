//! Importing contracts from a file: streamed in batches, each kept whole. A bad row is told with
//! its line and never costs the good ones; the same file again changes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use chrono::NaiveDate;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::Engine;
use payrun_domain::actor::Actor;
use payrun_domain::ids::KeyHash;
use payrun_domain::message::Message;
use payrun_domain::money::{Amount, Currency, decimal_text};
use payrun_domain::subscription::{Anchor, BillingInterval, BillingTerms, ContractOffer};
use payrun_domain::text;
use payrun_ledger::{Import, LedgerError, NewContract, UpsertOutcome};
use payrun_project::workflow::source::{
    self, FileKind, FileOptions, FileRow, FileRows, RowError, SourceError, TextEncoding,
};
use payrun_project::workflow::{ItemSource, load};

/// How many contracts are kept together.
const BATCH: usize = 1_000;

/// How long after its due date a period may be charged if nothing is said, in days.
const PAY_WITHIN: u16 = 14;

/// The longest id of a contract, and the longest description, in characters.
const ID_MAX: usize = 64;
const DESCRIPTION_MAX: usize = 100;

/// The columns that are taken, the required ones first.
const COLUMNS: [&str; 11] = [
    "contract_id",
    "amount",
    "currency",
    "start",
    "every",
    "anchor_day",
    "end",
    "pay_within",
    "amount_from",
    "description",
    "state",
];

/// The one column of words.
const DESCRIPTION: &str = "description";

/// How many of them are required.
const REQUIRED: usize = 4;

/// What is imported, and by whom.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The file: CSV, JSON Lines or Excel.
    pub path: PathBuf,
    /// The account, as the gateway tells accounts apart.
    pub account: String,
    /// Who imports.
    pub who: Actor,
    /// Why.
    pub why: String,
    /// Whether to keep it; else it is only looked at.
    pub commit: bool,
    /// The encoding of a text file that is not UTF-8.
    pub encoding: Option<TextEncoding>,
    /// Whether hidden rows and columns of a workbook count.
    pub include_hidden: bool,
}

impl ImportOptions {
    fn file(&self) -> FileOptions {
        FileOptions {
            encoding: self.encoding,
            include_hidden: self.include_hidden,
            ..FileOptions::of_columns(&COLUMNS[..REQUIRED])
        }
    }
}

/// What an import did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Contracts that were not there.
    pub new: u64,
    /// Those that are others now.
    pub changed: u64,
    /// Those that were so already.
    pub same: u64,
    /// Rows that were not taken.
    pub rejected: u64,
    /// New contracts with a period that fell due before today: the next run charges it, or tells
    /// that it has lapsed.
    pub due_before_today: u64,
    /// Rows in which blanks around a value were taken off.
    pub trimmed: u64,
    /// Columns of the file that mean nothing here.
    pub other_columns: Vec<String>,
    /// How the file was understood.
    pub read_as: String,
    /// What of that a person should look at.
    pub notes: Vec<String>,
}

/// A row that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedContract {
    /// Its line.
    pub line: u64,
    /// Why, without a value that could be a person's.
    pub reason: String,
}

/// Why an import broke off. What was kept until then stays; the same file again goes on.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It has not the columns.
    #[error(
        "the file has no column {columns}; it was read as {reading}: {header}. Contracts have {}, and may have {}",
        COLUMNS[..REQUIRED].join(", "),
        COLUMNS[REQUIRED..].join(", ")
    )]
    Column {
        /// Which ones.
        columns: String,
        /// How the file was understood.
        reading: String,
        /// Its header.
        header: String,
    },
    /// It becomes unreadable in the middle.
    #[error("{0}; the rows before it were taken")]
    Row(RowError),
    /// The ledger.
    #[error("the import broke off; the same file again goes on")]
    Ledger(#[from] LedgerError),
    /// The reading thread died.
    #[error("the reading of the file broke off; the same file again goes on")]
    Broken,
}

/// A row with its line.
type NumberedContract = (u64, Result<(NewContract, bool), String>);

impl Engine {
    /// Imports contracts; `told` hears of each row that is not taken.
    ///
    /// # Errors
    /// [`ImportError`]
    pub async fn import_contracts(
        &self,
        options: &ImportOptions,
        mut told: impl FnMut(RejectedContract),
    ) -> Result<ImportReport, ImportError> {
        let mut reader = ContractReader::of(
            source::open(&options.path, &options.file())?,
            options.account.clone(),
        )?;
        reader.limits = self.limits_of_contracts(&options.account);
        let before = ContractReader::of(
            source::open(&options.path, &options.file())?,
            options.account.clone(),
        )?;
        let now = self.clock.now();
        let import = Import {
            account: options.account.clone(),
            who: options.who.clone(),
            why: options.why.clone(),
            today: self.day(now),
            now,
            commit: options.commit,
        };
        let mut imported = ImportReport {
            other_columns: reader.other_columns.clone(),
            read_as: reader.rows.reading().to_string(),
            notes: reader
                .rows
                .reading()
                .notes()
                .iter()
                .map(Message::to_string)
                .collect(),
            ..ImportReport::default()
        };
        let (batches, mut inbox) = mpsc::channel(2);
        let reading = tokio::task::spawn_blocking(move || {
            reader.contradicted = before.contradictions();
            reader.read_all(&batches)
        });
        while let Some(batch) = inbox.recv().await {
            self.import_batch(batch, &import, &mut imported, &mut told)
                .await?;
        }
        drop(inbox);
        reading.await.map_err(|_| ImportError::Broken)??;
        Ok(imported)
    }

    /// By currency: the most that a workflow charges of one contract of an account. Where none says
    /// anything it is the usual limit.
    fn limits_of_contracts(&self, account: &str) -> Vec<BTreeMap<String, i64>> {
        let files = load::files(&self.config.workflows).unwrap_or_default();
        let workflows = files
            .iter()
            .filter_map(|file| load::load(file, &self.job_kinds, &self.config).ok());
        let jobs = workflows.flat_map(|workflow| workflow.jobs);
        let charges = jobs.filter(|job| {
            let known = self
                .accounts
                .get(&job.gateway)
                .is_some_and(|known| known.identity == account);
            known && matches!(job.items.source, ItemSource::Contracts)
        });
        charges.map(|job| job.limits.item).collect()
    }

    async fn import_batch(
        &self,
        batch: Vec<NumberedContract>,
        import: &Import,
        imported: &mut ImportReport,
        told: &mut impl FnMut(RejectedContract),
    ) -> Result<(), ImportError> {
        let (mut lines, mut contracts) = (Vec::new(), Vec::new());
        for (line, read) in batch {
            match read {
                Ok((contract, trimmed)) => {
                    imported.trimmed += u64::from(trimmed);
                    lines.push(line);
                    contracts.push(contract);
                }
                Err(reason) => imported.reject(line, reason, told),
            }
        }
        let kept = self.ledger.keep_contracts(&contracts, import).await?;
        for ((line, contract), kept) in lines.into_iter().zip(&contracts).zip(kept) {
            match kept {
                UpsertOutcome::New => {
                    imported.new += 1;
                    let first = contract
                        .offer
                        .terms
                        .dues(contract.offer.terms.start())
                        .next();
                    imported.due_before_today +=
                        u64::from(first.is_some_and(|due| due < import.today));
                }
                UpsertOutcome::Changed => imported.changed += 1,
                UpsertOutcome::Same => imported.same += 1,
                UpsertOutcome::Refused(reason) => imported.reject(line, reason, told),
            }
        }
        Ok(())
    }
}

impl ImportReport {
    fn reject(&mut self, line: u64, reason: String, told: &mut impl FnMut(RejectedContract)) {
        self.rejected += 1;
        told(RejectedContract { line, reason });
    }
}

/// Reads a file's rows as contracts.
struct ContractReader {
    rows: FileRows,
    account: String,
    /// Where each of [`COLUMNS`] is.
    places: [Option<usize>; COLUMNS.len()],
    other_columns: Vec<String>,
    /// Half a fingerprint of each contract that was read: eight bytes each, and no two of a million
    /// are alike by chance.
    seen: HashSet<u64>,
    /// Those that stand in the file more than once, with different terms.
    contradicted: HashSet<u64>,
    /// What each workflow that charges the account's contracts says one item may be at most, by
    /// currency.
    limits: Vec<BTreeMap<String, i64>>,
}

impl ContractReader {
    fn of(rows: FileRows, account: String) -> Result<Self, ImportError> {
        let places = COLUMNS.map(|name| {
            let is_it = |column: &String| text::folded(column) == name;
            rows.columns().iter().position(is_it)
        });
        let required = COLUMNS.iter().zip(places).take(REQUIRED);
        let missing: Vec<&str> = required
            .filter(|(_, place)| place.is_none())
            .map(|(column, _)| *column)
            .collect();
        if !missing.is_empty() {
            let header: Vec<String> = rows
                .reading()
                .header
                .iter()
                .take(30)
                .map(|name| text::shown(name))
                .collect();
            return Err(ImportError::Column {
                columns: missing.join(", "),
                reading: rows.reading().to_string(),
                header: header.join(", "),
            });
        }
        let other_columns = rows
            .columns()
            .iter()
            .filter(|column| !COLUMNS.contains(&text::folded(column).as_str()))
            .cloned()
            .collect();
        Ok(Self {
            rows,
            account,
            places,
            other_columns,
            seen: HashSet::new(),
            contradicted: HashSet::new(),
            limits: Vec::new(),
        })
    }

    /// Which contracts stand in the file more than once with different terms: which of their rows
    /// is meant, nobody can tell.
    fn contradictions(mut self) -> HashSet<u64> {
        let (mut row, mut said, mut contradicted) =
            (FileRow::default(), HashMap::new(), HashSet::new());
        while let Some(read) = self.rows.read(&mut row) {
            match read {
                Ok(()) => {}
                Err(error) if error.fatal => break,
                Err(_) => continue,
            }
            let contract = fingerprint(
                &self.account,
                text::trimmed(self.cell(&row, "contract_id").unwrap_or_default()),
            );
            let terms: Vec<&str> = COLUMNS
                .into_iter()
                .skip(1)
                .map(|name| text::trimmed(self.cell(&row, name).unwrap_or_default()))
                .collect();
            let terms = fingerprint("terms", &terms.join("\n"));
            if *said.entry(contract).or_insert(terms) != terms {
                contradicted.insert(contract);
            }
        }
        contradicted
    }

    fn read_all(
        mut self,
        batches: &mpsc::Sender<Vec<NumberedContract>>,
    ) -> Result<(), ImportError> {
        let (mut row, mut batch) = (FileRow::default(), Vec::with_capacity(BATCH));
        while let Some(read) = self.rows.read(&mut row) {
            batch.push(match read {
                Ok(()) => (row.line, self.contract(&row)),
                Err(error) if error.fatal => {
                    batches.blocking_send(batch).ok();
                    return Err(ImportError::Row(error));
                }
                Err(error) => (error.line, Err(error.reason.to_string())),
            });
            if batch.len() == BATCH && batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                return Ok(());
            }
        }
        batches.blocking_send(batch).ok();
        Ok(())
    }

    /// What a row says, and whether blanks around a value were taken off; else all that is wrong
    /// with it.
    fn contract(&mut self, row: &FileRow) -> Result<(NewContract, bool), String> {
        let mut wrong = Vec::new();
        let contract = self.name(row).map_err(|reason| wrong.push(reason)).ok();
        let offer = self.offer(row, &mut wrong);
        let state = self.value(row, "state").filter(|state| *state != "active");
        if let Some((contract, state)) = contract.as_ref().zip(state) {
            wrong.push(format!(
                "the contract {contract} is {state}: only active ones are taken, so that none is charged again"
            ));
        }
        let print = contract
            .as_ref()
            .map(|contract| fingerprint(&self.account, contract));
        if print.is_some_and(|print| self.contradicted.contains(&print)) {
            wrong.push(format!(
                "the contract {} stands in the file more than once with different terms: none of its rows is taken",
                contract.as_deref().unwrap_or_default()
            ));
        }
        let (Some(contract), Some(offer), Some(print), true) =
            (contract, offer, print, wrong.is_empty())
        else {
            return Err(self.named(wrong, row.line).join("; "));
        };
        if !self.seen.insert(print) {
            return Err(format!(
                "the contract {contract} stands in the file already"
            ));
        }
        Ok((NewContract { contract, offer }, self.is_trimmed(row)))
    }

    /// These mistakes, each with the heading and the cell of the value that it begins with.
    fn named(&self, mut wrong: Vec<String>, line: u64) -> Vec<String> {
        for reason in &mut wrong {
            let begins = |name: &str| {
                let rest = reason.strip_prefix(name);
                rest.is_some_and(|rest| rest.starts_with([' ', ':']))
            };
            let columns = COLUMNS.iter().zip(self.places);
            let found = columns.filter_map(|(name, place)| Some((*name, place?)));
            if let Some((name, place)) = found.into_iter().find(|(name, _)| begins(name)) {
                let place = self.rows.reading().place(name, place, line);
                if let Some(place) = place {
                    reason.insert_str(name.len(), &place.to_string());
                }
            }
        }
        wrong
    }

    /// The contract's id.
    fn name(&self, row: &FileRow) -> Result<String, String> {
        let name = text::trimmed(self.cell(row, "contract_id").unwrap_or_default());
        let is_csv = matches!(self.rows.reading().kind, FileKind::Csv(..));
        let said = text::said_to_be_text(name).filter(|_| is_csv);
        let place = self.places[0].unwrap_or_default();
        if let Some(what) = self.rows.reading().not_as_typed(place, row, name) {
            return Err(format!("contract_id {what}"));
        }
        if said.is_none() && self.rows.reading().looks_rounded(place, name) {
            return Err(format!("contract_id {}", text::ROUNDED_NUMBER));
        }
        let contract = said.unwrap_or(name);
        if text::is_shortened_number(contract) {
            return Err(format!("contract_id {}", text::SHORTENED_NUMBER));
        }
        if let Some(what) = text::not_in_names(contract) {
            return Err(format!("contract_id {what}: {}", text::NAME_REMEDY));
        }
        let good = |byte: u8| byte.is_ascii_graphic() && byte != b',';
        if !(1..=ID_MAX).contains(&contract.len()) || !contract.bytes().all(good) {
            return Err(format!(
                "contract_id is not 1 to {ID_MAX} printable ASCII characters without blanks and commas"
            ));
        }
        Ok(contract.to_owned())
    }

    /// Whether blanks around one of its values were taken off.
    fn is_trimmed(&self, row: &FileRow) -> bool {
        COLUMNS
            .iter()
            .filter(|name| **name != DESCRIPTION)
            .filter_map(|name| self.cell(row, name))
            .any(|cell| text::trimmed(cell).len() != cell.len())
    }

    /// What is charged when; none where something is wrong with it, which is added to the rest.
    fn offer(&self, row: &FileRow, wrong: &mut Vec<String>) -> Option<ContractOffer> {
        let amount = self.amount(row).map_err(|reason| wrong.push(reason)).ok();
        let description = self.cell(row, DESCRIPTION).unwrap_or_default().to_owned();
        if description.chars().count() > DESCRIPTION_MAX
            || description.chars().any(char::is_control)
        {
            wrong.push(format!(
                "description has more than {DESCRIPTION_MAX} characters, or a control character"
            ));
        }
        let terms = self.terms(row, wrong);
        let amount_from = self.day(row, "amount_from");
        let amount_from = amount_from.map_err(|reason| wrong.push(reason)).ok();
        Some(ContractOffer {
            terms: terms?,
            amount: amount?,
            amount_from: amount_from?,
            description,
        })
    }

    fn amount(&self, row: &FileRow) -> Result<Amount, String> {
        let told = |name: &str, error: String| format!("{name}: {error}");
        let currency = Currency::parse(self.value(row, "currency").unwrap_or_default());
        let currency = currency.map_err(|error| told("currency", error.to_string()))?;
        let written = self.value(row, "amount").unwrap_or_default();
        let digits = text::plain_digits(written);
        let amount = Amount::parse(digits.as_deref().unwrap_or(written), currency);
        let amount = amount.map_err(|error| told("amount", error.to_string()))?;
        let most = self.most(currency);
        if amount.minor() > most {
            return Err(format!(
                "the amount {amount} is more than {}, the most that one item may be; limits: {{ item: {{ {currency}: … }} }} in the \
                 workflow that charges contracts allows more",
                decimal_text(i128::from(most), currency)
            ));
        }
        Ok(amount)
    }

    /// The most that one charge may be.
    fn most(&self, currency: Currency) -> i64 {
        let of = |limits: &BTreeMap<String, i64>| limits.get(currency.code()).copied();
        let said = self
            .limits
            .iter()
            .map(|limits| of(limits).unwrap_or_else(|| currency.usual_limit()));
        said.max().unwrap_or_else(|| currency.usual_limit())
    }

    fn terms(&self, row: &FileRow, wrong: &mut Vec<String>) -> Option<BillingTerms> {
        let start = self.day(row, "start").and_then(|start| {
            start.ok_or_else(|| {
                "start is empty: from which day on may a period fall due?".to_owned()
            })
        });
        let start = start.map_err(|reason| wrong.push(reason)).ok();
        let every = match self.value(row, "every") {
            None => Some(BillingInterval::Month),
            Some(words) => BillingInterval::parse(words).or_else(|| {
                wrong.push(format!(
                    "every is not one of {}",
                    BillingInterval::ALL.map(BillingInterval::as_str).join(", ")
                ));
                None
            }),
        };
        let within = match self.value(row, "pay_within") {
            None => Some(PAY_WITHIN),
            Some(text) => text.parse().ok().or_else(|| {
                wrong.push("pay_within is not a number of days".to_owned());
                None
            }),
        };
        let end = self
            .day(row, "end")
            .map_err(|reason| wrong.push(reason))
            .ok();
        let (start, every) = start.zip(every)?;
        let anchor = match self.value(row, "anchor_day") {
            None => Anchor::of(start, every),
            Some(text) => {
                let anchor = Anchor::parse(text, every);
                anchor.map_err(|error| wrong.push(error.to_string())).ok()?
            }
        };
        let terms = BillingTerms::new(every, anchor, start, end?, within?);
        terms.map_err(|error| wrong.push(error.to_string())).ok()
    }

    fn day(&self, row: &FileRow, name: &str) -> Result<Option<NaiveDate>, String> {
        let Some(text) = self.value(row, name) else {
            return Ok(None);
        };
        let day = (text.len() == 10)
            .then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok())
            .flatten();
        day.map(Some)
            .ok_or_else(|| format!("{name} is not a day such as 2026-11-30"))
    }

    /// A value without blanks around it, that is not empty.
    fn value<'r>(&self, row: &'r FileRow, name: &str) -> Option<&'r str> {
        let value = text::trimmed(self.cell(row, name)?);
        (!value.is_empty()).then_some(value)
    }

    /// What stands in a cell that is not empty.
    fn cell<'r>(&self, row: &'r FileRow, name: &str) -> Option<&'r str> {
        let place = COLUMNS.iter().position(|column| *column == name)?;
        row.get(self.places[place]?).filter(|text| !text.is_empty())
    }
}

fn fingerprint(account: &str, contract: &str) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&KeyHash::of(account, "contract", contract).as_bytes()[..8]);
    u64::from_be_bytes(half)
}
