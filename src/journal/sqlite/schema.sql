-- The journal, version 1. Rows are only added; the triggers stop what a slip of the hand could do.
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE rotations (
    id         TEXT    NOT NULL PRIMARY KEY,
    credential TEXT    NOT NULL,
    lineage    TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    epoch      INTEGER NOT NULL CHECK (epoch >= 1),
    finished   INTEGER NOT NULL DEFAULT 0 CHECK (finished IN (0, 1)),
    owner      TEXT,
    lease_wall INTEGER NOT NULL DEFAULT 0,
    lease_boot INTEGER NOT NULL DEFAULT 0
) STRICT;

-- One rotation of a lineage that is not finished (safety.md S14).
CREATE UNIQUE INDEX one_rotation ON rotations (lineage) WHERE finished = 0;

CREATE TABLE events (
    n        INTEGER NOT NULL PRIMARY KEY,
    rotation TEXT    NOT NULL REFERENCES rotations (id),
    seq      INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    format   INTEGER NOT NULL,
    wall_ms  INTEGER NOT NULL,
    boot_ms  INTEGER NOT NULL,
    boot_id  TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    payload  TEXT    NOT NULL,
    last     INTEGER NOT NULL CHECK (last IN (0, 1)),
    prev     BLOB    NOT NULL,
    hash     BLOB    NOT NULL,
    UNIQUE (rotation, seq)
) STRICT;

CREATE TABLE sealed (
    rotation TEXT NOT NULL REFERENCES rotations (id),
    slot     TEXT NOT NULL,
    blob     BLOB NOT NULL,
    PRIMARY KEY (rotation, slot)
) STRICT;

-- What other processes ask of the owner of a rotation. Not part of the log: what comes of a request is an event.
CREATE TABLE inbox (
    number   INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    rotation TEXT    NOT NULL REFERENCES rotations (id),
    request  TEXT    NOT NULL
) STRICT;

CREATE TRIGGER events_stay BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
CREATE TRIGGER events_are_final BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER rotations_stay BEFORE DELETE ON rotations BEGIN SELECT RAISE(ABORT, 'rotations are never deleted'); END;
CREATE TRIGGER epochs_grow BEFORE UPDATE ON rotations WHEN NEW.epoch < OLD.epoch OR NEW.seq < OLD.seq OR NEW.finished < OLD.finished
BEGIN SELECT RAISE(ABORT, 'a rotation never goes back'); END;
