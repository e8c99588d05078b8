//! A mistake in the command line in one line, as all others are: clap's own words take six.

use clap::error::{ContextKind, ErrorKind};
use clap::{CommandFactory, Error};

use super::Cli;
use crate::config::nearest;

/// Says what is wrong with the command line, and what would do.
pub(super) fn explain(error: &Error, args: &[String]) -> String {
    let word = |kind| error.get(kind).map(ToString::to_string);
    let arg = word(ContextKind::InvalidArg).unwrap_or_default();
    let value = word(ContextKind::InvalidValue).unwrap_or_default();
    let help = help(args);
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            no_command(&word(ContextKind::InvalidSubcommand).unwrap_or_default())
        }
        ErrorKind::UnknownArgument => match word(ContextKind::SuggestedArg) {
            Some(near) => format!("no option {arg}; did you mean {near}? {help}"),
            None if arg.parse::<f64>().is_ok() => {
                format!("{arg} is no option, and no number below zero is taken; {help}")
            }
            None if arg.starts_with('-') => format!("no option {arg}; {help}"),
            None => format!("{arg:?} is one argument too many; {help}"),
        },
        ErrorKind::InvalidValue => {
            let known = word(ContextKind::ValidValue).filter(|known| !known.is_empty());
            let known = known.map(|known| format!("; it takes one of {known}"));
            let wrong = if value.is_empty() {
                format!("{arg} is given no value")
            } else {
                format!("{arg} = {value:?} is not known")
            };
            format!("{wrong}{}", known.unwrap_or_else(|| format!("; {help}")))
        }
        ErrorKind::ValueValidation => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            format!("{arg} = {value:?}: {}", reword(&cause.unwrap_or_default()))
        }
        ErrorKind::MissingRequiredArgument => format!("{arg} is missing; {help}"),
        ErrorKind::ArgumentConflict => {
            let other = word(ContextKind::PriorArg).unwrap_or_default();
            format!("{arg} and {other} do not go together; {help}")
        }
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            format!("{}; {help}", first.trim_start_matches("error: "))
        }
    }
}

/// Says that there is no such command.
pub(super) fn no_command(name: &str) -> String {
    let cli = Cli::command();
    let known = cli.get_subcommands().map(clap::Command::get_name);
    let near = nearest(&name.to_lowercase(), known).map(|near| format!("did you mean {near:?}? "));
    format!("no command {name:?}; {}`hitstream --help` lists them", near.unwrap_or_default())
}

/// Names the help that is about this command line.
fn help(args: &[String]) -> String {
    let cli = Cli::command();
    let command = args.iter().find(|arg| cli.find_subcommand(arg).is_some());
    let command = command.map(|name| format!("{name} ")).unwrap_or_default();
    format!("`hitstream {command}--help` has all options and examples")
}

/// Turns the standard library's words into what would do.
fn reword(reason: &str) -> String {
    if reason.contains("zero for non-zero") {
        return "must be 1 or more".to_owned();
    }
    if reason.contains("invalid digit") {
        return "must be a whole number, not negative".to_owned();
    }
    match reason.split_once(" is not in ").and_then(|(_, range)| range.split_once("..=")) {
        Some((least, most)) => format!("must be between {least} and {most}"),
        None => reason.to_owned(),
    }
}
