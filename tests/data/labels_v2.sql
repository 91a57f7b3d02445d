-- A label store as version 2 wrote it, by Connection.iterdump().
PRAGMA application_id = 1111573575;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE answers (
        answer_id INTEGER PRIMARY KEY,
        sample_id NOT NULL CHECK (typeof(sample_id) IN ('integer', 'text')),
        status TEXT NOT NULL CHECK (status IN ('label', 'skip', 'undo')),
        label TEXT CHECK ((label IS NOT NULL) = (status = 'label')),
        annotator TEXT NOT NULL,
        round INTEGER NOT NULL CHECK (round >= 0),
        rank INTEGER CHECK (rank >= 0),
        seconds REAL CHECK (seconds >= 0),
        request_id TEXT UNIQUE,
        received_at TEXT NOT NULL
    );
INSERT INTO "answers" VALUES(1,'a','label','0','ann',0,0,1.5,'r1','2026-11-28T09:22:36.144+00:00');
INSERT INTO "answers" VALUES(2,'b','label','1','bob',0,1,NULL,NULL,'2026-11-28T09:22:36.144+00:00');
INSERT INTO "answers" VALUES(3,'c','skip',NULL,'ann',1,0,NULL,NULL,'2026-11-28T09:22:36.156+00:00');
INSERT INTO "answers" VALUES(4,'b','undo',NULL,'bob',1,NULL,NULL,NULL,'2026-11-28T09:22:36.156+00:00');
CREATE TABLE changes (
        change_id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        facts TEXT NOT NULL,
        made_at TEXT NOT NULL
    );
INSERT INTO "changes" VALUES(1,'allowance','{"round": 0, "labels": 5}','2026-11-28T09:22:36.128+00:00');
INSERT INTO "changes" VALUES(2,'consensus','{"name": "majority"}','2026-11-28T09:22:36.139+00:00');
CREATE TABLE cuts (
        round INTEGER NOT NULL CHECK (round >= 0),
        attempt INTEGER NOT NULL CHECK (attempt >= 0),
        last_answer_id INTEGER NOT NULL,
        last_sample INTEGER NOT NULL,
        made_at TEXT NOT NULL,
        PRIMARY KEY (round, attempt)
    );
INSERT INTO "cuts" VALUES(0,0,0,0,'2026-11-28T09:22:36.128+00:00');
INSERT INTO "cuts" VALUES(1,0,2,0,'2026-11-28T09:22:36.151+00:00');
CREATE TABLE leases (
        sample_id NOT NULL CHECK (typeof(sample_id) IN ('integer', 'text')),
        session TEXT NOT NULL,
        expires_at REAL NOT NULL,
        PRIMARY KEY (sample_id, session)
    );
CREATE TABLE rounds (
    round INTEGER PRIMARY KEY CHECK (round >= 0),
    query_size INTEGER NOT NULL CHECK (query_size >= 0),
    facts TEXT NOT NULL,
    finished_at TEXT NOT NULL
);
INSERT INTO "rounds" VALUES(0,2,'{"labeled": 0, "pool": 4}','2026-11-28T09:22:36.147+00:00');
CREATE TABLE samples (
        sequence INTEGER PRIMARY KEY,
        sample_id NOT NULL CHECK (typeof(sample_id) IN ('integer', 'text')) UNIQUE,
        facts TEXT NOT NULL,
        added_at TEXT NOT NULL
    );
CREATE INDEX answers_by_sample ON answers (sample_id, annotator);
CREATE VIEW answers_in_force AS
SELECT sample_id, label, annotator, round, received_at FROM answers
WHERE answer_id IN (
    SELECT max(answer_id) FROM (
        SELECT sample_id, status, max(answer_id) AS answer_id
        FROM answers GROUP BY sample_id, annotator
    ) WHERE status <> 'undo' GROUP BY sample_id
);
CREATE TRIGGER answers_refuse_replace BEFORE INSERT ON answers
    WHEN EXISTS (
        SELECT 1 FROM answers WHERE answer_id = NEW.answer_id OR request_id = NEW.request_id
    )
    BEGIN SELECT RAISE(ABORT, 'answers is append-only'); END;
CREATE TRIGGER answers_refuse_update BEFORE update ON answers BEGIN SELECT RAISE(ABORT, 'answers is append-only'); END;
CREATE TRIGGER answers_refuse_delete BEFORE delete ON answers BEGIN SELECT RAISE(ABORT, 'answers is append-only'); END;
CREATE TRIGGER rounds_refuse_update BEFORE update ON rounds BEGIN SELECT RAISE(ABORT, 'rounds is append-only'); END;
CREATE TRIGGER rounds_refuse_delete BEFORE delete ON rounds BEGIN SELECT RAISE(ABORT, 'rounds is append-only'); END;
CREATE TRIGGER cuts_refuse_update BEFORE update ON cuts BEGIN SELECT RAISE(ABORT, 'cuts is append-only'); END;
CREATE TRIGGER cuts_refuse_delete BEFORE delete ON cuts BEGIN SELECT RAISE(ABORT, 'cuts is append-only'); END;
CREATE TRIGGER changes_refuse_update BEFORE update ON changes BEGIN SELECT RAISE(ABORT, 'changes is append-only'); END;
CREATE TRIGGER changes_refuse_delete BEFORE delete ON changes BEGIN SELECT RAISE(ABORT, 'changes is append-only'); END;
CREATE TRIGGER samples_refuse_update BEFORE update ON samples BEGIN SELECT RAISE(ABORT, 'samples is append-only'); END;
CREATE TRIGGER samples_refuse_delete BEFORE delete ON samples BEGIN SELECT RAISE(ABORT, 'samples is append-only'); END;
COMMIT;
