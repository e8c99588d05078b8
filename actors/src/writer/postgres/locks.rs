//! Advisory lock keys, derived from the schema so that pipelines in one database do not meet.

/// K: commits share it, the frontier's advance holds it alone.
pub(super) fn frontier_lock(schema: &str) -> i64 {
    key("frontier", schema)
}

/// M: one instance at a time moves windows.
pub(super) fn move_lock(schema: &str) -> i64 {
    key("move", schema)
}

/// Days are attached by one instance at a time.
pub(super) fn days_lock(schema: &str) -> i64 {
    key("days", schema)
}

/// Running instances share it, `migrate --close-open` wants it alone.
pub(super) fn running_lock(schema: &str) -> i64 {
    key("running", schema)
}

/// Stored events are repaired by one instance at a time.
pub(super) fn repair_lock(schema: &str) -> i64 {
    key("repair", schema)
}

/// Migrations run alone.
pub(super) fn migration_lock(schema: &str) -> i64 {
    key("migrations", schema)
}

fn key(purpose: &str, schema: &str) -> i64 {
    let hash = blake3::hash(format!("hitstream/{purpose}/{schema}").as_bytes());
    let (first, _) = hash.as_bytes().split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    i64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_purpose_and_schema_and_never_change() {
        let keys = [
            frontier_lock("public"),
            move_lock("public"),
            days_lock("public"),
            repair_lock("public"),
            frontier_lock("other"),
        ];
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        // Two versions side by side must meet at the same lock.
        assert_eq!(frontier_lock("public"), 7_801_807_419_729_592_821);
    }
}
