-- Tables that came after version 1, and nothing else: each is made where it is missing, whenever a journal is opened. What stands
-- in version 1 is never changed.

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
