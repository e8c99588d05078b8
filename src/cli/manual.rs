//! What shells and `man` want to know of the command line, made from its definition.

use std::io;
use std::sync::LazyLock;

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::args::GLOBAL_OPTIONS;
use super::{Cli, CliError, CompletionsArgs, ManArgs, Outcome, output, usage};

/// Where names of commands come from that have to live for ever.
static WHOLE: LazyLock<Command> = LazyLock::new(Cli::command);

/// Prints completions.
pub(super) fn completions(args: &CompletionsArgs) -> Result<Outcome, CliError> {
    let mut text = Vec::new();
    // For shells only: that a name is none is said with the one that was meant.
    let names: Vec<&'static str> = WHOLE.get_subcommands().map(Command::get_name).collect();
    let mut whole = Cli::command().mut_subcommand("man", |man| {
        man.mut_arg("command", |arg| arg.value_parser(PossibleValuesParser::new(names)))
    });
    clap_complete::generate(args.shell, &mut whole, "hitstream", &mut text);
    output::out(&String::from_utf8_lossy(&text))?;
    Ok(Outcome::Done)
}

/// Prints a manual page.
pub(super) fn man(args: &ManArgs) -> Result<Outcome, CliError> {
    let mut whole = Cli::command();
    // Global options go into each command's page.
    whole.build();
    let page = match &args.command {
        None => whole,
        Some(name) => {
            let command = whole.find_subcommand(name).cloned();
            let command = command.ok_or_else(|| CliError::Usage(usage::no_command(name)))?;
            command.display_name(format!("hitstream-{name}"))
        }
    };
    let text = page_of(&page).map_err(anyhow::Error::new)?;
    output::out(&String::from_utf8_lossy(&text))?;
    Ok(Outcome::Done)
}

/// The library's own page but for the synopsis, which has options without their values there, and the name of the notes.
fn page_of(command: &Command) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let page = Man::new(command.clone());
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    synopsis(command).to_writer(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    let mut notes = Vec::new();
    page.render_extra_section(&mut notes)?;
    text.extend(String::from_utf8_lossy(&notes).replacen(".SH EXTRA", ".SH NOTES", 1).bytes());
    if command.get_version().is_some() {
        page.render_version_section(&mut text)?;
    }
    Ok(text)
}

/// The command's own options, then those of every command, then what needs no name.
fn synopsis(command: &Command) -> Roff {
    let is_global = |arg: &&Arg| arg.get_help_heading() == Some(GLOBAL_OPTIONS);
    let options = command.get_arguments().filter(|arg| !arg.is_positional());
    let (global, own): (Vec<&Arg>, Vec<&Arg>) = options.partition(is_global);
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let mut line = vec![bold(name)];
    for arg in own.into_iter().chain(global).chain(command.get_positionals()) {
        let (before, after) = if arg.is_required_set() { (" ", "") } else { (" [", "]") };
        line.push(roman(before));
        line.extend(named(arg));
        line.push(roman(after));
    }
    if command.has_subcommands() {
        line.extend([roman(" ["), italic("COMMAND"), roman("]")]);
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]).text(line);
    roff
}

/// `--config FILE`, `--json`, `FILE...`
fn named(arg: &Arg) -> Vec<Inline> {
    let mut words = Vec::new();
    if let Some(long) = arg.get_long() {
        words.push(bold(format!("--{long}")));
    } else if let Some(short) = arg.get_short() {
        words.push(bold(format!("-{short}")));
    }
    if arg.get_num_args().is_some_and(|count| count.takes_values()) {
        let names = arg.get_value_names().unwrap_or_default();
        let value = names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ");
        words.extend((!words.is_empty()).then(|| roman(" ")));
        words.push(italic(value));
        let more = arg.get_num_args().is_some_and(|count| count.max_values() > 1);
        words.extend(more.then(|| roman("...")));
    }
    words
}
