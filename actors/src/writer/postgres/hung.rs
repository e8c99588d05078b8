//! Sessions whose instance was frozen in the middle of a statement: a stopped container, a paused machine.
//!
//! Between statements `idle_in_transaction_session_timeout` ends such a session. Amid a COPY, or a message that came half,
//! PostgreSQL waits for ever, and with K in its hands nobody can advance the frontier. The frozen machine still answers
//! keepalives. So the others look, and end it: to its instance that is a lost connection like any other.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::{Client, Error};
use tracing::{debug, warn};

use super::PostgresStore;
use super::locks::frontier_lock;
use crate::clock;

/// As long as a session may idle in a transaction.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sessions that hold K and wait for their client, each with what would change if anything came from it.
const LOOK: &str = "SELECT a.pid, concat_ws(' ', a.backend_start, a.query_start, c.bytes_processed) \
     FROM pg_stat_activity a LEFT JOIN pg_stat_progress_copy c ON c.pid = a.pid \
     WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() \
       AND a.state = 'active' AND a.wait_event = 'ClientRead' \
       AND EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted \
                   AND l.database = a.datid AND ((l.classid::bigint << 32) | l.objid::bigint) = $1)";

/// Those seen waiting: what was seen, and since when.
#[derive(Debug, Default)]
pub(super) struct HungSessions(BTreeMap<i32, (String, Duration)>);

impl HungSessions {
    /// Takes what a look at `now` has found, and says which have not moved for too long.
    fn look(&mut self, now: Duration, found: Vec<(i32, String)>) -> Vec<i32> {
        let before = std::mem::take(&mut self.0);
        for (pid, sign) in found {
            let since =
                before.get(&pid).filter(|(known, _)| *known == sign).map_or(now, |seen| seen.1);
            self.0.insert(pid, (sign, since));
        }
        let hung = self.0.iter().filter(|(_, (_, since))| now.saturating_sub(*since) >= PATIENCE);
        hung.map(|(pid, _)| *pid).collect()
    }
}

/// How long a look may take: it waits for no lock.
const LIMIT: Duration = Duration::from_secs(10);

/// Ends the sessions of frozen instances, as far as this role may.
pub(super) async fn end_hung_sessions(store: &PostgresStore) {
    let looked =
        store.within(LIMIT, "other sessions", async |client| look_and_end(store, client).await);
    if let Err(error) = looked.await {
        debug!(%error, "sessions of other instances cannot be looked at");
    }
}

async fn look_and_end(store: &PostgresStore, client: &Client) -> Result<(), Error> {
    let rows = client.query(LOOK, &[&frontier_lock(&store.settings.schema)]).await?;
    let found = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let hung = store.hung().look(clock::monotonic(), found);
    for pid in hung {
        let ended = client.query_one("SELECT pg_terminate_backend($1)", &[&pid]).await?;
        if ended.get(0) {
            warn!(pid, "another instance hangs amid a commit; its session is ended");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_session_that_does_not_move_is_hung() {
        let s = Duration::from_secs;
        let mut sessions = HungSessions::default();
        let seen = |pid, sign: &str| vec![(pid, sign.to_owned())];
        assert!(sessions.look(s(0), seen(7, "a")).is_empty());
        assert!(sessions.look(s(9), seen(7, "a")).is_empty());
        assert!(sessions.look(s(11), seen(7, "b")).is_empty(), "something came");
        assert!(sessions.look(s(20), seen(7, "b")).is_empty());
        assert_eq!(sessions.look(s(21), seen(7, "b")), [7]);
        assert!(sessions.look(s(22), Vec::new()).is_empty());
        assert!(sessions.look(s(33), seen(7, "b")).is_empty(), "it was gone between");
    }
}
