//! The command line: what can be asked for, and which exit code answers.

mod args;
mod error;
mod logging;
mod manual;
pub(crate) mod moment;
pub(crate) mod output;
mod panic;
pub(crate) mod progress;
pub(crate) mod stop;
pub(crate) mod table;
mod usage;
pub(crate) mod words;

pub use args::{
    AuditArgs, CheckArgs, Cli, Command, CompletionsArgs, FrontierArgs, GlobalArgs, ImportArgs,
    KeyArgs, ManArgs, MigrateArgs, RunArgs, StatusArgs, TopicArgs,
};
pub use error::{CliError, Outcome};

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, ValueEnum};

use crate::config::{ConfigError, Layers, Loaded, Remark, remarks};

/// Runs the program with this process's arguments and environment.
pub fn main() -> ExitCode {
    panic::install_hook();
    hitstream_actors::faults::arm();
    match std::panic::catch_unwind(|| answer(std::env::args_os())) {
        Ok(code) => ExitCode::from(code),
        Err(_) => {
            output::err(&panic::last_words());
            ExitCode::from(error::BUG)
        }
    }
}

fn answer(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        // Without any argument the help is what is needed.
        Err(e) if e.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            drop(e.print());
            return error::USAGE;
        }
        Err(e) if e.use_stderr() => {
            let words: Vec<String> =
                args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
            let error = CliError::Usage(usage::explain(&e, &words));
            return exit_code(failed(error, words.iter().any(|word| word == "--json")));
        }
        // Help and version come this way too.
        Err(e) => return exit_code(output::written(e.print()).map(|()| Outcome::Done)),
    };
    exit_code(execute(cli))
}

/// Says what went wrong, if anything, and gives the exit code.
fn exit_code(ended: Result<Outcome, CliError>) -> u8 {
    match ended {
        Ok(outcome) => outcome.exit_code(),
        Err(e) => {
            output::err(&e.report());
            e.exit_code()
        }
    }
}

fn execute(cli: Cli) -> Result<Outcome, CliError> {
    let is_json = cli.command.as_ref().is_some_and(Command::answers_in_json);
    if is_json && cli.global.print_config {
        let reason = "--print-config prints TOML, which --json does not change; leave one out";
        return failed(CliError::Usage(reason.into()), is_json);
    }
    if let (Some(Command::Demo(_)), Some(flag)) = (&cli.command, cli.global.of_settings()) {
        let reason = format!(
            "{flag} does not go with demo, which has services and settings of its own; leave it out, or give it to \
             `hitstream run`, which uses yours"
        );
        return failed(CliError::Usage(reason), is_json);
    }
    answered(cli).or_else(|error| failed(error, is_json))
}

/// Whoever reads JSON reads there, too, why there is no answer.
fn failed(error: CliError, is_json: bool) -> Result<Outcome, CliError> {
    if is_json { output::failed(error) } else { Err(error) }
}

fn answered(cli: Cli) -> Result<Outcome, CliError> {
    let loaded = load(&cli).and_then(|loaded| {
        // Whoever asks for the settings gets them, whatever they name.
        if !cli.global.print_config {
            loaded.check_files()?;
        }
        Ok(loaded)
    });
    let loaded = match (loaded, &cli.command) {
        (Err(error), Some(Command::Check(args))) if !args.health && !cli.global.print_config => {
            return crate::check::refused(&error, args);
        }
        (loaded, _) => loaded?,
    };
    if cli.global.print_config {
        output::out(&loaded.describe())?;
        return Ok(Outcome::Done);
    }
    let Some(command) = cli.command else {
        return Err(CliError::Usage("no command given; `hitstream --help` lists them".into()));
    };
    logging::init(&loaded.config.log)?;
    // Of `check` they are part of the answer.
    if !matches!(command, Command::Check(_)) {
        for remark in &loaded.remarks {
            tracing::warn!("{remark}");
        }
    }
    if matches!(command, Command::Run(_)) {
        for Remark { fact, advice } in remarks(&loaded.config) {
            tracing::info!("{fact}; {advice}");
        }
    }
    dispatch(&loaded, command)
}

/// Does what was asked for. Each command is one function of settings and arguments.
fn dispatch(loaded: &Loaded, command: Command) -> Result<Outcome, CliError> {
    let config = &loaded.config;
    match command {
        Command::Demo(args) => crate::demo::demo(&args),
        Command::Run(args) => crate::run::run(loaded, &args),
        Command::Import(args) => crate::import::import(config, &args),
        Command::Generate(args) => crate::generate::generate(config, &args),
        Command::Migrate(args) => crate::migrate::migrate(config, &args),
        Command::Frontier(args) => crate::frontier::frontier(config, &args),
        Command::Status(args) => crate::status::status(config, &args),
        Command::Check(args) => crate::check::check(loaded, &args),
        Command::Audit(args) => crate::audit::audit(config, &args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
    }
}

/// Reads the files that hold settings, and the environment.
fn load(cli: &Cli) -> Result<Loaded, ConfigError> {
    let args = &cli.global;
    // A demo has settings of its own; those for real services may be as they like.
    if matches!(cli.command, Some(Command::Demo(_))) {
        return Layers { flags: flags(args), ..Layers::default() }.load();
    }
    let layers = Layers {
        file: named_file("--config", args.config.as_deref(), "HITSTREAM_CONFIG")?,
        env_file: named_file("--env-file", args.env_file.as_deref(), "HITSTREAM_ENV_FILE")?,
        // Not `vars`, which panics on what is not Unicode, whoever it is meant for.
        env: std::env::vars_os()
            .map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .collect(),
        flags: flags(args),
    };
    layers.load()
}

/// Gives the settings that have a flag of their own.
fn flags(args: &GlobalArgs) -> Vec<(&'static str, &'static str, String)> {
    let level = args.log_level.iter().map(|level| ("--log-level", "log.level", level.clone()));
    let format = args.log_format.iter().filter_map(ValueEnum::to_possible_value);
    let format = format.map(|format| ("--log-format", "log.format", format.get_name().to_owned()));
    level.chain(format).collect()
}

/// Reads the file that a flag names, or else a variable; as everywhere, an empty one counts as not set.
fn named_file(
    flag: &str,
    path: Option<&Path>,
    variable: &str,
) -> Result<Option<(String, String)>, ConfigError> {
    let from_variable = || std::env::var_os(variable).filter(|name| !name.is_empty());
    let (origin, path) = match (path, from_variable()) {
        (Some(path), _) => (flag.to_owned(), path.to_path_buf()),
        (None, Some(name)) => (format!("variable {variable}"), PathBuf::from(name)),
        (None, None) => return Ok(None),
    };
    let name = path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((name, text))),
        Err(error) => Err(ConfigError::unreadable(&name, &origin, &error)),
    }
}

#[cfg(test)]
mod tests;
