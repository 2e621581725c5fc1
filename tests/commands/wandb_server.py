"""A local W&B server that serves the folders of offline runs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

VIEWER = {"id": "1", "entity": "team", "username": "user", "email": "", "flags": "{}", "teams": {"edges": []}}


def page(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    edges = [{"node": node, "cursor": "end"} for node in nodes]
    return {"edges": edges, "pageInfo": {"endCursor": "end", "hasNextPage": False}}


class Handler(BaseHTTPRequestHandler):
    """Answers the queries of `wandb.Api` and the downloads of files."""

    def __init__(self, runs: dict[str, tuple[str, Path]], *arguments: Any) -> None:
        self.runs = runs
        super().__init__(*arguments)

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/graphql":
            return self.answer(b"")
        request = json.loads(content)
        return self.answer(json.dumps({"data": self.data(request["query"], request.get("variables") or {})}).encode())

    def data(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "viewer {" in query:
            return {"viewer": VIEWER}
        if variables["project"] != "project":
            return {"project": None}
        if "query RunFiles" in query:
            folder = self.runs[variables["name"]][1]
            names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
            files = [self.file(variables["name"], name) for name in [*names, "../../evaluate/x/results.json"]]
            return {"project": {"internalId": "1", "run": {"fileCount": len(files), "files": page(files)}}}
        runs = [self.run(name, state) for name, (state, _) in self.runs.items()]
        return {"project": {"internalId": "1", "runCount": len(runs), "readOnly": True, "runs": page(runs)}}

    def run(self, name: str, state: str) -> dict[str, Any]:
        known = {"id": name, "name": name, "displayName": name, "state": state, "tags": [], "projectId": "1"}
        user = {"name": "user", "username": "user"}
        empty = ("sweepName", "group", "jobType", "commit", "description", "notes", "heartbeatAt", "createdAt")
        return {**known, **dict.fromkeys(empty), "readOnly": True, "historyLineCount": 0, "user": user}

    def file(self, run: str, name: str) -> dict[str, Any]:
        url = f"http://{self.headers['Host']}/{run}/{name}"
        known = {"id": name, "name": name, "url": url, "directUrl": url, "sizeBytes": "1", "mimetype": "", "md5": ""}
        return {**known, "updatedAt": None}

    def do_GET(self) -> None:
        run, _, name = unquote(self.path).lstrip("/").partition("/")
        self.answer((self.runs[run][1] / name).read_bytes())

    def answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Suppress log messages."""


@contextmanager
def serving(runs: dict[str, tuple[str, Path]]) -> Iterator[dict[str, str]]:
    """Serve runs (id to state and folder of files) as team/project; yield the clients' environment variables."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, runs))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {"WANDB_BASE_URL": f"http://127.0.0.1:{server.server_port}", "WANDB_API_KEY": "0" * 40}
    finally:
        server.shutdown()
        server.server_close()
