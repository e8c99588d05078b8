//! What shells and `man` want to know of the command line, made from its definition.

use clap::CommandFactory;

use super::{Cli, CliError, CompletionsArgs, ManArgs, Outcome, output, usage};

/// Prints completions.
pub(super) fn completions(args: &CompletionsArgs) -> Result<Outcome, CliError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hitstream", &mut text);
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
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text).map_err(anyhow::Error::new)?;
    output::out(&String::from_utf8_lossy(&text))?;
    Ok(Outcome::Done)
}
