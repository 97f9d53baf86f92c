//! The fields of a job kind's file, declared.

use payrun_yaml::fields::{FieldSpec, ValueShape};

/// A list of names, or one.
const NAMES: ValueShape =
    ValueShape::Either(&[ValueShape::Text, ValueShape::List(&ValueShape::Text)]);

static FIELD: [FieldSpec; 11] = [
    FieldSpec::required(
        "type",
        ValueShape::Word(&["text", "choice", "date", "decimal", "amount", "currency"]),
        "What it holds.",
    ),
    FieldSpec::optional(
        "values",
        ValueShape::List(&ValueShape::Text),
        "The words of a choice; the codes that a currency may be.",
    ),
    FieldSpec::optional(
        "min",
        ValueShape::Integer(0, 100_000),
        "Fewest characters of a text; 1 if not given.",
    ),
    FieldSpec::optional(
        "max",
        ValueShape::Integer(1, 100_000),
        "Most characters of a text.",
    ),
    FieldSpec::optional(
        "alphabet",
        ValueShape::Word(&["digits", "order_number", "name", "ascii"]),
        "Which characters a text may have.",
    ),
    FieldSpec::optional("required", ValueShape::Boolean, "Whether it must be given."),
    FieldSpec::optional(
        "sensitive",
        ValueShape::Boolean,
        "Whether it is personal data: never shown.",
    ),
    FieldSpec::optional(
        "identity",
        ValueShape::Boolean,
        "Whether another value makes the same key another thing.",
    ),
    FieldSpec::optional(
        "gateways",
        ValueShape::List(&ValueShape::Text),
        "The kinds of gateway that are told of it; all of the job kind's if not given.",
    ),
    FieldSpec::optional(
        "default",
        ValueShape::Text,
        "What it holds if nothing is given; may use run.",
    ),
    FieldSpec::required("doc", ValueShape::Text, "One line for people."),
];

static OUTCOME: [FieldSpec; 20] = [
    FieldSpec::optional(
        "http",
        ValueShape::Text,
        "The HTTP status (404) or its class (5xx).",
    ),
    FieldSpec::optional(
        "code",
        NAMES,
        "The gateway's error code, or several; none: there is no code.",
    ),
    FieldSpec::optional(
        "state",
        NAMES,
        "The order's state in the gateway's words, or several.",
    ),
    FieldSpec::optional(
        "day_over_for",
        ValueShape::Duration,
        "How long the day must be over that is asked about.",
    ),
    FieldSpec::optional(
        "after",
        ValueShape::Word(&["accepted", "exists"]),
        "Only once the gateway has accepted the order, or has answered that its number exists.",
    ),
    FieldSpec::optional(
        "when",
        ValueShape::Named(&ValueShape::Text),
        "One field of the item that must have this value.",
    ),
    FieldSpec::optional(
        "unless_refunded",
        ValueShape::Boolean,
        "Only where payrun knows of no refund of the payment: else the reply may speak of that.",
    ),
    FieldSpec::optional(
        "exists",
        ValueShape::Boolean,
        "Whether it says that the order number exists already.",
    ),
    FieldSpec::optional(
        "wait",
        ValueShape::Duration,
        "How long it is left alone at least before it is sent again.",
    ),
    FieldSpec::optional(
        "fact",
        ValueShape::Named(&ValueShape::Text),
        "One fact of the reply that must have this value.",
    ),
    FieldSpec::required(
        "answer",
        ValueShape::Word(&[
            "done",
            "nothing",
            "accepted",
            "declined",
            "not_processed",
            "absent",
            "unknown",
        ]),
        "What it means.",
    ),
    FieldSpec::optional(
        "class",
        ValueShape::Word(&["soft", "hard", "spent", "person", "config", "funds"]),
        "What kind of decline it is.",
    ),
    FieldSpec::optional(
        "number",
        ValueShape::Word(&["same", "next", "ask"]),
        "What a decline does to the order number; ask if not given.",
    ),
    FieldSpec::optional(
        "cause",
        ValueShape::Word(&["ambiguous", "gateway_failed", "not_asked", "unmapped"]),
        "Why it is unknown.",
    ),
    FieldSpec::optional(
        "lane",
        ValueShape::Word(&["stop", "suspend"]),
        "What it does to the lane.",
    ),
    FieldSpec::optional(
        "explain",
        ValueShape::Boolean,
        "Whether the explain operation is worth calling.",
    ),
    FieldSpec::optional(
        "contract",
        ValueShape::Word(&["ended", "suspended"]),
        "What a decline does to a contract that is kept in payrun: it ends, or waits for a person.",
    ),
    FieldSpec::optional(
        "advice",
        ValueShape::Text,
        "What a person may do about a decline.",
    ),
    FieldSpec::optional(
        "request_fault",
        ValueShape::Boolean,
        "Whether a decline says that the request as such is at fault: the first items of a job that meet it stop the job.",
    ),
    FieldSpec::required(
        "source",
        ValueShape::Text,
        "The page that says so (title, address, date), or [C] and what it rests on.",
    ),
];

static OUTCOMES: [FieldSpec; 2] = [
    FieldSpec::required(
        "submit",
        ValueShape::List(&ValueShape::Fields(&OUTCOME)),
        "What replies to the submit operation mean.",
    ),
    FieldSpec::optional(
        "query",
        ValueShape::List(&ValueShape::Fields(&OUTCOME)),
        "What replies to the query operation mean.",
    ),
];

static LOOKUP: [FieldSpec; 4] = [
    FieldSpec::required(
        "operation",
        ValueShape::Text,
        "The operation that looks it up.",
    ),
    FieldSpec::optional(
        "given",
        ValueShape::Text,
        "The field without which nothing is looked up.",
    ),
    FieldSpec::optional(
        "reserves_amount",
        ValueShape::Boolean,
        "Whether the item's amount is taken from it, and must not exceed it.",
    ),
    FieldSpec::required(
        "outcomes",
        ValueShape::List(&ValueShape::Fields(&OUTCOME)),
        "What replies mean; done: it may be acted on.",
    ),
];

static NOT_BEFORE: [FieldSpec; 4] = [
    FieldSpec::required("field", ValueShape::Text, "The field whose value decides."),
    FieldSpec::required(
        "if_not_given",
        ValueShape::Text,
        "What its value is where it is not given.",
    ),
    FieldSpec::required(
        "ages",
        ValueShape::Named(&ValueShape::Duration),
        "By value: how old the payment must be.",
    ),
    FieldSpec::required(
        "source",
        ValueShape::Text,
        "The page that says so (title, address, date), or [C] and what it rests on.",
    ),
];

static PAYER_CHECK: [FieldSpec; 2] = [
    FieldSpec::required("operation", ValueShape::Text, "The operation that asks."),
    FieldSpec::required(
        "given",
        ValueShape::Text,
        "The field without which nothing is asked.",
    ),
];

static RULE: [FieldSpec; 5] = [
    FieldSpec::required(
        "when",
        ValueShape::Named(&NAMES),
        "One field, and with which of its values the rule counts; given: with any.",
    ),
    FieldSpec::optional(
        "needs",
        ValueShape::List(&ValueShape::Text),
        "Fields that must be given then.",
    ),
    FieldSpec::optional(
        "without",
        ValueShape::List(&ValueShape::Text),
        "Fields that must not be given then.",
    ),
    FieldSpec::optional(
        "only",
        ValueShape::Named(&ValueShape::List(&ValueShape::Text)),
        "By field: the values it may have then.",
    ),
    FieldSpec::required(
        "remedy",
        ValueShape::Text,
        "What to do about a row that breaks it.",
    ),
];

static OPERATIONS: [FieldSpec; 17] = [
    FieldSpec::required(
        "submit",
        ValueShape::Text,
        "The operation that has the effect.",
    ),
    FieldSpec::optional(
        "query",
        ValueShape::Text,
        "The operation that asks what became of it.",
    ),
    FieldSpec::optional(
        "explain",
        ValueShape::Text,
        "The operation that explains a decline.",
    ),
    FieldSpec::optional(
        "lookup",
        ValueShape::Fields(&LOOKUP),
        "The lookup of the payment that is acted on, before anything is sent.",
    ),
    FieldSpec::optional(
        "payer_check",
        ValueShape::Fields(&PAYER_CHECK),
        "A question about the payer, once the order shows; its answer is kept and decides nothing.",
    ),
    FieldSpec::optional(
        "named_by",
        NAMES,
        "The fields by which the gateway names what it is about, if not our number; the first that is given.",
    ),
    FieldSpec::optional(
        "names_no_amount",
        ValueShape::Boolean,
        "Whether the replies name no amount.",
    ),
    FieldSpec::optional(
        "requires",
        ValueShape::List(&ValueShape::Text),
        "Fields that must be given on this gateway.",
    ),
    FieldSpec::optional(
        "values",
        ValueShape::Named(&ValueShape::List(&ValueShape::Text)),
        "The words of a choice that this gateway knows.",
    ),
    FieldSpec::optional(
        "max",
        ValueShape::Named(&ValueShape::Integer(1, 100_000)),
        "By text field: the most characters that this gateway takes.",
    ),
    FieldSpec::optional(
        "utf8mb3",
        ValueShape::Boolean,
        "Whether texts may have only characters of at most three bytes of UTF-8.",
    ),
    FieldSpec::optional(
        "rules",
        ValueShape::List(&ValueShape::Fields(&RULE)),
        "What fields ask of each other on this gateway.",
    ),
    FieldSpec::optional(
        "max_bytes",
        ValueShape::Named(&ValueShape::Integer(1, 100_000)),
        "By field: the most bytes of UTF-8 that this gateway takes.",
    ),
    FieldSpec::optional(
        "not_before",
        ValueShape::Fields(&NOT_BEFORE),
        "How old a payment that payrun made must be before this is sent; the account's withdraw_at_once switches it off.",
    ),
    FieldSpec::optional(
        "statement_texts",
        ValueShape::List(&ValueShape::Text),
        "Text fields that stand in the gateway's statement, which separates values by a comma and a back-tick.",
    ),
    FieldSpec::optional(
        "stores",
        ValueShape::Word(&["statement", "settlements"]),
        "What is kept of the replies.",
    ),
    FieldSpec::required(
        "outcomes",
        ValueShape::Fields(&OUTCOMES),
        "What the gateway's replies mean; the first row that fits decides.",
    ),
];

/// Retry, as job kinds and workflows write it.
pub static RETRY: [FieldSpec; 3] = [
    FieldSpec::optional(
        "attempts",
        ValueShape::Integer(1, 1_000),
        "How often one order number is sent at most.",
    ),
    FieldSpec::optional(
        "first",
        ValueShape::Duration,
        "The wait after the first attempt; doubles each time.",
    ),
    FieldSpec::optional("max", ValueShape::Duration, "The longest wait."),
];

/// The query policy, as job kinds and workflows write it.
pub static QUERY: [FieldSpec; 3] = [
    FieldSpec::optional(
        "schedule",
        ValueShape::List(&ValueShape::Duration),
        "Waits between queries; the last repeats.",
    ),
    FieldSpec::optional(
        "grace",
        ValueShape::Duration,
        "How long after sending \"no such order\" does not count.",
    ),
    FieldSpec::optional(
        "horizon",
        ValueShape::Duration,
        "How long to query; then a person is needed.",
    ),
];

static POLICY: [FieldSpec; 3] = [
    FieldSpec::required(
        "retry",
        ValueShape::Fields(&RETRY),
        "Sending again when certainly nothing happened.",
    ),
    FieldSpec::required(
        "query",
        ValueShape::Fields(&QUERY),
        "Querying when it is not known what happened.",
    ),
    FieldSpec::required(
        "dunning",
        ValueShape::List(&ValueShape::Duration),
        "How long after each soft decline to try again.",
    ),
];

static EXPAND: [FieldSpec; 2] = [
    FieldSpec::required("field", ValueShape::Text, "The field."),
    FieldSpec::required(
        "values",
        ValueShape::Named(&ValueShape::List(&ValueShape::Text)),
        "By value: those it stands for.",
    ),
];

static IDENTITY_CARD: [FieldSpec; 2] = [
    FieldSpec::required("number", ValueShape::Text, "The field with its number."),
    FieldSpec::optional(
        "document",
        ValueShape::Text,
        "The field that says what document it is, if not IDCARD.",
    ),
];

static NOT_ABOVE: [FieldSpec; 3] = [
    FieldSpec::required("field", ValueShape::Text, "The decimal field."),
    FieldSpec::required(
        "most",
        ValueShape::Text,
        "The decimal field, or the amount, that it is not above.",
    ),
    FieldSpec::required(
        "remedy",
        ValueShape::Text,
        "What to do about a row that breaks it.",
    ),
];

static WHOLE_OR_PARTS: [FieldSpec; 2] = [
    FieldSpec::required(
        "of",
        ValueShape::List(&ValueShape::Text),
        "The fields that name the whole.",
    ),
    FieldSpec::required(
        "part",
        ValueShape::Text,
        "The field that names a part; the whole where it is not given.",
    ),
];

static PAYMENT_NAMES: [FieldSpec; 2] = [
    FieldSpec::required(
        "ours",
        ValueShape::Text,
        "The field with your number of the payment.",
    ),
    FieldSpec::required(
        "theirs",
        ValueShape::Text,
        "The field with the gateway's number of the payment.",
    ),
];

static NOT_OLDER_THAN: [FieldSpec; 2] = [
    FieldSpec::required("field", ValueShape::Text, "The date field."),
    FieldSpec::required(
        "age",
        ValueShape::Duration,
        "How long before the run it may be.",
    ),
];

/// The fields of a job kind's file.
pub static JOB_KIND: [FieldSpec; 22] = [
    FieldSpec::required("name", ValueShape::Text, "Its name, as uses: spells it."),
    FieldSpec::required("description", ValueShape::Text, "One line for people."),
    FieldSpec::required(
        "effect",
        ValueShape::Boolean,
        "Whether it changes anything at the gateway.",
    ),
    FieldSpec::required(
        "fields",
        ValueShape::Named(&ValueShape::Fields(&FIELD)),
        "What may be given under with:.",
    ),
    FieldSpec::optional(
        "one_at_a_time",
        ValueShape::Text,
        "The field of which only one item is under way at a time.",
    ),
    FieldSpec::optional(
        "one_of",
        ValueShape::List(&ValueShape::List(&ValueShape::Text)),
        "Groups of fields of which exactly one is given.",
    ),
    FieldSpec::optional(
        "all_or_none",
        ValueShape::List(&ValueShape::List(&ValueShape::Text)),
        "Groups of fields of which all are given or none.",
    ),
    FieldSpec::optional(
        "amount_is_sum_of",
        ValueShape::List(&ValueShape::Text),
        "Fields that must add up to the amount.",
    ),
    FieldSpec::optional(
        "redo_with",
        ValueShape::Text,
        "The kind by which what failed is done again with other content under the same key, where the gateway has it.",
    ),
    FieldSpec::optional(
        "identity_card",
        ValueShape::Fields(&IDENTITY_CARD),
        "A mainland identity card: its places, birthday and check digit are checked.",
    ),
    FieldSpec::optional(
        "not_above",
        ValueShape::List(&ValueShape::Fields(&NOT_ABOVE)),
        "Decimal fields that are never above another field.",
    ),
    FieldSpec::optional(
        "expand",
        ValueShape::Fields(&EXPAND),
        "A field of which some values stand for several items.",
    ),
    FieldSpec::optional(
        "whole_or_parts",
        ValueShape::Fields(&WHOLE_OR_PARTS),
        "What is done once of a whole, or of its parts, never both; kinds that name the same fields count together.",
    ),
    FieldSpec::optional(
        "payment_names",
        ValueShape::Fields(&PAYMENT_NAMES),
        "The two fields that name the same payment: one number of yours goes with one of the gateway's, in all kinds that say so.",
    ),
    FieldSpec::optional(
        "not_older_than",
        ValueShape::Fields(&NOT_OLDER_THAN),
        "How old a date field may be.",
    ),
    FieldSpec::optional(
        "local",
        ValueShape::Boolean,
        "Whether payrun does it by itself, without calling a gateway.",
    ),
    FieldSpec::optional(
        "approval",
        ValueShape::Boolean,
        "Whether its batches wait for somebody's approval unless the workflow says otherwise.",
    ),
    FieldSpec::optional(
        "key",
        ValueShape::List(&ValueShape::Text),
        "The fields the key is made of if the workflow gives none.",
    ),
    FieldSpec::optional(
        "order_number",
        ValueShape::Text,
        "The field that is the order number of a query.",
    ),
    FieldSpec::optional(
        "in_statement",
        ValueShape::Word(&["payment", "refund", "reversal"]),
        "As what its items stand in the gateway's statements.",
    ),
    FieldSpec::required(
        "policy",
        ValueShape::Fields(&POLICY),
        "Policies where the workflow gives none.",
    ),
    FieldSpec::required(
        "gateways",
        ValueShape::Named(&ValueShape::Fields(&OPERATIONS)),
        "How it is done, by gateway kind.",
    ),
];
