"""A running `nearlite serve`, and requests to it: the base of the service's tests."""

import http.client
import json
import re
import signal
import threading

from program import ProgramTest


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, dict(response.getheaders()), response.read()

    @property
    def json(self):
        return json.loads(self.body)


class Server:
    """Started on a free port, ready when the constructor returns."""

    def __init__(self, test, *arguments, env=None, listen="127.0.0.1:0", **options):
        env = {"EMBEDDING_SCHEDULER_INTERVAL": "0", **(env or {})}  # unless the test is about it
        self.process = test.start("serve", *arguments, "--listen", listen, env=env, **options)
        test.addCleanup(self.end)
        self.messages = []
        self.port = None
        announced = threading.Event()
        self.reader = threading.Thread(target=self.read_messages, args=(announced,), daemon=True)
        self.reader.start()
        if not announced.wait(60):
            raise AssertionError("the service did not start: " + "".join(self.messages))

    def read_messages(self, announced):
        for line in self.process.stderr:
            self.messages.append(line.decode())
            if found := re.search(r"listening on http://[^/]*:(\d+)/", self.messages[-1]):
                self.port = int(found.group(1))
            if "Ctrl-C stops" in self.messages[-1]:
                announced.set()
        announced.set()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        self.process.stderr.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.reader.join()
        return code

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def request(self, method, path, body=None, headers=None):
        connection = self.connect()
        try:
            given = dict(headers or {})
            if body is not None and not isinstance(body, (bytes, str)):
                body = json.dumps(body)
                given.setdefault("Content-Type", "application/json")
            connection.request(method, path, body, given)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path, body, **headers):
        return self.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})

    def until_ready(self):
        """Asks until the model is loaded; the answers in between are refusals that name no cause of failure."""
        while (answer := self.get("/readyz")).status != 200:
            assert answer.status == 503, answer.body
            assert self.process.poll() is None, "".join(self.messages)
        return self


class ServiceTest(ProgramTest):
    def serve(self, *arguments, **options):
        return Server(self, *arguments, **options)

    def indexed(self, **options):
        """A file of notes, embedded."""
        file = self.make_notes(**options)
        self.succeed("index", file, "--table", "note:title,body", "--yes", "--quiet")
        return file

    def serve_notes(self, *arguments, **options):
        """A service over six notes, embedded."""
        file = self.make_notes()
        self.succeed("index", file, "--table", "note:title,body", "--yes", "--quiet")
        return self.serve(file, *arguments, **options).until_ready()
