//! Where hitstream answers differently from Spark on purpose: the reviewed list. `docs/SEMANTICS.md` shows the rules.

use hitstream_domain::reject::RejectReason::{
    self, FutureTime, InvalidJson, MalformedTime, TimeOutOfRange,
};

/// One difference on purpose, as its row in `docs/SEMANTICS.md` has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The input.
    pub(crate) input: &'static str,
    /// What Spark does with it.
    pub(crate) spark: &'static str,
    /// What hitstream does.
    pub(crate) hitstream: &'static str,
    /// Why.
    pub(crate) reason: &'static str,
}

/// What hitstream must answer, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A hit as Spark's, but with this host.
    Host(&'static str),
    /// A hit with Spark's texts at this time, in microseconds.
    Time(i64),
    /// No hit.
    Rejected(RejectReason),
}
use Expected::{Host, Rejected, Time};

/// All rules, in the order of the documentation.
pub(crate) const RULES: [&Rule; 12] = [
    &NUMBER_AS_TEXT,
    &NESTED_AS_TEXT,
    &NOT_JSON,
    &NUL,
    &LOWER_CASE,
    &NAMED_ZONE,
    &PARTIAL_DATE,
    &TIME_ALONE,
    &SHORT_NUMBER,
    &EPOCH,
    &BEFORE_1970,
    &FUTURE,
];

const NUMBER_AS_TEXT: Rule = Rule {
    input: "`host` 1.10, 1e3, -0",
    spark: "`1.1`, `1000.0`, `0`: through a double",
    hitstream: "the JSON text as it stands",
    reason: "a text is kept, not computed with; a double loses digits",
};
const NESTED_AS_TEXT: Rule = Rule {
    input: "`host` an object or array",
    spark: "compact JSON, numbers and escapes rewritten",
    hitstream: "its JSON text, only the blanks between tokens removed",
    reason: "as above: numbers and strings stay as the sender wrote them",
};
const NOT_JSON: Rule = Rule {
    input: "trailing garbage, two objects in one value, single quotes, raw control characters",
    spark: "counted (of two objects, the first)",
    hitstream: "rejected: `invalid_json`",
    reason: "RFC 8259; what follows the object would be lost in silence. The record is kept whole and can be replayed",
};
const NUL: Rule = Rule {
    input: "`\\u0000` in a text",
    spark: "counted, then PostgreSQL refuses the row: the job crashes, and again at each restart",
    hitstream: "counted with U+FFFD in its place, and counted as sanitised",
    reason: "PostgreSQL's text cannot hold NUL, and no input may stop the pipeline",
};
const LOWER_CASE: Rule = Rule {
    input: "`2024-12-29t12:00:00z`",
    spark: "dropped",
    hitstream: "counted",
    reason: "RFC 3339 allows lower case",
};
const NAMED_ZONE: Rule = Rule {
    input: "named zones: `PST`, `GMT+1`, `Europe/Berlin`",
    spark: "counted",
    hitstream: "rejected: `malformed_time`; only ` UTC` is taken",
    reason: "abbreviations are ambiguous, and regions repeat or skip an hour and change with the zone database",
};
const PARTIAL_DATE: Rule = Rule {
    input: "`2024-12-29T12`, `2024-12`, `2024` as text",
    spark: "counted at the start of the hour, month, year",
    hitstream: "rejected: `malformed_time`",
    reason: "hits of a whole month or year would pile up in one window",
};
const TIME_ALONE: Rule = Rule {
    input: "`12:00:00` alone",
    spark: "today's date, by the clock of the machine",
    hitstream: "rejected: `malformed_time`",
    reason: "the same record must mean the same time whenever it is read",
};
const SHORT_NUMBER: Rule = Rule {
    input: "the numbers 2024, 9999, 173547",
    spark: "the years 2024, 9999, 173547",
    hitstream: "rejected: `malformed_time`",
    reason: "a number is an epoch or a mistake, never a year",
};
const EPOCH: Rule = Rule {
    input: "epoch seconds, milliseconds, microseconds, as a number or a string of digits",
    spark: "dropped",
    hitstream: "counted; the unit follows from the size, a fraction is cut to the microsecond",
    reason: "the commonest machine form of a time; the three ranges cannot be confused (1973 to 5138 each)",
};
const BEFORE_1970: Rule = Rule {
    input: "before 1970",
    spark: "a batch counts it, a stream drops it",
    hitstream: "rejected: `time_out_of_range`",
    reason: "there was no web: a wrong clock or a wrong unit, not a late hit",
};
const FUTURE: Rule = Rule {
    input: "2038, 2099, 9999: times ahead of the record's reference, or after 2200",
    spark: "the watermark jumps there: everything after is dropped, for good, without an error",
    hitstream: "rejected: `future_time` past `input.max_future_skew`, `time_out_of_range` after 2200; watermark unmoved",
    reason: "one wrong clock must not close every window",
};

/// The differences, by record.
pub(crate) const EXPLAINED: &[(&str, &Rule, Expected)] = &[
    ("host_number_float_1.10", &NUMBER_AS_TEXT, Host("1.10")),
    ("host_number_1e3", &NUMBER_AS_TEXT, Host("1e3")),
    ("host_number_1E400", &NUMBER_AS_TEXT, Host("1E400")),
    ("host_number_-0", &NUMBER_AS_TEXT, Host("-0")),
    ("host_number_17digits", &NUMBER_AS_TEXT, Host("0.12345678901234567890")),
    ("host_1e-7", &NUMBER_AS_TEXT, Host("1e-7")),
    ("host_12345678.9", &NUMBER_AS_TEXT, Host("12345678.9")),
    ("host_object", &NESTED_AS_TEXT, Host(r#"{"b":1.50,"a":"\u00e9","b":2}"#)),
    ("trailing_garbage", &NOT_JSON, Rejected(InvalidJson)),
    ("two_objects", &NOT_JSON, Rejected(InvalidJson)),
    ("single_quotes", &NOT_JSON, Rejected(InvalidJson)),
    ("mixed_quotes", &NOT_JSON, Rejected(InvalidJson)),
    ("host_raw_control_char", &NOT_JSON, Rejected(InvalidJson)),
    ("host_raw_tab", &NOT_JSON, Rejected(InvalidJson)),
    ("host_u0000", &NUL, Host("a\u{fffd}b")),
    ("t_lower_t_z", &LOWER_CASE, Time(1_735_473_600_000_000)),
    ("t_GMT+1", &NAMED_ZONE, Rejected(MalformedTime)),
    ("t_region", &NAMED_ZONE, Rejected(MalformedTime)),
    ("t_PST", &NAMED_ZONE, Rejected(MalformedTime)),
    ("t_EST", &NAMED_ZONE, Rejected(MalformedTime)),
    ("t_dst_gap_local", &NAMED_ZONE, Rejected(MalformedTime)),
    ("t_dst_overlap_local", &NAMED_ZONE, Rejected(MalformedTime)),
    ("t_hour_only", &PARTIAL_DATE, Rejected(MalformedTime)),
    ("t_year_month", &PARTIAL_DATE, Rejected(MalformedTime)),
    ("t_year_only", &PARTIAL_DATE, Rejected(MalformedTime)),
    ("t_time_only_T", &TIME_ALONE, Rejected(MalformedTime)),
    ("t_time_only", &TIME_ALONE, Rejected(MalformedTime)),
    ("t_year_only_number", &SHORT_NUMBER, Rejected(MalformedTime)),
    ("t_four_digit_9999", &SHORT_NUMBER, Rejected(MalformedTime)),
    ("t_six_digit_number", &SHORT_NUMBER, Rejected(MalformedTime)),
    ("t_epoch_s_number", &EPOCH, Time(1_735_473_600_000_000)),
    ("t_epoch_s_string", &EPOCH, Time(1_735_473_600_000_000)),
    ("t_epoch_s_float", &EPOCH, Time(1_735_473_600_500_000)),
    ("t_epoch_ms_number", &EPOCH, Time(1_735_473_600_000_000)),
    ("t_epoch_ms_string", &EPOCH, Time(1_735_473_600_000_000)),
    ("t_pre1970_-1ms", &BEFORE_1970, Rejected(TimeOutOfRange)),
    ("t_pre1970", &BEFORE_1970, Rejected(TimeOutOfRange)),
    ("t_year_0001", &BEFORE_1970, Rejected(TimeOutOfRange)),
    ("t_year_0000", &BEFORE_1970, Rejected(TimeOutOfRange)),
    ("t_year_neg", &BEFORE_1970, Rejected(TimeOutOfRange)),
    ("t_y2038", &FUTURE, Rejected(FutureTime)),
    ("t_y2099", &FUTURE, Rejected(FutureTime)),
    ("t_y9999", &FUTURE, Rejected(TimeOutOfRange)),
    ("t_y10000", &FUTURE, Rejected(TimeOutOfRange)),
    ("t_y294247", &FUTURE, Rejected(TimeOutOfRange)),
    ("t_y_plus", &FUTURE, Rejected(TimeOutOfRange)),
];
