"""The tables of the label store, and the migration of older versions."""

from lightning_badge.durable.database import Schema

# answer_id grows with every insert. With max(), SQLite takes the other columns from the same row.
_IN_FORCE = """
CREATE VIEW answers_in_force AS
SELECT sample_id, label, annotator, round, received_at FROM answers
WHERE answer_id IN (
    SELECT max(answer_id) FROM (
        SELECT sample_id, status, max(answer_id) AS answer_id
        FROM answers GROUP BY sample_id, annotator
    ) WHERE status <> 'undo' GROUP BY sample_id
)
"""
# sample_id has no column type, so SQLite does not convert: 7 and "7" are different ids.
_SAMPLE_ID = "sample_id NOT NULL CHECK (typeof(sample_id) IN ('integer', 'text'))"
# As in version 2; `_SINCE_3` adds columns.
_ANSWERS = (
    f"""
    CREATE TABLE answers (
        answer_id INTEGER PRIMARY KEY,
        {_SAMPLE_ID},
        status TEXT NOT NULL CHECK (status IN ('label', 'skip', 'undo')),
        label TEXT CHECK ((label IS NOT NULL) = (status = 'label')),
        annotator TEXT NOT NULL,
        round INTEGER NOT NULL CHECK (round >= 0),
        rank INTEGER CHECK (rank >= 0),
        seconds REAL CHECK (seconds >= 0),
        request_id TEXT UNIQUE,
        received_at TEXT NOT NULL
    )
    """,
    "CREATE INDEX answers_by_sample ON answers (sample_id, annotator)",
    _IN_FORCE,
    # INSERT OR REPLACE removes a row without firing the DELETE triggers.
    """
    CREATE TRIGGER answers_refuse_replace BEFORE INSERT ON answers
    WHEN EXISTS (
        SELECT 1 FROM answers WHERE answer_id = NEW.answer_id OR request_id = NEW.request_id
    )
    BEGIN SELECT RAISE(ABORT, 'answers is append-only'); END
    """,
)
_ROUNDS = """
CREATE TABLE rounds (
    round INTEGER PRIMARY KEY CHECK (round >= 0),
    query_size INTEGER NOT NULL CHECK (query_size >= 0),
    facts TEXT NOT NULL,
    finished_at TEXT NOT NULL
)
"""
_SINCE_2 = (
    """
    CREATE TABLE cuts (
        round INTEGER NOT NULL CHECK (round >= 0),
        attempt INTEGER NOT NULL CHECK (attempt >= 0),
        last_answer_id INTEGER NOT NULL,
        last_sample INTEGER NOT NULL,
        made_at TEXT NOT NULL,
        PRIMARY KEY (round, attempt)
    )
    """,
    f"""
    CREATE TABLE leases (
        {_SAMPLE_ID},
        session TEXT NOT NULL,
        expires_at REAL NOT NULL,
        PRIMARY KEY (sample_id, session)
    )
    """,
    """
    CREATE TABLE changes (
        change_id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        facts TEXT NOT NULL,
        made_at TEXT NOT NULL
    )
    """,
    f"""
    CREATE TABLE samples (
        sequence INTEGER PRIMARY KEY,
        {_SAMPLE_ID} UNIQUE,
        facts TEXT NOT NULL,
        added_at TEXT NOT NULL
    )
    """,
)

# What a labeling service charged. Earlier answers have no cost.
_SINCE_3 = (
    "ALTER TABLE answers ADD COLUMN cost REAL CHECK (cost >= 0)",
    "ALTER TABLE answers ADD COLUMN guess TEXT",
)


def _refuse_changes(*tables: str) -> tuple[str, ...]:
    return tuple(
        f"CREATE TRIGGER {table}_refuse_{verb} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in tables
        for verb in ("update", "delete")
    )


_FROM_1 = (
    "DROP VIEW answers_in_force",
    *(f"DROP TRIGGER answers_refuse_{verb}" for verb in ("replace", "update", "delete")),
    "ALTER TABLE answers RENAME TO answers_1",
    *_ANSWERS,
    """
    INSERT INTO answers (answer_id, sample_id, status, label, annotator, round, received_at)
    SELECT answer_id, sample_id, status, label, annotator, round, received_at
    FROM answers_1 ORDER BY answer_id
    """,
    "DROP TABLE answers_1",
    *_SINCE_2,
    # Version 1 trained a round on the answers to earlier rounds.
    """
    INSERT INTO cuts
    SELECT begun.round, 0, coalesce(
        (SELECT min(answer_id) - 1 FROM answers WHERE answers.round >= begun.round),
        (SELECT max(answer_id) FROM answers),
        0
    ), 0, strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')
    FROM (SELECT round FROM rounds UNION SELECT count(*) FROM rounds) AS begun
    """,
    *_refuse_changes("answers", "cuts", "changes", "samples"),
)

SCHEMA = Schema(
    name="label store",
    application_id=int.from_bytes(b"BADG", "big"),
    version=3,
    statements=(
        *(*_ANSWERS, _ROUNDS, *_SINCE_2, *_SINCE_3),
        *_refuse_changes("answers", "rounds", "cuts", "changes", "samples"),
    ),
    migrations={1: _FROM_1, 2: _SINCE_3},
)
