-- Finds the events that wait for a location: those whose provider was away, late or out of budget. Nothing else is in it.

CREATE INDEX processed_events_to_repair ON processed_events (ip)
    WHERE geo_status IN ('quota', 'timeout', 'error');
CREATE INDEX processed_events_overflow_to_repair ON processed_events_overflow (ip)
    WHERE geo_status IN ('quota', 'timeout', 'error');
