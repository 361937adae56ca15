"""nearlite mcp: spoken to by the official client in both revisions, and by hostile lines."""

import asyncio
import json
import unittest

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from program import BINARY, ProgramTest

VERSION = "io.modelcontextprotocol/protocolVersion"
MODERN = {VERSION: "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


class Agent(ProgramTest):
    def index_notes(self):
        file = self.make_notes()
        self.succeed("index", file, "--table", "note:title,body", "--yes", "--quiet")
        return file

    def talk(self, *messages):
        """Lines in, lines out: every line of stdout is one message."""
        data = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in messages)
        result = self.run_program("mcp", self.folder / "app.db", stdin=data)
        self.assertEqual(result.code, 0, result.err)
        return result.lines

    def call(self, name, arguments, number=1):
        return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": name, "arguments": arguments, "_meta": MODERN}}

    def result_of(self, name, arguments):
        [answer] = self.talk(self.call(name, arguments))
        result = answer["result"]
        self.assertEqual(json.loads(result["content"][0]["text"]), result.get("structuredContent", json.loads(result["content"][0]["text"])))
        return result


class OfficialClient(Agent):
    def converse(self, mode):
        file = self.index_notes()

        async def talk():
            server = StdioServerParameters(command=BINARY, args=["mcp", str(file)], env=self.environment(), cwd=str(self.folder))
            async with Client(stdio_client(server), mode=mode) as client:
                tools = (await client.list_tools()).tools
                found = await client.call_tool("search", {"query": "how do I change my password?", "k": 2})
                wrong = await client.call_tool("get_record", {"store": "note", "key": 99})
                return client.protocol_version, tools, found, wrong

        version, tools, found, wrong = asyncio.run(talk())
        self.assertEqual([tool.name for tool in tools], ["search", "similar", "list_stores", "store_status", "get_record", "explain_hit"])
        self.assertFalse(found.is_error)
        self.assertEqual(found.structured_content["hits"][0]["key"], 1)
        self.assertIn("forgot password", found.structured_content["hits"][0]["passage"])
        self.assertTrue(wrong.is_error)
        return version

    def test_of_the_current_revision(self):
        self.assertEqual(self.converse("auto"), "2026-07-28")

    def test_of_the_revision_before(self):
        self.assertEqual(self.converse("legacy"), "2025-11-25")


class Tools(Agent):
    def test_show_exposed_columns_only(self):
        self.index_notes()
        for name, arguments in [("search", {"query": "printer"}), ("get_record", {"store": "note", "key": 6}),
                                ("similar", {"store": "note", "key": "6"}), ("list_stores", {}), ("store_status", {"store": "note"}),
                                ("explain_hit", {"store": "note", "key": 6, "query": "paper"})]:
            result = self.result_of(name, arguments)
            self.assertFalse(result["isError"], result)
            self.assertNotIn("anna", result["content"][0]["text"])  # the author is not exposed

    def test_keep_to_the_token_budget(self):
        long = "The router has to be reset by holding its button. " * 12
        self.make_notes(rows=[(f"Router {i}", long + f"Case {i}.") for i in range(20)])
        self.succeed("index", self.folder / "app.db", "--table", "note:title,body", "--yes", "--quiet")
        small = self.result_of("search", {"query": "reset the router", "k": 20, "token_budget": 300})["structuredContent"]
        large = self.result_of("search", {"query": "reset the router", "k": 20, "token_budget": 3000})["structuredContent"]
        self.assertLessEqual(small["tokens_used"], 300)
        self.assertTrue(small["truncated"])
        self.assertGreater(len(large["hits"]), len(small["hits"]))
        self.assertGreaterEqual(len(small["hits"]), 1)
        tiny = self.result_of("search", {"query": "reset the router", "token_budget": 50})["structuredContent"]
        self.assertEqual(len(tiny["hits"]), 1)

    def test_only_rows_of_a_kind_an_age_and_an_instance(self):
        self.index_notes()
        for rows, found in [({"kinds": ["note"], "max_age_seconds": 3600, "scope": "local"}, True), ({"kinds": ["other"]}, False),
                            ({"scope": "global", "instance": "here"}, False)]:
            result = self.result_of("search", {"query": "printer"} | rows)["structuredContent"]
            self.assertEqual(bool(result["hits"]), found, rows)

    def test_similar_leaves_the_record_out(self):
        self.index_notes()
        hits = self.result_of("similar", {"store": "note", "key": 3, "k": 5})["structuredContent"]["hits"]
        self.assertEqual(sorted(hit["key"] for hit in hits), [1, 2, 4, 5, 6])

    def test_explain_says_why(self):
        self.index_notes()
        why = self.result_of("explain_hit", {"store": "note", "key": 3, "query": "no space on the disk"})["structuredContent"]
        self.assertEqual(why["matching_words"], ["Disk", "disk"])
        self.assertFalse(why["stale"])

    def test_wrong_arguments_are_for_the_model_to_read(self):
        self.index_notes()
        for name, arguments, word in [("search", {}, "query"), ("search", {"query": ""}, "query"), ("search", {"query": "a", "sql": "x"}, "sql"),
                                      ("search", {"query": "a", "k": 0}, "k"), ("get_record", {"store": "../x", "key": 1}, "name"),
                                      ("get_record", {"store": "nota", "key": 1}, "note"), ("get_record", {"store": "note", "key": {}}, "key"),
                                      ("store_status", {"store": "note", "path": "/etc/passwd"}, "path")]:
            result = self.result_of(name, arguments)
            self.assertTrue(result["isError"], (name, arguments))
            self.assertIn(word, result["content"][0]["text"])
            self.assertNotIn(str(self.folder), result["content"][0]["text"])


class Lines(Agent):
    def test_hostile_ones_are_answered_and_survived(self):
        self.index_notes()
        good = {"jsonrpc": "2.0", "id": "last", "method": "tools/list", "params": {"_meta": MODERN}}
        answers = self.talk(
            b"{", b"[]", b"null", b"[" * 100000, b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', b'{"jsonrpc":"2.0","id":\xff}',
            {"id": 3, "method": "ping"}, {"jsonrpc": "2.0", "id": {}, "method": "ping"}, {"jsonrpc": "2.0", "id": 4, "method": 5},
            {"jsonrpc": "2.0", "id": 5, "method": "tools/list"}, {"jsonrpc": "2.0", "id": 6, "method": "tools/call", "params": []},
            {"jsonrpc": "2.0", "id": 7, "method": "no/such", "params": {"_meta": MODERN}},
            {"jsonrpc": "2.0", "id": 8, "method": "tools/list", "params": {"_meta": {VERSION: "2099-01-01"}}},
            {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "rm", "_meta": MODERN}},
            b"x" * (2 << 20), b"", {"jsonrpc": "2.0", "method": "notifications/cancelled"}, {"jsonrpc": "2.0", "id": 10, "result": {}}, good)
        codes = [answer["error"]["code"] if "error" in answer else answer["id"] for answer in answers]
        self.assertEqual(codes, [-32700, -32600, -32600, -32700, -32700, -32700, -32600, -32600, -32600, -32600, -32602, -32601, -32022,
                                 -32602, -32600, "last"])
        self.assertEqual(answers[12]["error"]["data"], {"supported": ["2026-07-28"], "requested": "2099-01-01"})
        self.assertEqual(answers[-1]["result"]["resultType"], "complete")

    def test_the_older_revisions_are_offered(self):
        self.index_notes()
        for asked, given in [("2025-06-18", "2025-06-18"), ("2024-11-05", "2024-11-05"), ("1999-01-01", "2025-11-25")]:
            hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize",
                     "params": {"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}
            answers = self.talk(hello, {"jsonrpc": "2.0", "method": "notifications/initialized"}, {"jsonrpc": "2.0", "id": 1, "method": "ping"},
                                {"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
            self.assertEqual(answers[0]["result"]["protocolVersion"], given)
            self.assertEqual(answers[1]["result"], {})
            self.assertNotIn("resultType", answers[2]["result"])

    def test_discovery(self):
        self.index_notes()
        [answer] = self.talk({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": MODERN}})
        result = answer["result"]
        self.assertEqual((result["supportedVersions"], result["resultType"]), (["2026-07-28"], "complete"))
        self.assertEqual(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "nearlite")

    def test_logs_stay_off_stdout(self):
        self.index_notes()
        result = self.run_program("mcp", self.folder / "app.db", "--log-level", "debug",
                                  stdin=json.dumps(self.call("search", {"query": "soup"})) + "\n")
        self.assertEqual(len(result.lines), 1)
        self.assertTrue(result.err)
        self.assertNotIn("soup", result.err.lower())  # the question is nobody's business


if __name__ == "__main__":
    unittest.main()
