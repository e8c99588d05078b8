//! Commands and their flags.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::LogFormat;
use crate::demo::DemoArgs;
use crate::generate::GenerateArgs;
use crate::import::Format;
use crate::produce::KeyBy;

/// The version, and the revision where that is known.
static VERSION: LazyLock<String> = LazyLock::new(|| match crate::REVISION {
    "unknown" => env!("CARGO_PKG_VERSION").to_owned(),
    revision => format!("{} ({revision})", env!("CARGO_PKG_VERSION")),
});

/// Turns a Kafka topic of raw web hits into PostgreSQL tables that are right, live and final.
#[derive(Debug, Parser)]
#[command(
    name = "hitstream",
    version = VERSION.as_str(),
    arg_required_else_help = true,
    infer_long_args = false,
    after_help = "Examples:
  hitstream import --create-topic --partitions 3 --host www.example.com access.log.gz
  hitstream run --until-end
  hitstream --env-file stream.env run
  hitstream --print-config

Settings come from built-in defaults, then --config, then --env-file, then the environment
(KAFKA_URL, POSTGRES_URL, … and HITSTREAM_SECTION__KEY).
Exit codes: 0 done; 1 the answer is no; 64 usage, settings or mismatch; 69 a service stayed out of
reach, or standard output does not take the answer; 70 a bug."
)]
pub struct Cli {
    /// What applies to every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Where help lists what applies to every command.
pub(super) const GLOBAL_OPTIONS: &str = "Global options";

const GENERATE_HELP: &str = "Examples:
  hitstream generate --create-topic --partitions 3 --count 1000000
  hitstream generate --rate 2000 --duration 1m --late 1% --malformed 0.1%
  hitstream generate --create-topic --partitions 12 --count 100000 --seed 7 --start 2024-05-17T12:00:00Z --late 5% \\
    --expected expected.json

Each record goes to a partition chosen here: by Kafka's own hash of its key, or at random without one.
--expected: {records, rejected, windows: [{window_start, host, referrer, on_time, late}]}, where late goes by the
watermark of the record's own partition. `hitstream run` also books as late what was on time there but came behind the
frontier of all partitions, so compare, for each window, host and referrer: final + open + late = on_time + late, and
late is at least as much. Ctrl-C ends orderly: what Kafka has acknowledged until then is what the file counts.
The topic's message.timestamp.type has to be CreateTime, Kafka's default.";

const STATUS_HELP: &str = "Examples:
  hitstream status
  hitstream status --json

It reads one snapshot of the tables, locks nothing, and asks Kafka where the topic ends; no instance needs to run.
lag: records in Kafka that are not in the tables yet. oldest unread: how long ago the first of them was written, by its
Kafka timestamp, which producers set. frontier: what the partition is to it, as in `hitstream frontier`; a window is
final once the frontier has passed its end. The frontier itself is moved when that may make a window final: in between
it lies behind the least watermark. last commit, by: who last committed something of the partition, and when; an
instance commits only what is new, and claims to be idle. waits for: partitions whose watermark is behind the window's
end. A window that is final is moved within seconds, unless an index, constraint or trigger on the final tables refuses
it: then it is overdue. Of many open windows the 20 that end first are shown.
--json: {topic, group, database, frontier, frontier_age_seconds, held_by, lag_records, partitions: [{partition,
next_offset, end_offset, lag_records, oldest_unread_seconds, watermark, state, idle_seconds_left, owner,
last_commit_seconds}], open_windows: [{window_start, window_end, rows, hits, is_final, is_overdue, waits_for}],
open_windows_total, ledger: {records, accepted, rejected, sanitised, stored, counted, late, diverted, lost}, instances:
[{owner, partitions, last_commit_seconds}], notes, error}. state: holds, ahead, idle, released. What is not known is null. error: null, or why
the lag is not known; where nothing can be told, error is all there is.
Exit codes: 64 no pipeline has run yet, or there is no such topic; 69 PostgreSQL or Kafka stayed out of reach. Where only
Kafka did, what the tables tell is shown all the same.";

const CHECK_HELP: &str = "Examples:
  hitstream check
  hitstream --env-file stream.env check --json
  hitstream check --print-config
  hitstream check --health
  hitstream check --health --url http://127.0.0.1:8081

It changes nothing and joins no group. Each check is ok, warn, fail or skipped, the last where another one has to be
mended first. It gives up on a service after about 15 s.
--json: {ok, checks: [{check, result, detail, advice}]}. advice: what to do, or null.
Exit codes: 0 nothing fails; 64 something has to be changed: a setting, the topic, the tables, rights; 69 otherwise, where a
service is out of reach or refuses.

--health asks a running instance for /healthz and /readyz, with http.token where that is set, and gives up after 2 s.
--health --json: {url, alive, ready, reasons, lag_records, last_commit_seconds}. reasons: each part that keeps it from its
work (kafka, postgres, actors, commits), and why. lag_records: null while it is not known. Where nobody answers, error is
all there is.
Exit codes then: 0 it is ready; 1 it is not; 64 its token is another, or it is not known where it answers; 69 nobody answers.";

/// What applies to every command: a line each, for every command's help repeats them.
#[derive(Debug, Args)]
#[command(next_help_heading = GLOBAL_OPTIONS)]
pub struct GlobalArgs {
    /// Settings file (TOML) [env: HITSTREAM_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// File of KEY=VALUE lines; the real environment wins [env: HITSTREAM_ENV_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Log lines: auto (pretty on a terminal, else JSON), pretty or json
    #[arg(long, global = true, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    pub log_format: Option<LogFormat>,
    /// Least level to log: error, warn, info, debug, trace, or directives
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Print the settings that would apply, with their origins, and exit
    #[arg(long, global = true)]
    pub print_config: bool,
}

impl GlobalArgs {
    /// Names the flag, if any, that is about settings for real services.
    pub(super) fn of_settings(&self) -> Option<&'static str> {
        if self.config.is_some() {
            Some("--config")
        } else if self.env_file.is_some() {
            Some("--env-file")
        } else {
            self.print_config.then_some("--print-config")
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the pipeline at work: Kafka, PostgreSQL and traffic embedded, nothing left behind
    #[command(after_help = "Examples:
  hitstream demo
  hitstream demo --duration 30s --rate 20000

Kafka is an in-process mock; PostgreSQL is the system's own, from version 15 on, in a private folder and reached through a
socket there (HITSTREAM_PG_BIN may name the folder of its programs, TMPDIR where that folder goes). Windows are of 10 s and
wait 2 s for stragglers, partitions are idle after 5 s, so that the first windows are final within half a minute. KAFKA_URL,
POSTGRES_URL and all other settings in the environment are not heeded; --config, --env-file and --print-config are refused.
lag: records in Kafka that are not in the tables yet, and how long the oldest of them has waited. watermarks: how far ahead
of the frontier the partitions are, and which of them holds it. set aside: hits that came late, and records that are none.
At the end it shows what `hitstream audit` says of it.")]
    Demo(DemoArgs),
    /// Run the pipeline
    #[command(after_help = "Examples:
  hitstream run
  hitstream run --until-end --json
  KAFKA_URL=broker:9092 POSTGRES_URL=postgres://user@db/hits hitstream run --create-topic --partitions 12

--json: where it fails, error is all there is.")]
    Run(RunArgs),
    /// Write access logs or JSON lines into the topic
    #[command(after_help = "Examples:
  hitstream import --create-topic --partitions 3 --host www.example.com access.log.gz
  hitstream import --format jsonl --key host hits.jsonl.zst
  zcat /var/log/apache2/other_vhosts_access.log.*.gz | hitstream import -

Formats: combined and common access logs, either with a leading virtual host, and JSON lines; .gz and .zst are
unpacked. A log line becomes one JSON event. Its host is that of an absolute request URL, else the line's leading
virtual host, else --host. A JSON line is sent as it stands; what is wrong with it, the pipeline says.
Lines that cannot be read or are too large for the topic are left out, JSON lines that are no JSON object are sent all
the same; both are reported with file and line, the first ten of them, and counted. With --strict they make the exit
code 1. Ctrl-C and SIGTERM end orderly: what was read until then is sent, and the summary says how far it came.
Order: within a partition records keep the order of the files. Without --key, batches go to random partitions;
with it, all records of one key go to one partition.
--json: {topic, partitions, files, lines, records, bytes, seconds, records_per_second, unparsable, unparsable_by_reason,
too_large, no_json_object, invalid_utf8, without_host, stopped}. files: that were begun. lines: that are not blank.
records: that Kafka has taken. bytes: of the values sent. unparsable, too_large: lines that were left out.
no_json_object, invalid_utf8, without_host: lines that were sent, but may not be what was meant. stopped: null, or after
a signal {file, line, files_left}, which are the last line that was read and the number of files that were not begun.
Where nothing was sent, error is all there is.")]
    Import(ImportArgs),
    /// Write synthetic traffic into the topic, and what must come out of it into a file
    #[command(after_help = GENERATE_HELP)]
    Generate(GenerateArgs),
    /// Bring the tables to this version
    #[command(after_help = "Examples:
  hitstream migrate
  HITSTREAM_WINDOW__SIZE=1m HITSTREAM_WINDOW__SLIDE=1m hitstream migrate --close-open

--json: {schema, database, version, applied, closed: {windows, frontier}}. closed: null without --close-open. Where nothing
can be done, error is all there is.
Exit codes: 0 done; 64 something is in the way: rights, tables, a running instance; 69 PostgreSQL stayed out of reach.")]
    Migrate(MigrateArgs),
    /// Show what holds the frontier; release it from a partition by hand
    #[command(after_help = "Examples:
  hitstream frontier
  hitstream frontier --json
  hitstream frontier --release 3

A window is final once the frontier has passed its end: the least watermark over all partitions that are not idle. A
partition that nobody reads, or whose producer is dead, holds it, and with it every window. To release it from that
partition makes those windows final without waiting. Hits that still come there are not lost: they are counted in
late_web_traffic. It lasts until the partition's next accepted record and is noted in frontier.note.
--json: {frontier, released, partitions: [{partition, watermark, state}]}; where nothing can be told, error is all there is.
Exit codes: 0 done; 64 no such partition, or no pipeline has run yet; 69 PostgreSQL stayed out of reach.")]
    Frontier(FrontierArgs),
    /// Show where the pipeline stands: lag, frontier, open windows, ledger, instances
    #[command(after_help = STATUS_HELP)]
    Status(StatusArgs),
    /// Check settings, Kafka and PostgreSQL: would a run start?
    #[command(after_help = CHECK_HELP)]
    Check(CheckArgs),
    /// Prove that nothing is lost and nothing doubled
    #[command(after_help = "Examples:
  hitstream audit
  hitstream audit --json

--json: where nothing can be told, error is all there is.
Exit codes: 0 all is accounted for; 1 it is not; 64 no pipeline has run yet, or there is no such topic; 69 PostgreSQL or Kafka
stayed out of reach.")]
    Audit(AuditArgs),
    /// Print completions for a shell
    #[command(after_help = "Examples:
  hitstream completions bash > /etc/bash_completion.d/hitstream
  hitstream completions zsh > \"${fpath[1]}/_hitstream\"
  hitstream completions fish > ~/.config/fish/completions/hitstream.fish")]
    Completions(CompletionsArgs),
    /// Print manual pages, of hitstream or of one command
    #[command(after_help = "Examples:
  hitstream man | man -l -
  hitstream man run > hitstream-run.1")]
    Man(ManArgs),
}

impl Command {
    /// Whether what goes wrong is to be told as JSON, as the answer is.
    pub(super) fn answers_in_json(&self) -> bool {
        match self {
            Self::Demo(args) => args.json,
            Self::Run(args) => args.json,
            Self::Import(args) => args.json,
            Self::Generate(args) => args.json,
            Self::Migrate(args) => args.json,
            Self::Frontier(args) => args.json,
            Self::Status(args) => args.json,
            Self::Check(args) => args.json,
            Self::Audit(args) => args.json,
            Self::Completions(_) | Self::Man(_) => false,
        }
    }
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The command; hitstream as a whole if none is given
    pub command: Option<String>,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Stop when all that the topic held at the start is committed
    #[arg(long)]
    pub until_end: bool,
    /// Print the summary as JSON
    #[arg(long, requires = "until_end")]
    pub json: bool,
    /// Serve HTTP on any other port where that of http.listen is taken: what a demo wants
    #[arg(long, hide = true)]
    pub any_port: bool,
    /// The topic, where it is to be created.
    #[command(flatten)]
    pub topic: TopicArgs,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Files to read, in this order; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Format of the files
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    pub format: Format,
    /// Host of log lines that name none
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Exit with 1 if a line could not be read or sent, or is no JSON object among JSON lines
    #[arg(long)]
    pub strict: bool,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    pub json: bool,
    /// The record's key.
    #[command(flatten)]
    pub key: KeyArgs,
    /// The topic, where it is to be created.
    #[command(flatten)]
    pub topic: TopicArgs,
}

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Close all open windows, so that other window settings can take over; no instance may be running
    #[arg(long)]
    pub close_open: bool,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `frontier`.
#[derive(Debug, Args)]
pub struct FrontierArgs {
    /// Release the frontier from this partition; may be given more than once
    #[arg(long, value_name = "PARTITION", value_parser = clap::value_parser!(i32).range(0..))]
    pub release: Vec<i32>,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Ask a running instance whether it is well, and nobody else: for container health checks
    #[arg(long)]
    pub health: bool,
    /// Where that instance answers [default: at http.listen]
    #[arg(long, value_name = "URL", requires = "health")]
    pub url: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// The topic, where it is to be created.
#[derive(Debug, Clone, Args)]
pub struct TopicArgs {
    /// Create the topic if it does not exist
    #[arg(long, action = ArgAction::SetTrue)]
    pub create_topic: bool,
    /// Partitions of the topic to create; an existing one must have as many
    #[arg(long, value_name = "N", requires = "create_topic", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub partitions: Option<u32>,
}

/// The record's key.
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// Field that becomes the record's key
    #[arg(long = "key", value_enum, value_name = "FIELD", default_value_t = KeyBy::None)]
    pub by: KeyBy,
}
