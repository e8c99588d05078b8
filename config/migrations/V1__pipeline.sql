-- The tables of one pipeline. Everything lives in the schema that the connection's search_path names first.
-- Comments on columns are the reference; docs/SEMANTICS.md says how they hang together.

CREATE TABLE pipeline (
    only_row        boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    cluster_id      text        NOT NULL,
    topic           text        NOT NULL,
    consumer_group  text        NOT NULL,
    window_size     bigint      NOT NULL CHECK (window_size > 0),
    window_slide    bigint      NOT NULL CHECK (window_slide > 0 AND window_slide <= window_size),
    watermark_delay bigint      NOT NULL CHECK (watermark_delay >= 0),
    created_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE  pipeline IS 'What this schema belongs to. One row, written by the first run; a run with other values is refused.';
COMMENT ON COLUMN pipeline.only_row IS 'Always true: keeps the table at one row.';
COMMENT ON COLUMN pipeline.cluster_id IS 'Kafka cluster id; empty where the brokers have none.';
COMMENT ON COLUMN pipeline.topic IS 'Topic that is read.';
COMMENT ON COLUMN pipeline.consumer_group IS 'Consumer group that the instances join.';
COMMENT ON COLUMN pipeline.window_size IS 'window.size in microseconds.';
COMMENT ON COLUMN pipeline.window_slide IS 'window.slide in microseconds.';
COMMENT ON COLUMN pipeline.watermark_delay IS 'watermark.delay in microseconds.';
COMMENT ON COLUMN pipeline.created_at IS 'When the first run opened the topic.';

CREATE TABLE frontier (
    only_row   boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    f          timestamptz NOT NULL DEFAULT '-infinity',
    updated_at timestamptz NOT NULL DEFAULT now(),
    note       text
) WITH (fillfactor = 50);
COMMENT ON TABLE  frontier IS 'How far the whole topic has come in event time. One row.';
COMMENT ON COLUMN frontier.only_row IS 'Always true: keeps the table at one row.';
COMMENT ON COLUMN frontier.f IS 'Windows that end at or before this are final. Never goes back.';
COMMENT ON COLUMN frontier.updated_at IS 'When it last moved, for people.';
COMMENT ON COLUMN frontier.note IS 'What operators did to it by hand, a line each.';
INSERT INTO frontier DEFAULT VALUES;

CREATE TABLE partition_progress (
    incarnation    integer     NOT NULL,
    partition      integer     NOT NULL,
    topic_id       text        NOT NULL,
    start_offset   bigint      NOT NULL,
    next_offset    bigint      NOT NULL CHECK (next_offset >= start_offset),
    max_event_time timestamptz,
    idle_until     timestamptz,
    owner          text,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    records        bigint      NOT NULL DEFAULT 0,
    accepted       bigint      NOT NULL DEFAULT 0,
    rejected       bigint      NOT NULL DEFAULT 0,
    sanitised      bigint      NOT NULL DEFAULT 0,
    stored         bigint      NOT NULL DEFAULT 0,
    counted        bigint      NOT NULL DEFAULT 0,
    late           bigint      NOT NULL DEFAULT 0,
    diverted       bigint      NOT NULL DEFAULT 0,
    lost           bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (incarnation, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE  partition_progress IS 'How far each partition is in the tables, and the ledger of what became of its records.';
COMMENT ON COLUMN partition_progress.incarnation IS 'Rises when the topic is recreated (another topic_id).';
COMMENT ON COLUMN partition_progress.partition IS 'Partition number.';
COMMENT ON COLUMN partition_progress.topic_id IS 'Kafka topic id in hexadecimal; zeros where the brokers have none.';
COMMENT ON COLUMN partition_progress.start_offset IS 'First offset the pipeline asked for.';
COMMENT ON COLUMN partition_progress.next_offset IS 'First offset that is not in the tables. Commits compare and set it.';
COMMENT ON COLUMN partition_progress.max_event_time IS 'Greatest event time accepted; its watermark is this less watermark.delay.';
COMMENT ON COLUMN partition_progress.idle_until IS 'Until when the partition does not hold the frontier; infinity after a release by hand.';
COMMENT ON COLUMN partition_progress.owner IS 'Instance that committed last, for people.';
COMMENT ON COLUMN partition_progress.updated_at IS 'When it last committed, for people.';
COMMENT ON COLUMN partition_progress.records IS 'Records read = accepted + rejected.';
COMMENT ON COLUMN partition_progress.accepted IS 'Records that are hits.';
COMMENT ON COLUMN partition_progress.rejected IS 'Records in rejected_events.';
COMMENT ON COLUMN partition_progress.sanitised IS 'Accepted records in which NUL or invalid UTF-8 became U+FFFD.';
COMMENT ON COLUMN partition_progress.stored IS 'Accepted records that went to processed_events (events.store = true).';
COMMENT ON COLUMN partition_progress.counted IS '(record, window) pairs summed into open windows. Only sums over partitions mean something.';
COMMENT ON COLUMN partition_progress.late IS 'Pairs late by their partition''s own watermark.';
COMMENT ON COLUMN partition_progress.diverted IS 'Pairs on time in their partition but behind the frontier at commit; booked on a commit''s lowest partition.';
COMMENT ON COLUMN partition_progress.lost IS 'Offsets that Kafka no longer had when they were wanted (kafka.on_data_loss = "continue").';

-- Final rows: the columns, and only those, that the Spark job writes.
CREATE TABLE aggregated_web_traffic (
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    host         text,
    referrer     text,
    num_hits     bigint      NOT NULL
);
CREATE INDEX ON aggregated_web_traffic USING brin (window_start);
COMMENT ON TABLE  aggregated_web_traffic IS 'Final windows. Append-only: a row here never changes.';
COMMENT ON COLUMN aggregated_web_traffic.window_start IS 'First instant of the window.';
COMMENT ON COLUMN aggregated_web_traffic.window_end IS 'First instant after the window.';
COMMENT ON COLUMN aggregated_web_traffic.host IS 'Site; NULL is a group of its own.';
COMMENT ON COLUMN aggregated_web_traffic.referrer IS 'Referrer; NULL and '''' are different groups.';
COMMENT ON COLUMN aggregated_web_traffic.num_hits IS 'Hits on time.';

-- Text is never a key: PostgreSQL refuses index rows over 2.7 kB. Half-empty pages keep updates in place (HOT).
CREATE TABLE open_web_traffic (
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    host         text,
    referrer     text,
    num_hits     bigint      NOT NULL,
    host_hash    bigint      NOT NULL,
    row_key      uuid        NOT NULL,
    PRIMARY KEY (window_start, host_hash, row_key)
) WITH (fillfactor = 50);
COMMENT ON TABLE  open_web_traffic IS 'Windows still open, updated at every commit; moved to aggregated_web_traffic when final.';
COMMENT ON COLUMN open_web_traffic.window_start IS 'First instant of the window.';
COMMENT ON COLUMN open_web_traffic.window_end IS 'First instant after the window.';
COMMENT ON COLUMN open_web_traffic.host IS 'Site; NULL is a group of its own.';
COMMENT ON COLUMN open_web_traffic.referrer IS 'Referrer; NULL and '''' are different groups.';
COMMENT ON COLUMN open_web_traffic.num_hits IS 'Hits on time so far.';
COMMENT ON COLUMN open_web_traffic.host_hash IS 'First 64 bits of BLAKE3 of the encoded host, to distribute by.';
COMMENT ON COLUMN open_web_traffic.row_key IS 'First 128 bits of BLAKE3 of the encoded host and referrer.';

-- Unlike open windows, late ones of a former window.size stay beside those of the present one: the end tells them apart.
CREATE TABLE late_web_traffic (
    LIKE open_web_traffic INCLUDING ALL EXCLUDING INDEXES,
    PRIMARY KEY (window_start, window_end, host_hash, row_key)
) WITH (fillfactor = 50);
COMMENT ON TABLE  late_web_traffic IS 'Hits that came after their window had closed, summed by the same key. Never part of aggregated_web_traffic.';
COMMENT ON COLUMN late_web_traffic.num_hits IS 'Late hits so far.';

CREATE VIEW live_web_traffic AS
    SELECT window_start, window_end, host, referrer, num_hits, true AS is_final
      FROM aggregated_web_traffic
    UNION ALL
    SELECT window_start, window_end, host, referrer, num_hits, window_end <= (SELECT f FROM frontier)
      FROM open_web_traffic;
COMMENT ON VIEW live_web_traffic IS 'Final and open windows; is_final tells whether num_hits can still change.';

CREATE TABLE processed_events (
    topic        text        NOT NULL,
    incarnation  integer     NOT NULL,
    partition    integer     NOT NULL,
    "offset"     bigint      NOT NULL,
    kafka_time   timestamptz,
    event_time   timestamptz NOT NULL,
    host         text,
    referrer     text,
    url          text,
    user_agent   text,
    ip           text,
    headers      text,
    geo_source   text,
    geo_status   text,
    country_code text,
    country      text,
    region       text,
    city         text,
    latitude     double precision,
    longitude    double precision,
    time_zone    text,
    asn          bigint,
    as_name      text
) PARTITION BY RANGE (event_time);
COMMENT ON TABLE  processed_events IS 'Every accepted hit (events.store = true), by day of event_time in UTC. Days are attached as they come.';
COMMENT ON COLUMN processed_events.topic IS 'Topic of the record.';
COMMENT ON COLUMN processed_events.incarnation IS 'Incarnation of the topic.';
COMMENT ON COLUMN processed_events.partition IS 'Partition of the record. (topic, incarnation, partition, offset) is unique, by the commit protocol.';
COMMENT ON COLUMN processed_events."offset" IS 'Offset of the record.';
COMMENT ON COLUMN processed_events.kafka_time IS 'Timestamp of the record, where it has one.';
COMMENT ON COLUMN processed_events.event_time IS 'When the hit happened.';
COMMENT ON COLUMN processed_events.host IS 'Site.';
COMMENT ON COLUMN processed_events.referrer IS 'Referrer.';
COMMENT ON COLUMN processed_events.url IS 'Request target.';
COMMENT ON COLUMN processed_events.user_agent IS 'User agent as sent.';
COMMENT ON COLUMN processed_events.ip IS 'Visitor''s address as sent: any text.';
COMMENT ON COLUMN processed_events.headers IS 'Request headers as text.';
COMMENT ON COLUMN processed_events.geo_source IS 'Who located the address. Empty until enrichment is built.';
COMMENT ON COLUMN processed_events.geo_status IS 'If nobody did, why not. Empty until enrichment is built.';
COMMENT ON COLUMN processed_events.country_code IS 'ISO 3166-1 alpha-2.';
COMMENT ON COLUMN processed_events.country IS 'Country name.';
COMMENT ON COLUMN processed_events.region IS 'Region or state.';
COMMENT ON COLUMN processed_events.city IS 'City.';
COMMENT ON COLUMN processed_events.latitude IS 'Degrees north.';
COMMENT ON COLUMN processed_events.longitude IS 'Degrees east.';
COMMENT ON COLUMN processed_events.time_zone IS 'Time zone as the provider has it.';
COMMENT ON COLUMN processed_events.asn IS 'Autonomous system number.';
COMMENT ON COLUMN processed_events.as_name IS 'Autonomous system name.';

CREATE TABLE processed_events_overflow (LIKE processed_events INCLUDING ALL);
COMMENT ON TABLE processed_events_overflow IS 'Events of days beyond events.max_partitions. Not a partition: attaching days must not scan it.';

CREATE TABLE rejected_events (
    topic       text        NOT NULL,
    incarnation integer     NOT NULL,
    partition   integer     NOT NULL,
    "offset"    bigint      NOT NULL,
    reason      text        NOT NULL,
    detail      text,
    payload     bytea,
    kafka_time  timestamptz,
    rejected_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON rejected_events USING brin (rejected_at);
COMMENT ON TABLE  rejected_events IS 'Records that are no hits, whole, so that they can be mended and sent again.';
COMMENT ON COLUMN rejected_events.topic IS 'Topic of the record.';
COMMENT ON COLUMN rejected_events.incarnation IS 'Incarnation of the topic.';
COMMENT ON COLUMN rejected_events.partition IS 'Partition of the record.';
COMMENT ON COLUMN rejected_events."offset" IS 'Offset of the record.';
COMMENT ON COLUMN rejected_events.reason IS 'Class of the fault, from a closed set (docs/SEMANTICS.md).';
COMMENT ON COLUMN rejected_events.detail IS 'The fault itself, for people.';
COMMENT ON COLUMN rejected_events.payload IS 'The record''s value, byte for byte; NULL for a tombstone, or where PostgreSQL refused it.';
COMMENT ON COLUMN rejected_events.kafka_time IS 'Timestamp of the record, where it has one.';
COMMENT ON COLUMN rejected_events.rejected_at IS 'When it was committed here.';
