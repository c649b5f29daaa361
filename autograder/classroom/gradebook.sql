-- The gradebook of one class. `results` has what counts now, `outcomes` its tests, `history` what was before:
--   SELECT student, earned, points FROM results ORDER BY earned;
--   SELECT component, test, outcome, count(*) FROM outcomes GROUP BY 1, 2, 3;

CREATE TABLE about (track TEXT NOT NULL);

CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    started TEXT NOT NULL,
    finished TEXT,
    grader TEXT NOT NULL,
    seed INTEGER NOT NULL,
    isolation TEXT NOT NULL,
    seconds REAL NOT NULL,
    memory INTEGER NOT NULL,
    regrade INTEGER NOT NULL
);

CREATE TABLE gradings (
    grading INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs,
    latest INTEGER NOT NULL,
    student TEXT NOT NULL,
    slug TEXT NOT NULL,
    status TEXT NOT NULL,
    earned REAL NOT NULL,
    points REAL NOT NULL,
    problem TEXT NOT NULL,
    source TEXT NOT NULL,
    submission TEXT NOT NULL,
    grader TEXT NOT NULL,
    seed INTEGER NOT NULL,
    isolation TEXT NOT NULL,
    started TEXT NOT NULL,
    seconds REAL NOT NULL,
    record TEXT NOT NULL
);
CREATE UNIQUE INDEX one_latest ON gradings (slug) WHERE latest;
CREATE INDEX by_run ON gradings (run, slug);

CREATE TABLE components (
    grading INTEGER NOT NULL REFERENCES gradings,
    component TEXT NOT NULL,
    earned REAL NOT NULL,
    points REAL NOT NULL,
    state TEXT NOT NULL,
    misconception TEXT,
    PRIMARY KEY (grading, component)
) WITHOUT ROWID;

CREATE TABLE tests (
    grading INTEGER NOT NULL REFERENCES gradings,
    component TEXT NOT NULL,
    test TEXT NOT NULL,
    weight REAL NOT NULL,
    outcome TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (grading, component, test)
) WITHOUT ROWID;

CREATE TABLE files (
    grading INTEGER NOT NULL REFERENCES gradings,
    file TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (grading, file)
) WITHOUT ROWID;

CREATE TABLE environment (
    grading INTEGER NOT NULL REFERENCES gradings,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (grading, name)
) WITHOUT ROWID;

CREATE VIEW results AS
    SELECT student, slug, status, earned, points, problem, submission, grader, seed, isolation, started, seconds, grading
    FROM gradings WHERE latest;

CREATE VIEW history AS
    SELECT student, slug, status, earned, points, problem, submission, grader, seed, isolation, started, seconds, grading
    FROM gradings WHERE NOT latest;

CREATE VIEW outcomes AS
    SELECT student, slug, component, test, weight, outcome, message
    FROM tests JOIN gradings USING (grading) WHERE latest;
