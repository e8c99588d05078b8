//! The embedded Kafka: librdkafka's mock cluster, with a group that need not wait for more members.
//!
//! The safe crate has no call for that wait. A cluster that belongs to a client can be asked for through it, and so is
//! within reach of the library's own call.
#![allow(unsafe_code)]

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka_sys as sys;

/// How long a group waits for members before the first assignment; 3 s by default. There is one member only.
const WAIT_MS: i32 = 100;

/// A cluster of one broker in this process, gone when dropped.
pub(super) struct Kafka {
    client: BaseProducer,
}

impl Kafka {
    /// Starts it, with one topic.
    pub(super) fn start(topic: &str, partitions: i32) -> Result<Self> {
        let client: BaseProducer =
            ClientConfig::new().set("test.mock.num.brokers", "1").create()?;
        // SAFETY: the client is valid as long as it is held, and its cluster, where it has one, lives as long as it does.
        unsafe {
            let cluster = sys::rd_kafka_handle_mock_cluster(client.client().native_ptr());
            if cluster.is_null() {
                bail!("the client has no cluster");
            }
            sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, WAIT_MS);
        }
        {
            let cluster = client.client().mock_cluster().context("the client has no cluster")?;
            cluster.create_topic(topic, partitions, 1)?;
        }
        Ok(Self { client })
    }

    /// How clients find it.
    pub(super) fn brokers(&self) -> Result<String> {
        let cluster = self.client.client().mock_cluster().context("the client has no cluster")?;
        Ok(cluster.bootstrap_servers())
    }
}
