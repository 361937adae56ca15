"""nearlite serve: the routes, met by clients that are not ours."""

import base64
import json
import math
import re
import signal
import socket
import struct
import subprocess
import threading
import unittest

from service import ServiceTest

MODEL = "all-MiniLM-L6-v2"


class Search(ServiceTest):
    def test_answers_as_the_command_does(self):
        server = self.serve_notes()
        answer = server.post("/v1/search", {"query": "how do I change my password?", "k": 3, "explain": True})
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.headers["Content-Type"], "application/json")
        command = self.succeed("search", self.folder / "app.db", "how do I change my password?", "-k", "3", "--json",
                               "--explain").json
        for document in (served := answer.json, command):
            document.pop("took_ms")
            for store in document["stores"]:
                store.pop("took_ms")
        self.assertEqual(served, command)
        self.assertEqual(answer.json["hits"][0]["key"], 1)
        self.assertIn("parts", answer.json["hits"][0]["explain"])
        plain = server.post("/v1/search", {"query": "how do I change my password?"}).json
        self.assertNotIn("explain", plain["hits"][0])

    def test_filters_stores_and_limits(self):
        server = self.serve_notes()
        found = server.post("/v1/search", {"query": "password", "limit": 6, "filter": [
            {"field": "title", "op": "in", "value": ["Printer", "Disk full"]}]}).json
        self.assertEqual({hit["fields"]["title"] for hit in found["hits"]}, {"Printer", "Disk full"})
        hostile = server.post("/v1/search", {"query": "password", "filter": [
            {"field": "title", "op": "=", "value": "x' OR 1=1 --"}]}).json
        self.assertEqual(hostile["hits"], [])
        asked = {"query": "password", "limit": 2}
        for rows, found in [({"kinds": ["note"]}, 2), ({"kinds": ["other"]}, 0), ({"max_age_seconds": 3600}, 2), ({"scope": "local"}, 2),
                            ({"scope": "global", "instance": "here"}, 0)]:
            self.assertEqual(len(server.post("/v1/search", asked | rows).json["hits"]), found, rows)
        for body, param in [({"query": " "}, "query"), ({}, "query"), ({"query": "a", "k": 0}, "k"), ({"query": "a", "k": -1}, "k"),
                            ({"query": "a", "k": 2.5}, "k"), ({"query": "a", "k": "10"}, "k"), ({"query": "a", "k": 10**9}, "k"),
                            ({"query": "a", "where": "1=1"}, "where"), ({"query": "a", "mode": "magic"}, "mode"),
                            ({"query": "a", "filter": [{"field": "author", "op": "=", "value": 1}]}, "filter"),
                            ({"query": "a", "recall": 2}, "recall"), ({"query": "a", "kinds": "note"}, "kinds"),
                            ({"query": "a", "max_age_seconds": -1}, "max_age_seconds"), ({"query": "a", "scope": "mine"}, "scope")]:
            answer = server.post("/v1/search", body)
            self.assertEqual((answer.status, answer.json["error"]["param"]), (400, param), answer.body)
            self.assertEqual(set(answer.json["error"]), {"message", "type", "param", "code", "request_id"})
        unknown = server.post("/v1/search", {"query": "a", "stores": ["nots"]})
        self.assertEqual(unknown.status, 404)
        self.assertIn('did you mean "note"', unknown.json["error"]["message"])

    def test_answers_to_a_vector(self):
        server = self.serve_notes()
        vector = server.post("/v1/embeddings", {"model": MODEL, "input": "how do I change my password?"}).json["data"][0]["embedding"]
        by_text = server.post("/v1/search", {"query": "how do I change my password?", "k": 3, "mode": "vector"}).json
        by_vector = server.post("/v1/search", {"vector": vector, "k": 3}).json
        self.assertNotIn("query", by_vector)
        self.assertEqual([(hit["key"], hit["similarity"]) for hit in by_vector["hits"]],
                         [(hit["key"], hit["similarity"]) for hit in by_text["hits"]])
        for wrong in [[], [0] * 384, [1, 2, 3], ["1"] * 384, [1e39] * 384, [None] * 384, {}, "x", [1] * 9000]:
            answer = server.post("/v1/search", {"vector": wrong})
            self.assertEqual((answer.status, answer.json["error"]["param"]), (400, "vector"), answer.body)
        self.assertEqual(server.post("/v1/search", {"vector": vector, "query": "soup"}).json["error"]["param"], "vector")
        self.assertEqual(server.post("/v1/search", {"vector": vector, "mode": "keyword"}).json["error"]["param"], "mode")
        self.assertEqual(server.post("/v1/search", b'{"vector":[NaN]}', Content_Type="application/json").status, 400)

    def test_refuses_what_is_not_json(self):
        server = self.serve_notes()
        for body in [b"", b"{", b'{"query":"a"} x', b'{"query":"a","query":"b"}', b'{"query":NaN}', b'{"query":"\xff"}',
                     b'{"query":"\\ud800"}', b'// a\n{"query":"a"}', b'{"query":1e999}', b"[" * 10000, b'["a"]', b"\x00"]:
            answer = server.post("/v1/search", body, Content_Type="application/json")
            self.assertEqual(answer.status, 400, body[:40])
            self.assertLess(len(answer.body), 4096)
        self.assertEqual(server.post("/v1/search", b"query=a", Content_Type="application/x-www-form-urlencoded").status, 415)
        self.assertEqual(server.post("/v1/search", b'{"query":"a"}').status, 415)
        self.assertEqual(server.get("/v1/nothing").status, 404)
        wrong = server.get("/v1/search")
        self.assertEqual((wrong.status, wrong.headers["Allow"]), (405, "POST"))
        self.assertEqual(server.post("/v1/search", b"x" * (3 << 20), Content_Type="application/json").status, 413)

    def test_stores_records_and_health(self):
        server = self.serve_notes()
        [store] = server.get("/v1/stores").json["stores"]
        self.assertEqual((store["store"], store["rows"], store["fresh"]), ("note", 6, 6))
        status = self.succeed("status", self.folder / "app.db", "--json").json["stores"][0]
        self.assertEqual({name: store[name] for name in status}, status)
        one = server.get("/v1/stores/note").json
        self.assertEqual(one["runs"][0]["embedded"], 6)
        record = server.get("/v1/stores/note/records/3").json
        self.assertEqual(record["fields"]["title"], "Disk full")
        self.assertNotIn("author", record["fields"])  # not exposed
        for path, status in [("/v1/stores/note/records/99", 404), ("/v1/stores/nota", 404), ("/v1/stores/..%2fx", 400),
                             ("/v1/stores/%00", 400), ("/v1/stores/" + "a" * 200, 400), ("/v1/stores/note/records/x'--", 404)]:
            answer = server.get(path)
            self.assertEqual(answer.status, status, path)
            self.assertNotIn(str(self.folder), answer.body.decode())
        self.assertEqual(server.get("/healthz").json, {"status": "ok"})
        self.assertEqual(server.get("/readyz").json["status"], "ready")
        self.assertEqual(server.get("/health").json["status"], "ok")
        head = server.request("HEAD", "/healthz")
        self.assertEqual((head.status, head.body), (200, b""))

    def test_finds_what_another_program_wrote(self):
        server = self.serve_notes()
        self.execute(self.folder / "app.db", "INSERT INTO note(title, body) VALUES ('Bees', 'The hive by the oak swarms in May.')")
        [store] = server.get("/v1/stores").json["stores"]
        self.assertEqual((store["rows"], store["missing"]), (7, 1))
        job = server.post("/v1/backfill", {"stores": ["note"]})
        self.assertEqual((job.status, job.headers["Location"]), (202, "/v1/jobs/" + job.json["id"]))
        events = server.get(job.headers["Location"] + "/events")
        self.assertEqual(events.headers["Content-Type"], "text/event-stream")
        kinds = re.findall(r"^event: (\w+)$", events.body.decode(), re.M)
        self.assertEqual((kinds[0], kinds[-1]), ("store", "end"))
        done = server.get(job.headers["Location"]).json
        self.assertEqual((done["status"], done["results"][0]["embedded"]), ("done", 1))
        hit = server.post("/v1/search", {"query": "bees in the oak tree", "k": 1}).json["hits"][0]
        self.assertEqual(hit["key"], 7)
        again = server.get(job.headers["Location"] + "/events", Last_Event_ID=str(len(kinds) - 1))
        self.assertEqual(re.findall(r"^event: (\w+)$", again.body.decode(), re.M), ["end"])
        self.assertEqual(server.request("DELETE", job.headers["Location"]).status, 409)  # it has ended
        self.assertEqual(server.get("/v1/jobs/job-77").status, 404)
        same = [server.post("/v1/backfill", {}, Idempotency_Key="k1").json["id"] for _ in range(2)]
        self.assertEqual(same[0], same[1])

    def test_the_scheduler_finds_what_another_program_wrote(self):
        server = self.serve_notes(env={"EMBEDDING_SCHEDULER_INTERVAL": "1", "EMBEDDING_SCHEDULER_DBS": "Notes"})
        self.execute(self.folder / "app.db", "INSERT INTO note(title, body) VALUES ('Bees', 'The hive by the oak swarms in May.')")
        question = {"query": "bees in the oak tree", "k": 1}
        while server.post("/v1/search", question).json["hits"][0]["key"] != 7:
            self.assertIsNone(server.process.poll(), "".join(server.messages))
        # Counted when the run has ended, which is a little later.
        runs = r'(?m)^embedding_scheduler_runs_total{status="success"} [1-9]'
        while not re.search(runs, metrics := server.get("/metrics").body.decode()):
            self.assertIsNone(server.process.poll(), "".join(server.messages))
        self.assertRegex(metrics, r"(?m)^embedding_scheduler_run_duration_seconds [\d.e-]+$")
        self.assertEqual(server.stop(), 0)
        for name, value in [("INTERVAL", "-1"), ("INTERVAL", "abc"), ("BATCH_SIZE", "0"), ("BACKEND", "anoy"), ("DBS", "nosuch")]:
            message = self.fail_with(2, "serve", self.folder / "app.db", env={"EMBEDDING_SCHEDULER_" + name: value})
            self.assertIn("EMBEDDING_SCHEDULER_" + name, message)
            self.assertIn(value, message)

    def test_similar_rows(self):
        server = self.serve_notes()
        answer = server.get("/v1/stores/note/records/3/similar?k=2").json
        self.assertEqual(len(answer["hits"]), 2)
        self.assertNotIn(3, [hit["key"] for hit in answer["hits"]])
        command = self.succeed("similar", self.folder / "app.db", "3", "-k", "2", "--json").json
        shown = ("rank", "key", "score", "similarity", "confidence", "reason")
        self.assertEqual([[hit[name] for name in shown] for hit in answer["hits"]], [[hit[name] for name in shown] for hit in command["hits"]])
        self.assertEqual(server.get("/v1/stores/note/records/99/similar").status, 404)
        for wrong in ["k=0", "k=x", "k=1&k=2", "k=3&limit=4", "q=soup", "k"]:
            self.assertEqual(server.get(f"/v1/stores/note/records/3/similar?{wrong}").status, 400, wrong)
        self.assertEqual(len(server.get("/v1/stores/note/records/3/similar?limit=2&k=2").json["hits"]), 2)

    def test_context_keeps_to_its_budget_and_is_stable(self):
        server = self.serve_notes()
        ask = {"query": "how do I change my password?", "max_tokens": 120}
        context = server.post("/v1/context", ask).json
        self.assertLessEqual(context["stats"]["tokens"], 120)
        self.assertTrue(context["truncated"])
        entries = json.loads(context["context"])["note"]
        self.assertEqual((entries[0]["id"], entries[0]["origin_db"]), ("1", "note"))
        self.assertEqual(context["vectors"][0]["vector_id"], "note:1")
        self.assertEqual(server.post("/v1/context", ask).json["context"], context["context"])
        for tokens in [1, 10, 40, 2000]:
            answer = server.post("/v1/context", {"query": "password", "max_tokens": tokens}).json
            if answer["sources"]:
                self.assertLessEqual(answer["stats"]["tokens"], tokens)
        self.assertEqual(len(json.loads(answer["context"])["note"]), 5)  # top_k
        self.assertFalse(answer["truncated"])
        self.assertEqual(server.post("/v1/context", {"query": " "}).status, 400)

    def test_outcomes_are_kept(self):
        server = self.serve_notes()
        answer = server.post("/v1/patches", {"vector_ids": {"note:1": 0.5, "note:2": 0.25}, "result": True, "patch_id": "p1",
                                             "risk_scores": {"note:2": 0.9}, "lines_changed": 3})
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual((answer.json["filtered"], answer.json["roi_deltas"], answer.json["risk_scores"]), (1, {"note": 0.5}, {"note": 0.9}))
        server.post("/v1/patches", {"vector_ids": ["note:1"], "result": False})
        metrics = self.folder / "app.db.nearlite/metrics.db"
        self.assertEqual(self.execute(metrics, "SELECT origin_db, wins, regrets FROM retriever_stats"), [("note", 1, 1)])
        self.assertEqual(self.execute(metrics, "SELECT patch_id, vector_id, label FROM patch_outcomes WHERE success"), [("p1", "1", "positive")])
        for body in [{"result": True}, {"vector_ids": ["note:1"]}, {"vector_ids": ["1"], "result": True}, {"vector_ids": [1], "result": True},
                     {"vector_ids": ["note:1"], "result": True, "roi_tag": "nice"}]:
            self.assertEqual(server.post("/v1/patches", body).status, 400, body)
        self.assertEqual(server.post("/v1/patches", {"vector_ids": ["other:1"], "result": True}).status, 404)

    def test_outcomes_are_learned_from(self):
        server = self.serve_notes()
        context = lambda: server.post("/v1/context", {"query": "reset a password", "max_tokens": 2000}).json
        before = context()
        self.assertNotIn("patches", json.loads(before["context"]))
        self.assertFalse((self.folder / "app.db.nearlite/vector_metrics.db").exists())  # a question makes no files
        outcome = {"vector_ids": ["note:1"], "result": True, "patch_id": "p7", "summary": "reset the password by mail", "diff": "+ mail()", "roi_tag": "high-ROI"}
        self.assertEqual(server.post("/v1/patches", outcome).status, 200)
        after = context()
        self.assertEqual(json.loads(after["context"])["patches"][0]["id"], "p7")
        self.assertGreater(after["stats"]["patch_confidence"], 0.8)
        failed = {"vector_ids": ["note:1"], "result": False, "patch_id": "p8", "error_summary": "mail server is down", "tests_failed": 2}
        self.assertEqual(server.post("/v1/patches", failed).json["failed"], 0)
        learned = self.execute(self.folder / "app.db.nearlite/vector_metrics.db", "SELECT weight < 1 FROM ranking_weights WHERE db = 'note'")
        self.assertEqual(learned, [(1,)])
        failures = (self.folder / "app.db.nearlite/failures.jsonl").read_text().splitlines()
        self.assertEqual([json.loads(line)["err"] for line in failures], ["mail server is down"])
        self.assertIn('embedding_watcher_failed_total{watcher="event_bus"} 0', server.get("/metrics").body.decode())

    def test_contexts_hold_no_secrets(self):
        server = self.serve(self.indexed(rows=[("Keys", "The key is sk_live_00001Zq8Xw2Lr7Nf4Bv6 since May.")])).until_ready()
        answer = server.post("/v1/context", {"query": "key", "keep": "newest", "exclude_strategies": ["x"]}).json
        self.assertIn("[REDACTED]", answer["context"])
        self.assertNotIn("sk_live", json.dumps(answer))
        self.assertTrue(answer["sources"][0]["flags"]["redacted"])
        self.assertEqual(server.post("/v1/context", {"query": "key", "keep": "all"}).status, 400)

    def test_a_broken_store_does_not_stop_the_others(self):
        good, bad = self.make_notes("good.db"), self.make_notes("bad.db")
        for file in (good, bad):
            self.succeed("index", file, "--table", "note:title,body", "--name", file.stem, "--yes", "--quiet")
        bad.write_bytes(b"this is not a database " * 100)
        server = self.serve(good, bad).until_ready()
        answer = server.post("/v1/search", {"query": "tomato soup"}).json
        self.assertEqual(answer["hits"][0]["store"], "good")
        self.assertFalse(answer["complete"])
        self.assertEqual([store["store"] for store in answer["stores"] if "error" in store], ["bad"])
        self.assertEqual(server.get("/health").json["status"], "degraded")
        self.assertNotIn(str(self.folder), json.dumps(answer))

    def test_logs_are_json_lines_without_questions(self):
        server = self.serve_notes("--log-level", "info")
        server.post("/v1/search", {"query": "a very private question"}, X_Session_Id="s-1",
                    Traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        server.get("/v1/stores/note?secret=hidden")
        self.assertEqual(server.stop(), 0)
        lines = [json.loads(line) for line in server.messages if line.startswith("{")]
        for line in lines:
            self.assertGreaterEqual(set(line), {"timestamp", "severity_text", "body", "service.name", "service.version"})
        [request] = [line for line in lines if line.get("http.route") == "/v1/search"]
        self.assertEqual((request["session_id"], request["trace_id"], request["http.response.status_code"]),
                         ("s-1", "4bf92f3577b34da6a3ce929d0e0e4736", 200))
        [search] = [line for line in lines if line["body"] == "Retriever.search end"]
        for name in ("session_id", "trace_id", "span_id", "request_id"):
            self.assertEqual(search[name], request[name], name)
        self.assertEqual(request["event.name"], "http.request")
        [other] = [line for line in lines if line.get("http.route") == "/v1/stores/{name}"]
        self.assertNotEqual(other["trace_id"], request["trace_id"])
        everything = "".join(server.messages)
        self.assertNotIn("private question", everything)
        self.assertNotIn("hidden", everything)

    def test_what_a_client_does_wrong_is_a_warning(self):
        server = self.serve_notes()
        self.assertEqual(server.post("/v1/search", {"query": "soup", "filter": [{"field": "nosuch", "op": "=", "value": 1}]}).status, 400)
        self.assertEqual(server.stop(), 0)
        [line] = [json.loads(line) for line in server.messages if line.startswith("{")]
        self.assertEqual((line["severity_text"], line["event.name"], line["store"]), ("WARNING", "store.request_refused", "note"))

    def test_logs_in_elastic_form(self):
        server = self.serve_notes("--log-level", "info", "--log-schema", "ecs")
        server.post("/v1/search", {"query": "soup"}, Traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        self.assertEqual(server.stop(), 0)
        lines = [json.loads(line) for line in server.messages if line.startswith("{")]
        for line in lines:
            self.assertGreaterEqual(set(line), {"@timestamp", "log.level", "message", "ecs.version"})
        [end] = [line for line in lines if line["message"] == "Retriever.search end"]
        self.assertEqual((end["trace.id"], end["log.level"]), ("4bf92f3577b34da6a3ce929d0e0e4736", "info"))
        self.assertIsInstance(end["event.duration"], int)  # nanoseconds
        self.assertGreater(end["event.duration"], 1000)
        self.fail_with(2, "serve", "--log-schema", "xml")

    def test_metrics_are_what_prometheus_reads(self):
        server = self.serve_notes()
        server.post("/v1/search", {"query": "soup"})
        answer = server.get("/metrics")
        self.assertEqual(answer.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        from prometheus_client.parser import text_string_to_metric_families
        families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
        self.assertEqual(families["embedding_scheduler_run_duration_seconds"].type, "gauge")
        self.assertEqual({sample.labels["status"] for sample in families["embedding_scheduler_runs"].samples} >= {"success", "failure"}, True)
        self.assertEqual(families["embedding_search_duration_seconds"].type, "histogram")
        self.assertEqual(families["nearlite_metrics_errors"].samples[0].value, 0)
        self.assertLessEqual(sum(len(family.samples) for family in families.values()), 200)
        open_metrics = server.get("/metrics", Accept="application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
        self.assertEqual(open_metrics.headers["Content-Type"], "application/openmetrics-text; version=1.0.0; charset=utf-8")
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as strictly
        parsed = {family.name: family.type for family in strictly(open_metrics.body.decode())}
        self.assertEqual(parsed, {family.name: family.type for family in families.values()})


class Embeddings(ServiceTest):
    def test_openai_form(self):
        server = self.serve_notes()
        answer = server.post("/v1/embeddings", {"model": MODEL, "input": ["Disk full", "Tomato soup"]})
        self.assertEqual(answer.status, 200, answer.body)
        vectors = [item["embedding"] for item in answer.json["data"]]
        lines = self.succeed("embed", "-", stdin="Disk full\nTomato soup\n").lines
        for ours, command in zip(vectors, lines):
            self.assertEqual(struct.pack("<384f", *ours), struct.pack("<384f", *command))
        self.assertEqual(answer.json["usage"]["prompt_tokens"], answer.json["usage"]["total_tokens"])
        packed = server.post("/v1/embeddings", {"model": MODEL, "input": "Disk full", "encoding_format": "base64"}).json
        self.assertEqual(base64.b64decode(packed["data"][0]["embedding"]), struct.pack("<384f", *vectors[0]))
        short = server.post("/v1/embeddings", {"model": MODEL, "input": "Disk full", "dimensions": 64}).json["data"][0]["embedding"]
        self.assertEqual(len(short), 64)
        self.assertAlmostEqual(math.fsum(x * x for x in short), 1, places=5)
        for body, status in [({"model": "gpt-9", "input": "a"}, 404), ({"input": "a"}, 400), ({"model": MODEL, "input": ""}, 400),
                             ({"model": MODEL, "input": []}, 400), ({"model": MODEL, "input": [1, 2]}, 400),
                             ({"model": MODEL, "input": [[1, 2]]}, 400), ({"model": MODEL, "input": ["a"] * 2049}, 413),
                             ({"model": MODEL, "input": "a", "dimensions": 385}, 400),
                             ({"model": MODEL, "input": "a", "encoding_format": "hex"}, 400)]:
            answer = server.post("/v1/embeddings", body)
            self.assertEqual(answer.status, status, answer.body)
            self.assertEqual(set(answer.json["error"]) - {"request_id"}, {"message", "type", "param", "code"})
        self.assertEqual([model["id"].rsplit("/")[-1] for model in server.get("/v1/models").json["data"]], [MODEL])
        self.assertEqual(server.get("/v1/models/sentence-transformers/nothing").status, 404)
        self.assertEqual(server.get(f"/v1/models/{MODEL}").json["object"], "model")

    def test_tei_form(self):
        server = self.serve_notes()
        [vector] = server.post("/embed", {"inputs": "Disk full"}).json
        self.assertEqual(len(vector), 384)
        long = "word " * 600
        refused = server.post("/embed", {"inputs": long})
        self.assertEqual((refused.status, refused.json["error_type"]), (413, "Validation"))
        self.assertEqual(len(server.post("/embed", {"inputs": [long], "truncate": True}).json), 1)
        self.assertEqual(server.post("/embed", {"inputs": []}).status, 400)
        self.assertEqual(server.post("/embed", {"inputs": 7}).status, 422)
        info = server.get("/info").json
        self.assertEqual((info["max_input_length"], info["model_type"]), (256, {"embedding": {"pooling": "mean"}}))

    def test_the_openai_client(self):
        import openai
        server = self.serve_notes()
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="unused", max_retries=0)
        answer = client.embeddings.create(model=MODEL, input=["Disk full", "Tomato soup"])
        self.assertEqual([len(item.embedding) for item in answer.data], [384, 384])
        self.assertEqual(len(client.embeddings.create(model=MODEL, input="a", dimensions=8).data[0].embedding), 8)
        self.assertEqual(len(client.models.list().data), 1)
        with self.assertRaises(openai.NotFoundError) as raised:
            client.embeddings.create(model="other", input="a")
        self.assertEqual(raised.exception.code, "model_not_found")
        with self.assertRaises(openai.BadRequestError):
            client.embeddings.create(model=MODEL, input="")

    def test_many_at_once_get_the_same_vectors_as_one_after_the_other(self):
        server = self.serve_notes()
        texts = [f"text number {i} " + "word " * (i % 7) for i in range(48)]
        alone = [server.post("/v1/embeddings", {"model": MODEL, "input": text}).json["data"][0]["embedding"] for text in texts]
        together = [None] * len(texts)

        def ask(i):
            together[i] = server.post("/v1/embeddings", {"model": MODEL, "input": texts[i]}).json["data"][0]["embedding"]

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(texts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(together, alone)


class Protection(ServiceTest):
    def token_file(self, text, mode=0o600):
        file = self.folder / "tokens"
        file.write_text(text)
        file.chmod(mode)
        return file

    def test_host_and_origin(self):
        server = self.serve_notes("--allow-host", "search.example.org")
        for host, status in [("localhost", 200), (f"127.0.0.1:{server.port}", 200), ("[::1]:1", 200), ("search.example.org", 200),
                             ("evil.example.org", 403), ("localhost.evil.org", 403), ("", 403)]:
            self.assertEqual(server.get("/v1/stores", Host=host).status, status, host)
        own = f"http://127.0.0.1:{server.port}"
        for origin, status in [(own, 200), ("http://search.example.org", 200), ("http://127.0.0.1:1", 403), ("null", 403),
                               ("http://evil.example.org", 403), ("file://", 403)]:
            self.assertEqual(server.get("/v1/stores", Origin=origin).status, status, origin)
        preflight = server.request("OPTIONS", "/v1/search", headers={"Origin": own})
        self.assertEqual(preflight.status, 405)
        self.assertNotIn("Access-Control-Allow-Origin", preflight.headers)

    def test_tokens_and_rights(self):
        file = self.make_notes()
        self.succeed("index", file, "--table", "note:title,body", "--yes", "--quiet")
        tokens = self.token_file("# ours\nfull-access\nreader rights=read name=r\nother rights=read,write stores=elsewhere\n"
                                 "scraper rights=metrics\n")
        server = self.serve(file, "--token-file", tokens).until_ready()

        def status(method, path, token, body=None):
            headers = {"Authorization": "Bearer " + token} if token is not None else {}
            return server.request(method, path, body, headers).status

        search, backfill = ("POST", "/v1/search", {"query": "soup"}), ("POST", "/v1/backfill", {"dry_run": True})
        for token, expected in {None: (401, 401, 401), "wrong": (401, 401, 401), "": (401, 401, 401), "full-access": (200, 202, 200),
                                "reader": (200, 403, 403), "scraper": (403, 403, 200)}.items():
            found = (status(search[0], search[1], token, search[2]), status(backfill[0], backfill[1], token, backfill[2]),
                     status("GET", "/metrics", token))
            self.assertEqual(found, expected, token)
        # Another database's token learns nothing about this one.
        self.assertEqual(status("GET", "/v1/stores/note", "other"), 403)
        self.assertEqual(status("GET", "/v1/stores/nosuch", "other"), 403)
        answer = server.post("/v1/search", {"query": "soup"}, Authorization="Bearer other")
        self.assertEqual((answer.status, answer.json["hits"], answer.json["stores"]), (200, [], []))
        self.assertEqual(status("GET", "/healthz", None), 200)
        self.assertEqual(status("GET", "/readyz", None), 200)
        self.assertEqual(server.get("/v1/stores?token=full-access").status, 401)
        tokens.write_text("a-new-one\n")
        server.process.send_signal(signal.SIGHUP)
        while status("GET", "/v1/stores", "a-new-one") != 200:
            self.assertIsNone(server.process.poll())
        self.assertEqual(status("GET", "/v1/stores", "full-access"), 401)
        self.assertNotIn("full-access", "".join(server.messages))

    def test_every_route_asks_for_its_right_first(self):
        file = self.make_notes()
        self.succeed("index", file, "--table", "note:title,body", "--yes", "--quiet")
        tokens = self.token_file("everything\nreader rights=read\nwriter rights=write\nscraper rights=metrics\nother stores=elsewhere\n")
        server = self.serve(file, "--token-file", tokens).until_ready()
        document = server.get("/openapi.json", Authorization="Bearer everything").json
        asked = 0
        for path, methods in document["paths"].items():
            real = path.replace("{name}", "note").replace("{key}", "1").replace("{id}", "none")
            for method, operation in methods.items():
                def status(token, real=real, method=method, operation=operation):
                    headers = {"Authorization": "Bearer " + token} if token else {}
                    # What is wrong with a body is nothing that somebody without the right learns.
                    return server.request(method.upper(), real, {"wrong": 1} if "requestBody" in operation else None, headers).status

                if not operation["security"]:
                    self.assertIn(status(None), (200, 304), path)
                    continue
                asked += 1
                self.assertEqual((status(None), status("nobody")), (401, 401), path)
                self.assertNotIn(status("everything"), (401, 403), path)
                right = "scraper" if path == "/metrics" else "writer" if method != "get" and path in (
                    "/v1/backfill", "/v1/patches", "/v1/jobs/{id}") else "reader"
                for token in {"reader", "writer", "scraper"} - {right}:
                    self.assertEqual(status(token), 403, (path, method, token))
                self.assertNotIn(status(right), (401, 403), path)
                if "{name}" in path:
                    self.assertEqual(status("other"), 403, path)
        self.assertGreater(asked, 15)

    def test_the_rate_of_a_caller_is_limited(self):
        tokens = self.token_file("one name=one\ntwo name=two\n")
        server = self.serve_notes("--token-file", tokens, "--rate-limit", "5")
        answers = [server.get("/v1/models", Authorization="Bearer one") for _ in range(60)]
        refused = [answer for answer in answers if answer.status == 429]
        self.assertGreater(len(refused), 10)
        self.assertGreaterEqual(60 - len(refused), 10)  # what may come at once
        self.assertEqual((refused[0].headers["Retry-After"], refused[0].json["error"]["type"]), ("1", "rate_limit_error"))
        self.assertEqual(server.get("/v1/models", Authorization="Bearer two").status, 200)
        self.assertEqual(server.get("/readyz").status, 200)
        for wrong in ("0", "-1", "x", "nan"):
            self.fail_with(2, "serve", self.folder / "app.db", "--rate-limit", wrong)

    def test_strangers_make_no_series(self):
        server = self.serve_notes()
        connection = server.connect()
        before = server.get("/metrics").body.decode().splitlines()
        for i in range(500):
            connection.request("GET", f"/v1/stores/x{i}" if i % 2 else f"/random/{i}", headers={"X-Session-Id": f"s{i}"})
            connection.getresponse().read()
        connection.close()
        after = server.get("/metrics").body.decode().splitlines()
        self.assertEqual([line.split(" ")[0] for line in before if line[0] != "#"], [line.split(" ")[0] for line in after if line[0] != "#"])
        self.assertLessEqual(sum(line[0] != "#" for line in after), 200)

    def test_what_is_refused_at_the_start(self):
        file = self.make_notes()
        self.succeed("index", file, "--table", "note:title,body", "--yes", "--quiet")
        self.assertIn("--token-file", self.fail_with(2, "serve", file, "--listen", "0.0.0.0:0"))
        self.assertIn("chmod 600", self.fail_with(2, "serve", file, "--token-file", self.token_file("abc\n", 0o644)))
        self.assertIn("holds no token", self.fail_with(2, "serve", file, "--token-file", self.token_file("# none\n")))
        self.assertIn("unknown right", self.fail_with(2, "serve", file, "--token-file", self.token_file("abc rights=all\n")))
        for address in ["127.0.0.1", "127.0.0.1:70000", "example.org:80", "unix:", "127.0.0.1:x"]:
            self.fail_with(2, "serve", file, "--listen", address)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.assertIn("Address already in use", self.fail_with(4, "serve", file, "--listen", f"127.0.0.1:{taken.getsockname()[1]}"))

    def test_unix_socket(self):
        path = self.folder / "http.sock"
        file = self.make_notes()
        self.succeed("index", file, "--table", "note:title,body", "--yes", "--quiet")
        server = self.serve(file, listen=f"unix:{path}")
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        done = subprocess.run(["curl", "--silent", "--unix-socket", path, "http://localhost/healthz"], capture_output=True, check=True)
        self.assertEqual(json.loads(done.stdout), {"status": "ok"})
        self.assertEqual(server.stop(), 0)
        self.assertFalse(path.exists())


class Wire(ServiceTest):
    """Bytes that no well-behaved client sends."""

    def send(self, server, data, read=True):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(data)
            received = b""
            while read and (piece := connection.recv(65536)):
                received += piece
            return received

    def test_smuggling_and_malformed_heads_are_refused_and_closed(self):
        server = self.serve_notes()
        host = b"Host: localhost\r\n"
        post = b"POST /v1/search HTTP/1.1\r\n" + host
        for data, status in [
            (post + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            (post + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
            (post + b"Content-Length: +5\r\n\r\nhello", 400), (post + b"Content-Length: 0x5\r\n\r\nhello", 400),
            (post + b"Content-Length: -1\r\n\r\n", 400), (post + b"Transfer-Encoding: chunked, gzip\r\n\r\n", 400),
            (b"GET /healthz HTTP/1.1\n" + b"Host: localhost\n\n", 400), (b"GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
            (b"GET /healthz HTTP/1.1\r\n" + host + b"X: a\r\n b\r\n\r\n", 400), (b"GET /healthz HTTP/1.1\r\n" + host + b"X: a\0b\r\n\r\n", 400),
            (b"GET /healthz HTTP/1.1\r\n\r\n", 400), (b"GET /healthz HTTP/1.1\r\n" + host + host + b"\r\n", 400),
            (b"GET  /healthz HTTP/1.1\r\n" + host + b"\r\n", 400), (b"GET healthz HTTP/1.1\r\n" + host + b"\r\n", 400),
            (b"GET /healthz HTTP/9.9\r\n" + host + b"\r\n", 505), (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
            (b"GET /healthz HTTP/1.1\r\n" + host + b"".join(b"X%d: y\r\n" % i for i in range(101)) + b"\r\n", 431),
            (b"GET /healthz HTTP/1.1\r\n" + host + b"X: " + b"y" * 20000 + b"\r\n\r\n", 431),
            (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + host + b"\r\n", 414),
            (post + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
            (post + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n300000\r\n" + b"x" * 0x300000, 413),
        ]:
            answer = self.send(server, data)
            self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % status), (data[:80], answer[:200]))
            self.assertIn(b"Connection: close", answer)
            self.assertLess(len(answer), 4096)
            self.assertEqual(answer.count(b"HTTP/1.1 "), 1)

    def test_pipelined_requests_are_answered_in_order(self):
        server = self.serve_notes()
        asked = b"".join(b"GET /v1/stores/note/records/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % (1 + i % 6) for i in range(60))
        last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = self.send(server, asked + last)
        self.assertEqual([int(key) for key in re.findall(rb'"key":(\d)', answer)], [1 + i % 6 for i in range(60)])
        self.assertEqual(answer.count(b"HTTP/1.1 200"), 61)

    def test_work_ends_when_its_client_goes(self):
        server = self.serve_notes()
        body = json.dumps({"model": MODEL, "input": ["some words to embed " * 40] * 2000}).encode()
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                               b"Content-Length: %d\r\n\r\n" % len(body) + body)
        while 'vector_service_http_requests_total{status="499"} 1' not in server.get("/metrics").body.decode():
            self.assertIsNone(server.process.poll())
        self.assertEqual(server.post("/v1/search", {"query": "soup"}).status, 200)

    def test_a_stop_answers_what_was_asked(self):
        server = self.serve_notes()
        body = json.dumps({"model": MODEL, "input": ["some words to embed " * 20] * 60}).encode()
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                               b"Content-Length: %d\r\n\r\n" % len(body) + body)
            with server.connect().sock or socket.create_connection(("127.0.0.1", server.port)) as idle:
                server.get("/healthz")  # the first request has been read by now: one thread reads in order
                self.assertEqual(server.stop(), 0)
                self.assertEqual(idle.recv(1), b"")
            received = b""
            while piece := connection.recv(1 << 20):
                received += piece
        self.assertTrue(received.startswith(b"HTTP/1.1 200"), received[:200])
        self.assertEqual(received.count(b'"object":"embedding"'), 60)


class Description(ServiceTest):
    def test_openapi_is_what_there_is(self):
        server = self.serve_notes()
        document = server.get("/openapi.json").json
        self.assertEqual(document["openapi"], "3.1.0")
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                real = re.sub(r"\{\w+\}", "none", path)
                body = {} if "requestBody" in operation else None
                answer = server.request(method.upper(), real, body)
                self.assertNotIn(answer.status, (405, 500, 501), path)
                if answer.status == 404:
                    self.assertNotEqual(answer.json["error"].get("code"), "unknown_path", path)
            other = server.request("PATCH", re.sub(r"\{\w+\}", "none", path))
            self.assertEqual(other.status, 405, path)


if __name__ == "__main__":
    unittest.main()
