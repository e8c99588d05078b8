-- What an HTTP provider of geolocation has answered, so that no restart and no other instance asks it again, and what it
-- has cost. Neither is part of the results: both may be emptied at any time, at the price of asking again.

CREATE TABLE ip_locations (
    ip           inet        PRIMARY KEY,
    country_code text,
    country      text,
    region       text,
    city         text,
    latitude     double precision,
    longitude    double precision,
    time_zone    text,
    asn          bigint,
    as_name      text,
    source       text        NOT NULL,
    located_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON ip_locations (located_at);
COMMENT ON TABLE  ip_locations IS 'Answers of an HTTP provider by address, for as long as they may be kept; empty where privacy forbids to keep addresses.';
COMMENT ON COLUMN ip_locations.ip IS 'Visitor''s address, one alone.';
COMMENT ON COLUMN ip_locations.country_code IS 'ISO 3166-1 alpha-2.';
COMMENT ON COLUMN ip_locations.country IS 'Country name.';
COMMENT ON COLUMN ip_locations.region IS 'Region or state.';
COMMENT ON COLUMN ip_locations.city IS 'City.';
COMMENT ON COLUMN ip_locations.latitude IS 'Degrees north.';
COMMENT ON COLUMN ip_locations.longitude IS 'Degrees east.';
COMMENT ON COLUMN ip_locations.time_zone IS 'Time zone as the provider has it.';
COMMENT ON COLUMN ip_locations.asn IS 'Autonomous system number.';
COMMENT ON COLUMN ip_locations.as_name IS 'Autonomous system name.';
COMMENT ON COLUMN ip_locations.source IS 'Who answered, as in processed_events.geo_source.';
COMMENT ON COLUMN ip_locations.located_at IS 'When the answer was kept; it is forgotten so long after that.';

-- One row is updated again and again.
CREATE TABLE geo_budget (
    provider     text        NOT NULL,
    period       text        NOT NULL CHECK (period IN ('day', 'month')),
    period_start date        NOT NULL,
    used         bigint      NOT NULL CHECK (used >= 0),
    last_grant   bigint      NOT NULL CHECK (last_grant >= 0),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, period, period_start)
) WITH (fillfactor = 50);
COMMENT ON TABLE  geo_budget IS 'Requests to a provider, a row a period: all instances take theirs from here, ahead of use.';
COMMENT ON COLUMN geo_budget.provider IS 'Who is asked, as in processed_events.geo_source.';
COMMENT ON COLUMN geo_budget.period IS 'What the budget is for: day or month.';
COMMENT ON COLUMN geo_budget.period_start IS 'First day of the period, in UTC.';
COMMENT ON COLUMN geo_budget.used IS 'Requests reserved so far. What an instance had reserved and not made when it ended counts as used.';
COMMENT ON COLUMN geo_budget.last_grant IS 'What the last reservation got.';
COMMENT ON COLUMN geo_budget.updated_at IS 'When that was, for people.';
