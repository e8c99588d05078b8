-- Whom these tables suit, so that a rolling upgrade may start instances of the version before beside newer ones. A migration
-- that those bear, as one that only adds, leaves it; any other sets it to its own version.
CREATE TABLE compatibility (
    only_row       boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    oldest_version integer NOT NULL
);
COMMENT ON TABLE  compatibility IS 'Whom these tables suit. One row.';
COMMENT ON COLUMN compatibility.only_row IS 'Always true: keeps the table at one row.';
COMMENT ON COLUMN compatibility.oldest_version IS 'A hitstream made for tables of this version or a later one may run on them.';
INSERT INTO compatibility (oldest_version) VALUES (7);
