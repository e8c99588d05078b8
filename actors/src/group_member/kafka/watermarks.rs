//! The first and the last offset of a partition, also where its leader is only just becoming one.

use std::thread;
use std::time::Duration;

use hitstream_domain::progress::{Offset, PartitionId};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::clock;
use crate::source::PartitionRange;

const RETRY: Duration = Duration::from_millis(100);

/// Asks the leader of a partition what it has, for `timeout` in all; blocks. A partition that was just created or moved
/// has its leader named before that one leads, and is asked again.
///
/// # Errors
/// Whatever the client says that is not mended by asking again, or still the same at the end.
pub fn partition_range<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: PartitionId,
    timeout: Duration,
) -> Result<PartitionRange, KafkaError> {
    use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition};
    let deadline = clock::monotonic() + timeout;
    loop {
        let left = clock::until(deadline);
        match client.fetch_watermarks(topic, partition.0, left) {
            Ok((low, high)) => {
                return Ok(PartitionRange { partition, low: Offset(low), high: Offset(high) });
            }
            Err(error)
                if left > RETRY
                    && matches!(
                        error.rdkafka_error_code(),
                        Some(LeaderNotAvailable | NotLeaderForPartition)
                    ) =>
            {
                thread::sleep(RETRY);
            }
            Err(error) => return Err(error),
        }
    }
}
