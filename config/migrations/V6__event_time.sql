-- Finds the events of a time range without reading their whole days, which is what the dashboard's top pages ask for.
-- Events come nearly in the order of their times, so a range of pages has some minutes. Days that are there get it here,
-- those to come when they are attached; until a vacuum looks at new pages they are read as before.
CREATE INDEX processed_events_event_time ON processed_events USING brin (event_time);
