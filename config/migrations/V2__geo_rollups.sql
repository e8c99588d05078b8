-- Rollups by where visitors are, each a family of tables of the same life as web_traffic's, and the ledger of what was
-- summed into them: like web_traffic, but only of hits that were located while the rollup was switched on.

CREATE TABLE aggregated_web_traffic_by_country (
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    host         text,
    country_code text,
    num_hits     bigint      NOT NULL
);
CREATE INDEX ON aggregated_web_traffic_by_country USING brin (window_start);
COMMENT ON TABLE  aggregated_web_traffic_by_country IS 'Final windows by country. Append-only: a row here never changes.';
COMMENT ON COLUMN aggregated_web_traffic_by_country.window_start IS 'First instant of the window.';
COMMENT ON COLUMN aggregated_web_traffic_by_country.window_end IS 'First instant after the window.';
COMMENT ON COLUMN aggregated_web_traffic_by_country.host IS 'Site; NULL is a group of its own.';
COMMENT ON COLUMN aggregated_web_traffic_by_country.country_code IS 'ISO 3166-1 alpha-2; NULL where nobody could tell in time.';
COMMENT ON COLUMN aggregated_web_traffic_by_country.num_hits IS 'Hits on time.';

CREATE TABLE open_web_traffic_by_country (
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    host         text,
    country_code text,
    num_hits     bigint      NOT NULL,
    host_hash    bigint      NOT NULL,
    row_key      uuid        NOT NULL,
    PRIMARY KEY (window_start, host_hash, row_key)
) WITH (fillfactor = 50);
COMMENT ON TABLE  open_web_traffic_by_country IS 'Windows still open by country; moved to aggregated_web_traffic_by_country when final.';
COMMENT ON COLUMN open_web_traffic_by_country.window_start IS 'First instant of the window.';
COMMENT ON COLUMN open_web_traffic_by_country.window_end IS 'First instant after the window.';
COMMENT ON COLUMN open_web_traffic_by_country.host IS 'Site; NULL is a group of its own.';
COMMENT ON COLUMN open_web_traffic_by_country.country_code IS 'ISO 3166-1 alpha-2; NULL where nobody could tell in time.';
COMMENT ON COLUMN open_web_traffic_by_country.num_hits IS 'Hits on time so far.';
COMMENT ON COLUMN open_web_traffic_by_country.host_hash IS 'First 64 bits of BLAKE3 of the encoded host, to distribute by.';
COMMENT ON COLUMN open_web_traffic_by_country.row_key IS 'First 128 bits of BLAKE3 of the encoded host and country_code.';

CREATE TABLE late_web_traffic_by_country (
    LIKE open_web_traffic_by_country INCLUDING ALL EXCLUDING INDEXES,
    PRIMARY KEY (window_start, window_end, host_hash, row_key)
) WITH (fillfactor = 50);
COMMENT ON TABLE  late_web_traffic_by_country IS 'Hits that came after their window had closed, by country.';
COMMENT ON COLUMN late_web_traffic_by_country.num_hits IS 'Late hits so far.';

CREATE VIEW live_web_traffic_by_country AS
    SELECT window_start, window_end, host, country_code, num_hits, true AS is_final
      FROM aggregated_web_traffic_by_country
    UNION ALL
    SELECT window_start, window_end, host, country_code, num_hits, window_end <= (SELECT f FROM frontier)
      FROM open_web_traffic_by_country;
COMMENT ON VIEW live_web_traffic_by_country IS 'Final and open windows by country; is_final tells whether num_hits can still change.';

CREATE TABLE aggregated_web_traffic_by_city (
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    host         text,
    country_code text,
    region       text,
    city         text,
    num_hits     bigint      NOT NULL
);
CREATE INDEX ON aggregated_web_traffic_by_city USING brin (window_start);
COMMENT ON TABLE  aggregated_web_traffic_by_city IS 'Final windows by city. Append-only: a row here never changes.';
COMMENT ON COLUMN aggregated_web_traffic_by_city.window_start IS 'First instant of the window.';
COMMENT ON COLUMN aggregated_web_traffic_by_city.window_end IS 'First instant after the window.';
COMMENT ON COLUMN aggregated_web_traffic_by_city.host IS 'Site; NULL is a group of its own.';
COMMENT ON COLUMN aggregated_web_traffic_by_city.country_code IS 'ISO 3166-1 alpha-2; NULL where nobody could tell in time.';
COMMENT ON COLUMN aggregated_web_traffic_by_city.region IS 'Region or state; NULL where nobody could tell in time.';
COMMENT ON COLUMN aggregated_web_traffic_by_city.city IS 'City; NULL where nobody could tell in time.';
COMMENT ON COLUMN aggregated_web_traffic_by_city.num_hits IS 'Hits on time.';

CREATE TABLE open_web_traffic_by_city (
    window_start timestamptz NOT NULL,
    window_end   timestamptz NOT NULL,
    host         text,
    country_code text,
    region       text,
    city         text,
    num_hits     bigint      NOT NULL,
    host_hash    bigint      NOT NULL,
    row_key      uuid        NOT NULL,
    PRIMARY KEY (window_start, host_hash, row_key)
) WITH (fillfactor = 50);
COMMENT ON TABLE  open_web_traffic_by_city IS 'Windows still open by city; moved to aggregated_web_traffic_by_city when final.';
COMMENT ON COLUMN open_web_traffic_by_city.window_start IS 'First instant of the window.';
COMMENT ON COLUMN open_web_traffic_by_city.window_end IS 'First instant after the window.';
COMMENT ON COLUMN open_web_traffic_by_city.host IS 'Site; NULL is a group of its own.';
COMMENT ON COLUMN open_web_traffic_by_city.country_code IS 'ISO 3166-1 alpha-2; NULL where nobody could tell in time.';
COMMENT ON COLUMN open_web_traffic_by_city.region IS 'Region or state; NULL where nobody could tell in time.';
COMMENT ON COLUMN open_web_traffic_by_city.city IS 'City; NULL where nobody could tell in time.';
COMMENT ON COLUMN open_web_traffic_by_city.num_hits IS 'Hits on time so far.';
COMMENT ON COLUMN open_web_traffic_by_city.host_hash IS 'First 64 bits of BLAKE3 of the encoded host, to distribute by.';
COMMENT ON COLUMN open_web_traffic_by_city.row_key IS 'First 128 bits of BLAKE3 of the encoded host, country_code, region and city.';

CREATE TABLE late_web_traffic_by_city (
    LIKE open_web_traffic_by_city INCLUDING ALL EXCLUDING INDEXES,
    PRIMARY KEY (window_start, window_end, host_hash, row_key)
) WITH (fillfactor = 50);
COMMENT ON TABLE  late_web_traffic_by_city IS 'Hits that came after their window had closed, by city.';
COMMENT ON COLUMN late_web_traffic_by_city.num_hits IS 'Late hits so far.';

CREATE VIEW live_web_traffic_by_city AS
    SELECT window_start, window_end, host, country_code, region, city, num_hits, true AS is_final
      FROM aggregated_web_traffic_by_city
    UNION ALL
    SELECT window_start, window_end, host, country_code, region, city, num_hits, window_end <= (SELECT f FROM frontier)
      FROM open_web_traffic_by_city;
COMMENT ON VIEW live_web_traffic_by_city IS 'Final and open windows by city; is_final tells whether num_hits can still change.';

CREATE TABLE rollup_ledger (
    rollup      text    NOT NULL,
    incarnation integer NOT NULL,
    partition   integer NOT NULL,
    counted     bigint  NOT NULL,
    late        bigint  NOT NULL,
    refused     bigint  NOT NULL,
    PRIMARY KEY (rollup, incarnation, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE  rollup_ledger IS 'What was summed into the rollups beside web_traffic. A commit books on its lowest partition: only sums over partitions mean something.';
COMMENT ON COLUMN rollup_ledger.rollup IS 'The rollup: what its tables are called after open_, aggregated_ and late_.';
COMMENT ON COLUMN rollup_ledger.incarnation IS 'Incarnation of the topic.';
COMMENT ON COLUMN rollup_ledger.partition IS 'Lowest partition of the commit.';
COMMENT ON COLUMN rollup_ledger.counted IS '(record, window) pairs summed into open windows.';
COMMENT ON COLUMN rollup_ledger.late IS 'Pairs summed as late: by their partition''s watermark, or behind the frontier at commit.';
COMMENT ON COLUMN rollup_ledger.refused IS 'Pairs left out because PostgreSQL refused their row. They are in web_traffic all the same.';
