//! How far the whole topic is behind, whoever reads it or nobody: brokers and tables are asked beside the actors, and across
//! their generations, at a pace that costs neither anything. Nothing here holds up a reader.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hitstream_domain::progress::{Offset, PartitionId};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::debug;

use crate::clock;
use crate::metrics::Partitions;
use crate::source::Source;
use crate::store::{Store, StoreError, Survey};

/// How often to look.
const LOOK: Duration = Duration::from_secs(5);
/// How long the tables are waited for before the brokers are asked without them.
const TABLES_LIMIT: Duration = Duration::from_secs(5);

/// A question to the tables that may not be answered yet.
type Asked = BoxFuture<'static, Result<Survey, StoreError>>;

/// Looks every 5 s, for ever, and tells `partitions`.
pub async fn watch_lag(source: Arc<dyn Source>, store: Arc<dyn Store>, partitions: Partitions) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked = None;
    loop {
        look.tick().await;
        // First the tables: what the brokers have after that can only be more.
        let progress = progress(&store, &mut asked).await;
        let at = clock::now();
        match source.ends().await {
            Ok(ends) => partitions.looked(progress.as_ref(), at, &ends),
            Err(error) => debug!(%error, "where the topic ends is not known"),
        }
        let wanted = partitions.wanted();
        if wanted.is_empty() {
            continue;
        }
        match source.first_timestamps(wanted.clone()).await {
            Ok(found) => {
                for (partition, next) in wanted {
                    if let Some(came) = found.get(&partition) {
                        partitions.first_came(partition, next, *came);
                    }
                }
            }
            Err(error) => debug!(%error, "since when records wait is not known"),
        }
    }
}

/// How far the tables are; `None` while they do not answer. A server that hangs is asked once and not again and again.
async fn progress(
    store: &Arc<dyn Store>,
    asked: &mut Option<Asked>,
) -> Option<BTreeMap<PartitionId, Offset>> {
    let question = asked.get_or_insert_with(|| {
        let store = Arc::clone(store);
        async move { store.survey().await }.boxed()
    });
    let answer = timeout(TABLES_LIMIT, question).await.ok()?;
    *asked = None;
    match answer {
        Ok(survey) => Some(survey.partitions.iter().map(|(at, next, _)| (*at, *next)).collect()),
        Err(error) => {
            debug!(%error, "how far the tables are is not known");
            None
        }
    }
}
