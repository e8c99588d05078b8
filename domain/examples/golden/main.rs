//! `make golden`: every record of the golden file against the decoder. Prints the differences on purpose and fails on
//! any other, as well as on an explanation that explains nothing.

mod explained;
mod judge;

use std::process::ExitCode;

fn main() -> ExitCode {
    let verdict = match judge::judge(explained::EXPLAINED) {
        Ok(verdict) => verdict,
        Err(error) => {
            eprintln!("the golden file cannot be read: {error}");
            return ExitCode::FAILURE;
        }
    };
    for rule in explained::RULES {
        println!("{}\n  why: {}", rule.input, rule.reason);
        for difference in verdict.differences.iter().filter(|difference| difference.rule == rule) {
            let judge::Difference { id, spark, hitstream, .. } = difference;
            println!("  {id:<24} Spark: {spark:<46} hitstream: {hitstream}");
        }
    }
    for unexplained in &verdict.unexplained {
        println!("UNEXPLAINED {unexplained}");
    }
    let records = verdict.records;
    println!("{} records differ from Spark on purpose", verdict.differences.len());
    println!("{records} records: {} unexplained", verdict.unexplained.len());
    if verdict.unexplained.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
