//! How fast PostgreSQL takes the rows of `processed_events` by COPY alone, from a file, over the same connection.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write, copy};
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::pipeline::Place;

/// Copies the events of a schema into an empty table of the same shape; rows a second.
pub(crate) fn rate(place: &Place, schema: &str) -> Result<f64> {
    let mut sql = place.sql()?;
    sql.batch_execute(&format!(
        "CREATE TABLE {schema}.bare (LIKE {schema}.processed_events INCLUDING ALL)"
    ))?;
    let path = std::env::temp_dir().join(format!("hitstream-bench-{}.copy", std::process::id()));
    let query = format!("COPY (SELECT * FROM {schema}.processed_events) TO STDOUT (FORMAT binary)");
    let mut file = BufWriter::new(File::create(&path)?);
    copy(&mut sql.copy_out(query.as_str())?, &mut file)?;
    file.flush()?;

    let begin = Instant::now();
    let mut sink =
        sql.copy_in(format!("COPY {schema}.bare FROM STDIN (FORMAT binary)").as_str())?;
    copy(&mut BufReader::with_capacity(256 << 10, File::open(&path)?), &mut sink)?;
    let rows = sink.finish()?;
    let took = begin.elapsed();
    std::fs::remove_file(&path)?;
    ensure!(rows > 0, "no events in {schema}");
    Ok(rows as f64 / took.as_secs_f64())
}
