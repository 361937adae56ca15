"""Databases as the original system made them are opened as they are: its tables, its columns, its rows, nothing else."""

import sqlite3
import unittest

from program import ProgramTest

# As the original creates them; `id` and order of columns included.
BOTS = """
CREATE TABLE bots(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, type TEXT, tasks TEXT, parent_id TEXT, dependencies TEXT, resources TEXT,
  hierarchy_level TEXT, purpose TEXT, tags TEXT, toolchain TEXT, creation_date TEXT, last_modification_date TEXT, status TEXT, version TEXT,
  estimated_profit REAL, source_menace_id TEXT NOT NULL, content_hash TEXT NOT NULL);
CREATE UNIQUE INDEX idx_bots_content_hash ON bots(content_hash);
CREATE TABLE bot_model(bot_id INTEGER, model_id INTEGER);
INSERT INTO bots(name, type, tasks, dependencies, resources, purpose, tags, toolchain, source_menace_id, content_hash) VALUES
  ('mailer', 'worker', '[]', '[]', '{}', 'Sends a letter to every customer whose parcel is late.', '["mail", "parcel"]', '["smtp"]', 'm1', 'h1'),
  ('empty', 'worker', '[]', '[]', '{}', 'n/a', '[]', '[]', 'm1', 'h2'),
  ('gardener', 'worker', '[]', '[]', '{}', 'Waters the plants of the office at night.', '["garden"]', '["valve"]', 'm2', 'h3');
"""
WORKFLOWS = """
CREATE TABLE workflows(id INTEGER PRIMARY KEY AUTOINCREMENT, workflow TEXT, action_chains TEXT, argument_strings TEXT, assigned_bots TEXT,
  enhancements TEXT, title TEXT, description TEXT, task_sequence TEXT, tags TEXT, dependencies TEXT, reasons TEXT, category TEXT, type TEXT, status TEXT,
  rejection_reason TEXT, workflow_duration REAL, performance_data TEXT, estimated_profit_per_bot REAL, timestamp TEXT, source_menace_id TEXT,
  content_hash TEXT NOT NULL);
INSERT INTO workflows(workflow, title, description, tags, category, status, timestamp, source_menace_id, content_hash) VALUES
  ('fetch invoice,check sums,return', 'Invoices', 'Checks the sums of incoming invoices.', 'money,paper', 'office', 'active', '2024-03-01T10:00:00.000000', 'm1', 'w1');
"""
ENHANCEMENTS = """
CREATE TABLE enhancements(id INTEGER PRIMARY KEY AUTOINCREMENT, idea TEXT, rationale TEXT, summary TEXT, score REAL, confidence REAL DEFAULT 0,
  outcome_score REAL DEFAULT 0, timestamp TEXT, context TEXT, before_code TEXT, after_code TEXT, title TEXT, description TEXT, tags TEXT, type TEXT,
  assigned_bots TEXT, rejection_reason TEXT, cost_estimate REAL, category TEXT, associated_bots TEXT, triggered_by TEXT,
  source_menace_id TEXT NOT NULL, content_hash TEXT UNIQUE);
CREATE TABLE enhancement_embeddings(record_id TEXT PRIMARY KEY, kind TEXT);
INSERT INTO enhancements(idea, summary, before_code, after_code, source_menace_id, content_hash) VALUES
  ('cache', 'Keep the parsed configuration instead of reading it for each request.', 'read()', 'cached()', 'm1', 'e1');
"""
ERRORS = """
CREATE TABLE errors(id INTEGER PRIMARY KEY AUTOINCREMENT, message TEXT, type TEXT, description TEXT, resolution TEXT, ts TEXT, category TEXT, cause TEXT,
  frequency INTEGER, source_menace_id TEXT NOT NULL DEFAULT '', content_hash TEXT NOT NULL);
CREATE TABLE telemetry(id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT, bot_id TEXT, error_type TEXT, category TEXT, cause TEXT, stack_trace TEXT,
  root_module TEXT, module TEXT, module_counts TEXT, inferred_cause TEXT, ts TEXT, resolution_status TEXT, patch_id INTEGER, deploy_id INTEGER,
  frequency INTEGER, source_menace_id TEXT NOT NULL DEFAULT '', fix_suggestions TEXT, bottlenecks TEXT);
INSERT INTO errors(message, type, ts, content_hash) VALUES ('The connection to the printer was refused.', 'io', '2024-01-01T00:00:00.000000', 'x1');
INSERT INTO telemetry(cause, stack_trace, ts) VALUES ('Division by zero in the tax report.', 'File "a.py", line 3' || char(10) || 'rate = total / count', '2024-01-02T00:00:00.000000');
"""
INFORMATION = """
CREATE TABLE info(id INTEGER PRIMARY KEY AUTOINCREMENT, model_id INTEGER, contrarian_id INTEGER, title TEXT, summary TEXT, tags TEXT, category TEXT,
  type TEXT, content TEXT, data_depth REAL, source_url TEXT, notes TEXT, associated_bots TEXT, associated_errors TEXT, performance_data TEXT,
  timestamp REAL, energy INTEGER, corroboration_count INTEGER);
CREATE VIRTUAL TABLE info_fts USING fts5(title, tags, content);
CREATE TABLE information(info_id INTEGER PRIMARY KEY AUTOINCREMENT, data_type TEXT, source_url TEXT, date_collected TEXT, summary TEXT,
  validated INTEGER, validation_notes TEXT, keywords TEXT, data_depth_score REAL, source_menace_id TEXT NOT NULL);
INSERT INTO info(title, content, tags, timestamp, energy) VALUES ('Bees', 'Bees find the way home by the position of the sun.', 'animals', 1.5, 1);
INSERT INTO information(data_type, summary, validated, keywords, source_menace_id) VALUES
  ('article', 'Bridges of steel become longer in summer.', 1, 'steel,heat', 'm1');
"""


class Original(ProgramTest):
    def test_its_databases_are_embedded_and_searched_as_they_are(self):
        files = {"bots.db": BOTS, "workflows.db": WORKFLOWS, "enhancements.db": ENHANCEMENTS, "errors.db": ERRORS, "information.db": INFORMATION}
        before = {}
        for name, sql in files.items():
            db = sqlite3.connect(self.folder / name)
            db.executescript(sql)
            before[name] = db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
            db.close()
        runs = {run["store"]: run for run in self.succeed("backfill", "--all", "--json").json}
        self.assertEqual({name: run["embedded"] for name, run in runs.items()},
                         {"bot": 2, "workflow": 1, "error": 2, "information": 1, "enhancement": 1, "research": 1})
        self.assertEqual(runs["bot"]["skipped_records"], [{"key": 2, "reason": "no text"}])
        for question, store, key in [("who writes to customers about late deliveries", "bot", 1), ("verify the amounts on bills", "workflow", 1),
                                     ("do not parse the settings again and again", "enhancement", 1), ("printer refused", "error", 1),
                                     ("zero division in tax", "error", "telemetry:1"), ("how do bees navigate", "research", 1),
                                     ("steel and heat", "information", 1)]:
            hit = self.succeed("search", question, "--json").json["hits"][0]
            self.assertEqual((hit["store"], hit["key"]), (store, key), question)
        for name in files:
            db = sqlite3.connect(self.folder / name)
            self.assertEqual(db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall(), before[name], name)
            db.close()
        for store in self.succeed("status", "--json").json["stores"]:
            self.assertEqual(store["fresh"] + store["empty"], store["rows"], store)


if __name__ == "__main__":
    unittest.main()
