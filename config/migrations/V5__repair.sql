-- Finds the events that wait for a location: those whose provider was away, late or out of budget. Nothing else is in it.

-- By a hash: an address is any text, and text is never a B-tree key (PostgreSQL refuses index rows over 2.7 kB).
CREATE INDEX processed_events_to_repair ON processed_events (hashtextextended(ip, 0))
    WHERE geo_status IN ('quota', 'timeout', 'error');
CREATE INDEX processed_events_overflow_to_repair ON processed_events_overflow (hashtextextended(ip, 0))
    WHERE geo_status IN ('quota', 'timeout', 'error');

COMMENT ON COLUMN processed_events.geo_source IS 'Who located the address: database or ip2location.';
COMMENT ON COLUMN processed_events.geo_status IS 'If nobody did, why not (docs/ENRICHMENT.md).';
COMMENT ON COLUMN processed_events.ip IS 'Visitor''s address as sent, or what privacy.ip keeps of it: any text.';
