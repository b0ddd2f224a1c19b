-- Tables and indexes that came after version 1, and nothing else: each is made where it is missing, whenever a journal is opened.
-- What stands in version 1 is never changed.

-- The rotations of a credential or an account are asked for at each plan, however many others there are.
CREATE INDEX IF NOT EXISTS rotations_of_credential ON rotations (credential);
CREATE INDEX IF NOT EXISTS rotations_of_lineage ON rotations (lineage);

-- What is to be told to people, one row for each notice and target. Not part of the log: that it was told is no evidence.
CREATE TABLE IF NOT EXISTS outbox (
    number   INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id       TEXT    NOT NULL,
    target   TEXT    NOT NULL,
    thread   TEXT    NOT NULL,
    notice   TEXT    NOT NULL,
    made_at  INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at  INTEGER NOT NULL,
    state    TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'given-up')),
    why      TEXT,
    UNIQUE (id, target)
) STRICT;

CREATE INDEX IF NOT EXISTS outbox_waiting ON outbox (target, thread, number) WHERE state = 'waiting';

-- What the daemon remembers beside the rotations. Not part of the log: what comes of it is an event of a rotation.

-- What a version is known by to those who find it elsewhere: ids in the clear, secrets by hashes.
CREATE TABLE IF NOT EXISTS known (
    mark     TEXT NOT NULL,
    rotation TEXT NOT NULL REFERENCES rotations (id),
    slot     TEXT NOT NULL,
    PRIMARY KEY (mark, rotation, slot)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS known_rotation ON known (rotation);

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

-- Since when a schedule has been in force: none of its times before that was missed.
CREATE TABLE IF NOT EXISTS rules (
    credential TEXT    NOT NULL PRIMARY KEY,
    mark       TEXT    NOT NULL,
    since_ms   INTEGER NOT NULL
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
CREATE INDEX IF NOT EXISTS alerts_rotation ON alerts (rotation) WHERE rotation IS NOT NULL;

-- Who may use the API: names, roles, and the hashes of their tokens.
CREATE TABLE IF NOT EXISTS tokens (
    name    TEXT    NOT NULL PRIMARY KEY,
    role    TEXT    NOT NULL,
    hash    BLOB    NOT NULL UNIQUE,
    at_ms   INTEGER NOT NULL
) STRICT;

-- What the sources of evidence said of a leak's rotation, each time that they were asked: as JSON, without secrets. Part of the report.
CREATE TABLE IF NOT EXISTS assessments (
    rotation TEXT    NOT NULL REFERENCES rotations (id),
    at_ms    INTEGER NOT NULL,
    document TEXT    NOT NULL,
    PRIMARY KEY (rotation, at_ms)
) STRICT, WITHOUT ROWID;

-- How far each sink of the audit log has come. Not part of the log: that something was sent is no evidence.
CREATE TABLE IF NOT EXISTS shipped (
    sink       TEXT    NOT NULL PRIMARY KEY,
    n          INTEGER NOT NULL,
    hash       BLOB    NOT NULL,
    checkpoint INTEGER NOT NULL,
    told_ms    INTEGER
) STRICT, WITHOUT ROWID;

-- Heads of the log that were signed (S23).
CREATE TABLE IF NOT EXISTS checkpoints (
    number    INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    n         INTEGER NOT NULL,
    hash      BLOB    NOT NULL,
    wall_ms   INTEGER NOT NULL,
    key       TEXT    NOT NULL,
    signature BLOB    NOT NULL
) STRICT;
