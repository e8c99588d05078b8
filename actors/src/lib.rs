//! The actor system of hitstream.
//!
//! The path of an event:
//!
//! 1. [`group_member::kafka`] is one thread that serves the consumer group and takes records in batches; each
//!    partition's share goes to its [`consumer::PartitionConsumer`].
//! 2. The consumer decodes, rejects what is no hit, places each hit in its windows by the partition's own watermark, sums
//!    hits per window and key, and packs events and rejects as rows. Events go on to an [`enricher::Enricher`], chosen
//!    by IP.
//! 3. Sums go to the [`window::WindowShard`]s, chosen by host, whenever there are many, and at a cut: every
//!    `flush.interval`, or sooner at a limit, the [`group_member::GroupMember`] ends an epoch. Each consumer ends it in its
//!    own stream, sends a mark to every shard and enricher, and its progress and rejects to the [`writer::Writer`].
//! 4. An enricher that has the marks of all consumers hands its events over; a shard that has those of all consumers and
//!    enrichers hands its sums over in key order. The writer that has all parts commits them in one transaction, together
//!    with the progress that they stand for ([`writer::postgres`]).
//! 5. The [`finalizer::Finalizer`] advances the frontier and moves windows behind it to the final table.
//!
//! At most two epochs exist, one on its way and one accumulating; [`intake::Intake`] bounds what they and the batches before
//! them hold. When any actor dies the [`supervisor::PipelineSupervisor`] drops all of them and starts from committed
//! progress. [`link`] is how they are connected, [`messages`] what they say; [`source`] and [`store`] are the traits that
//! Kafka and PostgreSQL stand behind.

pub mod awaited;
pub mod backoff;
pub mod clock;
pub mod consumer;
pub mod contact;
pub mod enricher;
pub mod faults;
pub mod finalizer;
pub mod group_member;
pub mod intake;
pub mod lag;
pub mod link;
pub mod messages;
pub mod metrics;
pub mod packed;
pub mod readiness;
pub mod refuse;
pub mod settings;
pub mod source;
pub mod stall;
pub mod store;
pub mod supervisor;
pub mod window;
pub mod writer;
