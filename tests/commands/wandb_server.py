"""A local W&B server that serves the folders of offline runs, and artifacts."""

import base64
import hashlib
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

    def __init__(self, runs: dict[str, tuple[str, Path]], artifacts: dict[str, list[Path]], *arguments: Any) -> None:
        self.runs, self.artifacts = runs, artifacts
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
        if "query FetchArtifactManifest" in query:
            url = f"http://{self.headers['Host']}/manifest/{variables['id']}"
            return {"artifact": {"currentManifest": {"file": {"directUrl": url}}}}
        if variables.get("project", "project") != "project":
            return {"project": None}
        if "query ArtifactMembershipByName" in query:
            name = variables["name"].partition(":")[0]
            return {
                "project": {"artifactCollectionMembership": self.artifact(name) if name in self.artifacts else None}
            }
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

    def artifact(self, name: str) -> dict[str, Any]:
        project = {"id": "1", "internalId": "1", "name": "project", "entity": {"name": "team"}}
        collection = {"__typename": "ArtifactSequence", "name": name, "project": project}
        empty = dict.fromkeys(("description", "metadata", "historyStep", "commitHash", "updatedAt"))
        version = {"id": name, "versionIndex": 0, "createdAt": "2020-01-01T00:00:00", "aliases": []}
        facts = {"artifactType": {"name": "model"}, "ttlDurationSeconds": -2, "ttlIsInherited": False, "tags": []}
        state = {"state": "COMMITTED", "size": 1, "digest": "0", "digestAlgorithm": "MANIFEST_MD5", "fileCount": 1}
        artifact = {"__typename": "Artifact", **empty, **version, **facts, **state}
        return {
            "__typename": "ArtifactCollectionMembership",
            **version,
            "artifactCollection": collection,
            "artifact": {**artifact, "artifactSequence": collection},
        }

    def manifest(self, name: str) -> dict[str, Any]:
        contents = {file.name: {"digest": _md5(file), "size": file.stat().st_size} for file in self.artifacts[name]}
        policy = {"storagePolicy": "wandb-storage-policy-v1", "storagePolicyConfig": {"storageLayout": "V1"}}
        return {"version": 1, **policy, "contents": contents}

    def stored(self, digest: str) -> bytes:
        files = (file for files in self.artifacts.values() for file in files)
        return next(file.read_bytes() for file in files if base64.b64decode(_md5(file)).hex() == digest)

    def file(self, run: str, name: str) -> dict[str, Any]:
        url = f"http://{self.headers['Host']}/{run}/{name}"
        known = {"id": name, "name": name, "url": url, "directUrl": url, "sizeBytes": "1", "mimetype": "", "md5": ""}
        return {**known, "updatedAt": None}

    def do_GET(self) -> None:
        run, _, name = unquote(self.path).lstrip("/").partition("/")
        if run == "manifest":
            return self.answer(json.dumps(self.manifest(name)).encode())
        if run == "artifacts":
            return self.answer(self.stored(name.rpartition("/")[2]))
        return self.answer((self.runs[run][1] / name).read_bytes())

    def answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Suppress log messages."""


def _md5(file: Path) -> str:
    return base64.b64encode(hashlib.md5(file.read_bytes()).digest()).decode()


@contextmanager
def serving(
    runs: dict[str, tuple[str, Path]], artifacts: dict[str, list[Path]] | None = None
) -> Iterator[dict[str, str]]:
    """Serve runs (id to state and folder of files) and artifacts (name to files) as team/project.

    Yields:
        The clients' environment variables.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, runs, artifacts or {}))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {"WANDB_BASE_URL": f"http://127.0.0.1:{server.server_port}", "WANDB_API_KEY": "0" * 40}
    finally:
        server.shutdown()
        server.server_close()
