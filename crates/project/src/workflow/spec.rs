//! The fields of a workflow file, declared.

use super::source::{Separator, TextEncoding};
use crate::config::WORKFLOW_RULE;
use crate::job_kinds::spec::{QUERY, RETRY};
use payrun_yaml::fields::{FieldSpec, ValueShape};

static SCHEDULE: [FieldSpec; 10] = [
    FieldSpec::optional(
        "cron",
        ValueShape::Text,
        "A crontab line: minute, hour, day of month, month, day of week.",
    ),
    FieldSpec::optional(
        "every",
        ValueShape::Word(&["day", "week", "month"]),
        "How often, instead of cron.",
    ),
    FieldSpec::optional(
        "on",
        ValueShape::Text,
        "The weekday of a week; the day of a month (31 is the last of a shorter one).",
    ),
    FieldSpec::optional(
        "at",
        ValueShape::Text,
        "The time of day of every: \"02:30\".",
    ),
    FieldSpec::optional(
        "timezone",
        ValueShape::Text,
        "The time zone; payrun.yaml's if not given.",
    ),
    FieldSpec::optional(
        "calendars",
        ValueShape::List(&ValueShape::Text),
        "Business-day calendars of the calendars folder; a day counts if it counts in all of them.",
    ),
    FieldSpec::optional(
        "roll",
        ValueShape::Word(&["forward", "back", "modified-forward", "skip"]),
        "Where a day goes that is no business day; forward if not given. The run stays the one of its own date.",
    ),
    FieldSpec::optional(
        "missed",
        ValueShape::Word(&["none", "latest", "each"]),
        "Which of the times fire that came while no process was up or the workflow was paused; latest if not given.",
    ),
    FieldSpec::optional(
        "overlap",
        ValueShape::Word(&["allow", "skip", "queue"]),
        "What is done while an earlier run of the workflow has not ended; allow if not given, since each key happens once.",
    ),
    FieldSpec::optional(
        "paused",
        ValueShape::Boolean,
        "Whether it is switched off; from then on it begins anew.",
    ),
];

static PARAM: [FieldSpec; 3] = [
    FieldSpec::required(
        "type",
        ValueShape::Word(&["text", "integer", "boolean", "date"]),
        "What it holds.",
    ),
    FieldSpec::optional(
        "default",
        ValueShape::Scalar,
        "What it holds if a run gives none; without one it must be given.",
    ),
    FieldSpec::optional("description", ValueShape::Text, "One line for people."),
];

/// The states whose items another job may take.
const STATES: ValueShape = ValueShape::Word(&["succeeded", "failed", "needs_review", "cancelled"]);

static ITEMS: [FieldSpec; 19] = [
    FieldSpec::optional(
        "file",
        ValueShape::Template,
        "The file of rows, relative to this file: CSV, JSON Lines or Excel; may use params and run.",
    ),
    FieldSpec::optional(
        "format",
        ValueShape::Word(&["csv", "jsonl", "xlsx"]),
        "Its format; told from the name if not given: .csv, .jsonl or .ndjson, .xlsx.",
    ),
    FieldSpec::optional(
        "sheet",
        ValueShape::Text,
        "The sheet of an Excel file; the first that is not hidden if not given.",
    ),
    FieldSpec::optional(
        "encoding",
        ValueShape::Word(&TextEncoding::WORDS),
        "The encoding of a text file that is not UTF-8, such as gb18030; a file that is UTF-8 is read as that.",
    ),
    FieldSpec::optional(
        "separator",
        ValueShape::Word(&Separator::WORDS),
        "What separates the values of a CSV file; told from its header if not given.",
    ),
    FieldSpec::optional(
        "header",
        ValueShape::Integer(1, 1_048_576),
        "The line that names the columns; if not given, the first that names every column that is used.",
    ),
    FieldSpec::optional(
        "hidden",
        ValueShape::Word(&["refuse", "include"]),
        "Whether hidden and filtered rows and hidden columns of an Excel sheet count; the file is refused if not given.",
    ),
    FieldSpec::optional(
        "columns",
        ValueShape::Named(&ValueShape::Either(&[
            ValueShape::Text,
            ValueShape::List(&ValueShape::Text),
        ])),
        "By column: what it may be called in the file, such as out_trade_no: [订单号, Order No.]. Case, width and blanks around do not count.",
    ),
    FieldSpec::optional(
        "optional",
        ValueShape::List(&ValueShape::Text),
        "Columns that a file may lack, such as [cert_type]: their values are empty then.",
    ),
    FieldSpec::optional(
        "unused",
        ValueShape::List(&ValueShape::Text),
        "Columns of the file that are not meant, though they are called like a field of the job kind, such as [币种]. Any other column \
         that is called so and says something else than what is sent refuses its rows.",
    ),
    FieldSpec::optional(
        "from",
        ValueShape::Text,
        "Instead of a file: another job, or workflow/job for that workflow's runs of the last 30 days.",
    ),
    FieldSpec::optional(
        "state",
        ValueShape::Either(&[STATES, ValueShape::List(&STATES)]),
        "Which of its items; succeeded if not given.",
    ),
    FieldSpec::optional(
        "days",
        ValueShape::Integer(1, 400),
        "Instead of a file: a row with date for each of the last days.",
    ),
    FieldSpec::optional(
        "window",
        ValueShape::Integer(1, 400),
        "Instead of a file: one row with from and to for the last days.",
    ),
    FieldSpec::optional(
        "contracts",
        ValueShape::Word(&["active"]),
        "Instead of a file: a row for each period that is due, of the contracts imported by payrun contracts.",
    ),
    FieldSpec::optional(
        "due",
        ValueShape::Word(&["run"]),
        "On which day the periods are due: the run's.",
    ),
    FieldSpec::optional(
        "until",
        ValueShape::Word(&["yesterday", "today"]),
        "The last of the days; yesterday if not given.",
    ),
    FieldSpec::optional(
        "where",
        ValueShape::Condition,
        "Which rows are meant, such as item.active == \"yes\".",
    ),
    FieldSpec::optional(
        "searchable",
        ValueShape::List(&ValueShape::Text),
        "Columns of the file, or of another job's items, by which payrun find finds an item, such as [customer_no, phone]. What may be \
         personal is kept as a keyed hash only.",
    ),
];

static LIMITS: [FieldSpec; 3] = [
    FieldSpec::optional(
        "items",
        ValueShape::Integer(1, i64::MAX),
        "Most items; over it nothing at all is sent.",
    ),
    FieldSpec::optional(
        "total",
        ValueShape::Named(&ValueShape::Text),
        "Most money by currency, such as HKD: \"1000.00\".",
    ),
    FieldSpec::optional(
        "item",
        ValueShape::Named(&ValueShape::Text),
        "Most money of one item by currency; a row above it is refused. If not given, a hundred million of the main unit, more where \
         that is little (JPY, KRW, VND, IDR and the like).",
    ),
];

static APPROVAL: [FieldSpec; 3] = [
    FieldSpec::optional(
        "above",
        ValueShape::Named(&ValueShape::Text),
        "Money by currency that needs no approval, such as HKD: \"10000.00\"; every batch needs one if not given.",
    ),
    FieldSpec::optional(
        "by",
        ValueShape::Integer(1, 5),
        "How many persons, none of them who started the run; 1 if not given.",
    ),
    FieldSpec::optional(
        "expires",
        ValueShape::Duration,
        "How long it waits until it is withdrawn; 7d if not given.",
    ),
];

/// The fields of a job.
pub static JOB: [FieldSpec; 15] = [
    FieldSpec::required("uses", ValueShape::Text, "The job kind: what is done."),
    FieldSpec::required(
        "gateway",
        ValueShape::Text,
        "The gateway account of payrun.yaml it is done on.",
    ),
    FieldSpec::optional(
        "needs",
        ValueShape::List(&ValueShape::Text),
        "Jobs that must have ended before.",
    ),
    FieldSpec::required(
        "items",
        ValueShape::Fields(&ITEMS),
        "Where the rows come from.",
    ),
    FieldSpec::optional(
        "key",
        ValueShape::Template,
        "What may happen at most once, such as {{ item.contract_id }}/{{ run.month }}.",
    ),
    FieldSpec::optional(
        "order_number",
        ValueShape::Template,
        "The order number, where it is not to be derived from the key.",
    ),
    FieldSpec::optional(
        "empty_order_number",
        ValueShape::Word(&["refuse", "derive"]),
        "A row whose order_number comes out empty: refuse it (the default), or derive its number from the key.",
    ),
    FieldSpec::required(
        "with",
        ValueShape::Named(&ValueShape::Template),
        "The input fields of the job kind.",
    ),
    FieldSpec::optional(
        "limits",
        ValueShape::Fields(&LIMITS),
        "What a run must not exceed; over it nothing at all is sent.",
    ),
    FieldSpec::optional(
        "approval",
        ValueShape::Either(&[ValueShape::Word(&["off"]), ValueShape::Fields(&APPROVAL)]),
        "Its items wait until somebody else has approved them; off, or above, by, expires. Refunds wait if not given.",
    ),
    FieldSpec::optional(
        "rate",
        ValueShape::Rate,
        "A slower rate than the gateway account's.",
    ),
    FieldSpec::optional(
        "concurrency",
        ValueShape::Integer(1, 1024),
        "A smaller concurrency than the gateway account's.",
    ),
    FieldSpec::optional(
        "retry",
        ValueShape::Fields(&RETRY),
        "Sending again when certainly nothing happened.",
    ),
    FieldSpec::optional(
        "query",
        ValueShape::Fields(&QUERY),
        "Querying when it is not known what happened.",
    ),
    FieldSpec::optional(
        "dunning",
        ValueShape::List(&ValueShape::Duration),
        "How long after each soft decline to try again: [1d, 3d, 7d].",
    ),
];

/// The fields of a workflow file.
pub static WORKFLOW: [FieldSpec; 7] = [
    FieldSpec::required("workflow", ValueShape::Text, "Its name: a-z, 0-9, - and _."),
    FieldSpec::optional("description", ValueShape::Text, "One line for people."),
    FieldSpec::optional(
        "schedule",
        ValueShape::Either(&[ValueShape::Text, ValueShape::Fields(&SCHEDULE)]),
        "When it fires by itself: a crontab line, or cron or every with a time zone.",
    ),
    FieldSpec::optional(
        "params",
        ValueShape::Named(&ValueShape::Fields(&PARAM)),
        "What a run may be given, by name.",
    ),
    FieldSpec::required(
        "jobs",
        ValueShape::Named(&ValueShape::Fields(&JOB)),
        "What is done, by name.",
    ),
    FieldSpec::optional(
        "alerts",
        ValueShape::List(&ValueShape::Fields(&WORKFLOW_RULE)),
        "Who hears of what.",
    ),
    FieldSpec::optional(
        "report",
        ValueShape::Boolean,
        "true: when a run ends, its report is written as a page and a workbook, under reports/runs of files.",
    ),
];
