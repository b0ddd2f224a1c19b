-- What the daemon remembers beside the rotations. Not part of the log: what comes of it is an event of a rotation. Additive, so that
-- a journal of an earlier release gets it when it is opened, and that release opens it still.

-- What a version is known by to those who find it elsewhere: ids in the clear, secrets by hashes.
CREATE TABLE IF NOT EXISTS known (
    mark     TEXT NOT NULL,
    rotation TEXT NOT NULL REFERENCES rotations (id),
    slot     TEXT NOT NULL,
    PRIMARY KEY (mark, rotation, slot)
) STRICT, WITHOUT ROWID;

-- The same of versions that entries were found to hold before any rotation.
CREATE TABLE IF NOT EXISTS stock (
    mark       TEXT    NOT NULL,
    credential TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    seen_ms    INTEGER NOT NULL,
    PRIMARY KEY (mark, credential, version)
) STRICT, WITHOUT ROWID;

-- Times of a schedule that have been dealt with, each once (safety.md S15).
CREATE TABLE IF NOT EXISTS ticks (
    credential TEXT    NOT NULL,
    at_ms      INTEGER NOT NULL,
    what       TEXT    NOT NULL,
    rotation   TEXT    REFERENCES rotations (id),
    PRIMARY KEY (credential, at_ms)
) STRICT, WITHOUT ROWID;

-- Leak alerts, each delivery once (S26).
CREATE TABLE IF NOT EXISTS alerts (
    number     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    digest     BLOB    NOT NULL,
    part       INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,
    source     TEXT    NOT NULL,
    report     TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    credential TEXT,
    rotation   TEXT    REFERENCES rotations (id),
    note       TEXT    NOT NULL DEFAULT '',
    changed_ms INTEGER NOT NULL,
    UNIQUE (digest, part)
) STRICT;
CREATE INDEX IF NOT EXISTS alerts_open ON alerts (state) WHERE state NOT IN ('closed', 'unknown');

-- Who may use the API: names, roles, and the hashes of their tokens.
CREATE TABLE IF NOT EXISTS tokens (
    name    TEXT    NOT NULL PRIMARY KEY,
    role    TEXT    NOT NULL,
    hash    BLOB    NOT NULL UNIQUE,
    at_ms   INTEGER NOT NULL
) STRICT;
