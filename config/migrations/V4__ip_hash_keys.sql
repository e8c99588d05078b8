-- What addresses are hashed with under privacy.ip = "hash".

CREATE TABLE ip_hash_keys (
    day date  PRIMARY KEY,
    key bytea NOT NULL CHECK (length(key) = 32)
);
COMMENT ON TABLE  ip_hash_keys IS 'The key of the present day (UTC), for all instances. Those of former days are deleted; backups and WAL archives may still hold them.';
COMMENT ON COLUMN ip_hash_keys.day IS 'The day, in UTC.';
COMMENT ON COLUMN ip_hash_keys.key IS 'Random. Whoever has it can find out which addresses were hashed with it.';
