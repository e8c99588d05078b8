//! Whatever the pools, limits and batches, and whatever the store answers, the rows are the model's.

use std::time::Duration;

use hitstream_actors::settings::{FlushLimits, PoolSizes};

use crate::memory_store::Fault;
use crate::stage::Stage;

#[actix::test]
async fn rows_are_the_models_for_all_pools_limits_and_batches() {
    for seed in 0..24_u8 {
        let mut stage = Stage::new(seed);
        let pick = |of: [usize; 3]| of[usize::from(seed) % 3];
        stage.settings.pools = PoolSizes {
            threads: pick([1, 2, 4]),
            window_shards: pick([3, 1, 2]),
            enrichers: pick([2, 4, 1]),
        };
        stage.settings.flush = FlushLimits {
            interval: Duration::from_millis(if seed % 2 == 0 { 5 } else { 40 }),
            catch_up_interval: Duration::from_millis([100, 1, 20][usize::from(seed) % 3]),
            max_keys: pick([3, 1_000, 20]),
            max_events: [1_000, 1, 10, 7][usize::from(seed / 3) % 4],
            max_bytes: if seed % 5 == 0 { 1_000 } else { 1 << 20 },
        };
        stage.settings.store_events = seed % 4 != 0;
        let source = stage.source(1 + usize::from(seed));
        stage.run(&source).await;
        stage.check();
    }
}

#[actix::test]
async fn lost_answers_and_outages_change_nothing() {
    let run = |seed: u8| async move {
        let mut stage = Stage::new(seed);
        stage.settings.flush.max_events = 5;
        let faults = (0..6).map(|n| match (n + seed) % 6 {
            0 | 3 => Some(Fault::Before),
            1 => Some(Fault::After),
            _ => None,
        });
        *stage.store.faults.lock().unwrap() = faults.collect();
        stage.run(&stage.source(3)).await;
        stage.check();
    };
    futures::future::join_all((40..48).map(run)).await;
}

#[actix::test]
async fn fenced_generation_is_followed_by_one_from_committed_progress() {
    let run = |seed: u8| async move {
        let mut stage = Stage::new(seed);
        stage.settings.flush.max_events = 5;
        let faults = [None, Some(Fault::Fenced), None, None, Some(Fault::Fenced)];
        stage.store.faults.lock().unwrap().extend(faults);
        stage.run(&stage.source(2)).await;
        stage.check();
    };
    futures::future::join_all((60..66).map(run)).await;
}
