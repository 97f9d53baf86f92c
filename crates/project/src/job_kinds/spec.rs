//! The fields of a job kind's file, declared.

use payrun_yaml::fields::{FieldSpec, Shape};

/// A list of names, or one.
const NAMES: Shape = Shape::Either(&[Shape::Text, Shape::List(&Shape::Text)]);

static FIELD: [FieldSpec; 10] = [
    FieldSpec::required(
        "type",
        Shape::Word(&["text", "choice", "date", "decimal", "amount", "currency"]),
        "What it holds.",
    ),
    FieldSpec::optional(
        "values",
        Shape::List(&Shape::Text),
        "The words of a choice; the codes that a currency may be.",
    ),
    FieldSpec::optional(
        "min",
        Shape::Integer(0, 100_000),
        "Fewest characters of a text; 1 if not given.",
    ),
    FieldSpec::optional(
        "max",
        Shape::Integer(1, 100_000),
        "Most characters of a text.",
    ),
    FieldSpec::optional(
        "alphabet",
        Shape::Word(&["digits", "order_number", "name", "ascii"]),
        "Which characters a text may have.",
    ),
    FieldSpec::optional("required", Shape::Boolean, "Whether it must be given."),
    FieldSpec::optional(
        "sensitive",
        Shape::Boolean,
        "Whether it is personal data: never shown.",
    ),
    FieldSpec::optional(
        "identity",
        Shape::Boolean,
        "Whether another value makes the same key another thing.",
    ),
    FieldSpec::optional(
        "default",
        Shape::Text,
        "What it holds if nothing is given; may use run.",
    ),
    FieldSpec::required("doc", Shape::Text, "One line for people."),
];

static OUTCOME: [FieldSpec; 20] = [
    FieldSpec::optional(
        "http",
        Shape::Text,
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
        Shape::Duration,
        "How long the day must be over that is asked about.",
    ),
    FieldSpec::optional(
        "after",
        Shape::Word(&["accepted", "exists"]),
        "Only once the gateway has accepted the order, or has answered that its number exists.",
    ),
    FieldSpec::optional(
        "when",
        Shape::Named(&Shape::Text),
        "One field of the item that must have this value.",
    ),
    FieldSpec::optional(
        "unless_refunded",
        Shape::Boolean,
        "Only where payrun knows of no refund of the payment: else the reply may speak of that.",
    ),
    FieldSpec::optional(
        "exists",
        Shape::Boolean,
        "Whether it says that the order number exists already.",
    ),
    FieldSpec::optional(
        "wait",
        Shape::Duration,
        "How long it is left alone at least before it is sent again.",
    ),
    FieldSpec::optional(
        "fact",
        Shape::Named(&Shape::Text),
        "One fact of the reply that must have this value.",
    ),
    FieldSpec::required(
        "answer",
        Shape::Word(&[
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
        Shape::Word(&["soft", "hard", "spent", "person", "config", "funds"]),
        "What kind of decline it is.",
    ),
    FieldSpec::optional(
        "number",
        Shape::Word(&["same", "next", "ask"]),
        "What a decline does to the order number; ask if not given.",
    ),
    FieldSpec::optional(
        "cause",
        Shape::Word(&["ambiguous", "gateway_failed", "not_asked", "unlisted"]),
        "Why it is unknown.",
    ),
    FieldSpec::optional(
        "lane",
        Shape::Word(&["stop", "hold"]),
        "What it does to the lane.",
    ),
    FieldSpec::optional(
        "explain",
        Shape::Boolean,
        "Whether the explain operation is worth calling.",
    ),
    FieldSpec::optional(
        "contract",
        Shape::Word(&["ended", "paused"]),
        "What a decline does to a contract that is kept in payrun: it ends, or waits for a person.",
    ),
    FieldSpec::optional(
        "advice",
        Shape::Text,
        "What a person may do about a decline.",
    ),
    FieldSpec::optional(
        "request_fault",
        Shape::Boolean,
        "Whether a decline says that the request as such is at fault: the first items of a job that meet it stop the job.",
    ),
    FieldSpec::required(
        "source",
        Shape::Text,
        "The page that says so (title, address, date), or [C] and what it rests on.",
    ),
];

static OUTCOMES: [FieldSpec; 2] = [
    FieldSpec::required(
        "submit",
        Shape::List(&Shape::Fields(&OUTCOME)),
        "What replies to the submit operation mean.",
    ),
    FieldSpec::optional(
        "query",
        Shape::List(&Shape::Fields(&OUTCOME)),
        "What replies to the query operation mean.",
    ),
];

static PAYMENT: [FieldSpec; 4] = [
    FieldSpec::required("operation", Shape::Text, "The operation that looks it up."),
    FieldSpec::optional(
        "given",
        Shape::Text,
        "The field without which nothing is looked up.",
    ),
    FieldSpec::optional(
        "takes",
        Shape::Boolean,
        "Whether the item's amount is taken from it, and must not exceed it.",
    ),
    FieldSpec::required(
        "outcomes",
        Shape::List(&Shape::Fields(&OUTCOME)),
        "What replies mean; done: it may be acted on.",
    ),
];

static NOT_BEFORE: [FieldSpec; 4] = [
    FieldSpec::required("field", Shape::Text, "The field whose value decides."),
    FieldSpec::required(
        "if_not_given",
        Shape::Text,
        "What its value is where it is not given.",
    ),
    FieldSpec::required(
        "ages",
        Shape::Named(&Shape::Duration),
        "By value: how old the payment must be.",
    ),
    FieldSpec::required(
        "source",
        Shape::Text,
        "The page that says so (title, address, date), or [C] and what it rests on.",
    ),
];

static PAYER_CHECK: [FieldSpec; 2] = [
    FieldSpec::required("operation", Shape::Text, "The operation that asks."),
    FieldSpec::required(
        "given",
        Shape::Text,
        "The field without which nothing is asked.",
    ),
];

static RULE: [FieldSpec; 5] = [
    FieldSpec::required(
        "when",
        Shape::Named(&NAMES),
        "One field, and with which of its values the rule counts; given: with any.",
    ),
    FieldSpec::optional(
        "needs",
        Shape::List(&Shape::Text),
        "Fields that must be given then.",
    ),
    FieldSpec::optional(
        "without",
        Shape::List(&Shape::Text),
        "Fields that must not be given then.",
    ),
    FieldSpec::optional(
        "only",
        Shape::Named(&Shape::List(&Shape::Text)),
        "By field: the values it may have then.",
    ),
    FieldSpec::required(
        "remedy",
        Shape::Text,
        "What to do about a row that breaks it.",
    ),
];

static OPERATIONS: [FieldSpec; 17] = [
    FieldSpec::required("submit", Shape::Text, "The operation that has the effect."),
    FieldSpec::optional(
        "query",
        Shape::Text,
        "The operation that asks what became of it.",
    ),
    FieldSpec::optional(
        "explain",
        Shape::Text,
        "The operation that explains a decline.",
    ),
    FieldSpec::optional(
        "payment",
        Shape::Fields(&PAYMENT),
        "The payment that is acted on, looked up before.",
    ),
    FieldSpec::optional(
        "payer_check",
        Shape::Fields(&PAYER_CHECK),
        "A question about the payer, once the order shows; its answer is kept and decides nothing.",
    ),
    FieldSpec::optional(
        "named_by",
        NAMES,
        "The fields by which the gateway names what it is about, if not our number; the first that is given.",
    ),
    FieldSpec::optional(
        "names_no_amount",
        Shape::Boolean,
        "Whether the replies name no amount.",
    ),
    FieldSpec::optional(
        "requires",
        Shape::List(&Shape::Text),
        "Fields that must be given on this gateway.",
    ),
    FieldSpec::optional(
        "values",
        Shape::Named(&Shape::List(&Shape::Text)),
        "The words of a choice that this gateway knows.",
    ),
    FieldSpec::optional(
        "max",
        Shape::Named(&Shape::Integer(1, 100_000)),
        "By text field: the most characters that this gateway takes.",
    ),
    FieldSpec::optional(
        "three_byte_text",
        Shape::Boolean,
        "Whether texts may have only characters of at most three bytes of UTF-8.",
    ),
    FieldSpec::optional(
        "rules",
        Shape::List(&Shape::Fields(&RULE)),
        "What fields ask of each other on this gateway.",
    ),
    FieldSpec::optional(
        "max_bytes",
        Shape::Named(&Shape::Integer(1, 100_000)),
        "By field: the most bytes of UTF-8 that this gateway takes.",
    ),
    FieldSpec::optional(
        "not_before",
        Shape::Fields(&NOT_BEFORE),
        "How old a payment that payrun made must be before this is sent; the account's withdraw_at_once switches it off.",
    ),
    FieldSpec::optional(
        "statement_texts",
        Shape::List(&Shape::Text),
        "Text fields that stand in the gateway's statement, which separates values by a comma and a back-tick.",
    ),
    FieldSpec::optional(
        "keeps",
        Shape::Word(&["statement", "settlements"]),
        "What is kept of the replies.",
    ),
    FieldSpec::required(
        "outcomes",
        Shape::Fields(&OUTCOMES),
        "What the gateway's replies mean; the first row that fits decides.",
    ),
];

/// Retry, as job kinds and workflows write it.
pub static RETRY: [FieldSpec; 3] = [
    FieldSpec::optional(
        "attempts",
        Shape::Integer(1, 1_000),
        "How often one order number is sent at most.",
    ),
    FieldSpec::optional(
        "first",
        Shape::Duration,
        "The wait after the first attempt; doubles each time.",
    ),
    FieldSpec::optional("max", Shape::Duration, "The longest wait."),
];

/// Resolve, as job kinds and workflows write it.
pub static RESOLVE: [FieldSpec; 3] = [
    FieldSpec::optional(
        "schedule",
        Shape::List(&Shape::Duration),
        "Waits between queries; the last repeats.",
    ),
    FieldSpec::optional(
        "grace",
        Shape::Duration,
        "How long after sending \"no such order\" does not count.",
    ),
    FieldSpec::optional(
        "horizon",
        Shape::Duration,
        "How long to ask; then a person is needed.",
    ),
];

static POLICY: [FieldSpec; 3] = [
    FieldSpec::required(
        "retry",
        Shape::Fields(&RETRY),
        "Sending again when certainly nothing happened.",
    ),
    FieldSpec::required(
        "resolve",
        Shape::Fields(&RESOLVE),
        "Asking when it is not known what happened.",
    ),
    FieldSpec::required(
        "dunning",
        Shape::List(&Shape::Duration),
        "How long after each soft decline to try again.",
    ),
];

static EXPAND: [FieldSpec; 2] = [
    FieldSpec::required("field", Shape::Text, "The field."),
    FieldSpec::required(
        "values",
        Shape::Named(&Shape::List(&Shape::Text)),
        "By value: those it stands for.",
    ),
];

static IDENTITY_CARD: [FieldSpec; 2] = [
    FieldSpec::required("number", Shape::Text, "The field with its number."),
    FieldSpec::optional(
        "document",
        Shape::Text,
        "The field that says what document it is, if not IDCARD.",
    ),
];

static NOT_ABOVE: [FieldSpec; 3] = [
    FieldSpec::required("field", Shape::Text, "The decimal field."),
    FieldSpec::required(
        "most",
        Shape::Text,
        "The decimal field, or the amount, that it is not above.",
    ),
    FieldSpec::required(
        "remedy",
        Shape::Text,
        "What to do about a row that breaks it.",
    ),
];

static NOT_OLDER_THAN: [FieldSpec; 2] = [
    FieldSpec::required("field", Shape::Text, "The date field."),
    FieldSpec::required("age", Shape::Duration, "How long before the run it may be."),
];

/// The fields of a job kind's file.
pub static JOB_KIND: [FieldSpec; 20] = [
    FieldSpec::required("name", Shape::Text, "Its name, as uses: spells it."),
    FieldSpec::required("description", Shape::Text, "One line for people."),
    FieldSpec::required(
        "effect",
        Shape::Boolean,
        "Whether it changes anything at the gateway.",
    ),
    FieldSpec::required(
        "fields",
        Shape::Named(&Shape::Fields(&FIELD)),
        "What may be given under with:.",
    ),
    FieldSpec::optional(
        "one_at_a_time",
        Shape::Text,
        "The field of which only one item is under way at a time.",
    ),
    FieldSpec::optional(
        "one_of",
        Shape::List(&Shape::List(&Shape::Text)),
        "Groups of fields of which exactly one is given.",
    ),
    FieldSpec::optional(
        "together",
        Shape::List(&Shape::List(&Shape::Text)),
        "Groups of fields of which all are given or none.",
    ),
    FieldSpec::optional(
        "amount_is_sum_of",
        Shape::List(&Shape::Text),
        "Fields that must add up to the amount.",
    ),
    FieldSpec::optional(
        "again",
        Shape::Text,
        "The kind by which what failed is done again with other content under the same key, where the gateway has it.",
    ),
    FieldSpec::optional(
        "identity_card",
        Shape::Fields(&IDENTITY_CARD),
        "A mainland identity card: its places, birthday and check digit are checked.",
    ),
    FieldSpec::optional(
        "not_above",
        Shape::List(&Shape::Fields(&NOT_ABOVE)),
        "Decimal fields that are never above another field.",
    ),
    FieldSpec::optional(
        "expand",
        Shape::Fields(&EXPAND),
        "A field of which some values stand for several items.",
    ),
    FieldSpec::optional(
        "not_older_than",
        Shape::Fields(&NOT_OLDER_THAN),
        "How old a date field may be.",
    ),
    FieldSpec::optional(
        "here",
        Shape::Boolean,
        "Whether payrun does it by itself, without calling a gateway.",
    ),
    FieldSpec::optional(
        "approval",
        Shape::Boolean,
        "Whether its batches wait for somebody's approval unless the workflow says otherwise.",
    ),
    FieldSpec::optional(
        "key",
        Shape::List(&Shape::Text),
        "The fields the key is made of if the workflow gives none.",
    ),
    FieldSpec::optional(
        "order_number",
        Shape::Text,
        "The field that is the order number of a look-up.",
    ),
    FieldSpec::optional(
        "in_statement",
        Shape::Word(&["payment", "refund", "reversal"]),
        "As what its items stand in the gateway's statements.",
    ),
    FieldSpec::required(
        "policy",
        Shape::Fields(&POLICY),
        "Policies where the workflow gives none.",
    ),
    FieldSpec::required(
        "gateways",
        Shape::Named(&Shape::Fields(&OPERATIONS)),
        "How it is done, by gateway kind.",
    ),
];
