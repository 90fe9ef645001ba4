"""A small Kubernetes API server on 127.0.0.1 for the real `kubectl`: enough of it to prove how the cluster tests use a cluster.

It validates what is created, replaces the pods of a Deployment, keeps disruption budgets, cordons nodes, and runs bare pods as processes of
this machine, in place of a kubelet. Knows nothing of Warmstart; what no cluster test asks for is not there.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
from tests.deploy.controllers import Controllers
from tests.deploy.objects import Objects, Refused

Object = dict[str, Any]
GROUPS = {"apps/v1", "batch/v1", "policy/v1", "networking.k8s.io/v1"}
KINDS = {
    "namespaces": ("v1", "Namespace", "ns"),
    "nodes": ("v1", "Node", "no"),
    "pods": ("v1", "Pod", "po"),
    "configmaps": ("v1", "ConfigMap", "cm"),
    "services": ("v1", "Service", "svc"),
    "events": ("v1", "Event", "ev"),
    "deployments": ("apps/v1", "Deployment", "deploy"),
    "statefulsets": ("apps/v1", "StatefulSet", "sts"),
    "jobs": ("batch/v1", "Job", "job"),
    "poddisruptionbudgets": ("policy/v1", "PodDisruptionBudget", "pdb"),
    "networkpolicies": ("networking.k8s.io/v1", "NetworkPolicy", "netpol"),
}
CLUSTER_WIDE = {"namespaces", "nodes"}
VERBS = ["create", "delete", "get", "list", "patch", "watch"]


def resources(version: str) -> Object:
    """The discovery document of one API version."""
    own = [
        {
            "name": name,
            "singularName": kind.lower(),
            "kind": kind,
            "namespaced": name not in CLUSTER_WIDE,
            "verbs": VERBS,
            "shortNames": [short],
        }
        for name, (of, kind, short) in KINDS.items()
        if of == version
    ]
    if version == "v1":
        own.append(
            {"name": "pods/eviction", "kind": "Eviction", "group": "policy", "version": "v1", "namespaced": True, "verbs": ["create"]}
        )
        own.append({"name": "pods/log", "kind": "Pod", "namespaced": True, "verbs": ["get"]})
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": own}


def groups() -> Object:
    found = []
    for version in sorted(GROUPS):
        offered = {"groupVersion": version, "version": "v1"}
        found.append({"name": version.split("/")[0], "versions": [offered], "preferredVersion": offered})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def openapi(version: str) -> Object:
    """Says for each kind that the server validates fields; `kubectl create` looks for nothing else."""
    paths = {}
    for name, (of, kind, _) in KINDS.items():
        if of == version:
            group = version.split("/")[0] if "/" in version else ""
            patch = {
                "x-kubernetes-group-version-kind": {"group": group, "version": "v1", "kind": kind},
                "parameters": [{"name": "fieldValidation", "in": "query"}],
                "responses": {},
            }
            paths[f"/{name}"] = {"patch": patch}
    return {"openapi": "3.0.0", "info": {"title": version, "version": "v1"}, "paths": paths}


class Handler(BaseHTTPRequestHandler):
    """One request of `kubectl`."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self._answered(self._get)

    def do_POST(self) -> None:
        self._answered(self._post)

    def do_PATCH(self) -> None:
        self._answered(self._patch)

    def do_DELETE(self) -> None:
        self._answered(self._delete)

    def _answered(self, method: Any) -> None:
        try:
            code, body = method()
        except Refused as refused:
            code, body = refused.code, refused.status()
        if body is None:
            return  # a watch has written its own answer
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> Object:
        read = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return dict(json.loads(read)) if read else {}

    def _route(self) -> tuple[list[str], dict[str, str]]:
        """The path below the API version as [resource, namespace, name, subresource], and the query."""
        parts = urlsplit(self.path)
        path = parts.path.strip("/").split("/")
        rest = path[2:] if path[0] == "api" else path[3:]
        namespace = ""
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        return [rest[0], namespace, *rest[1:]], {key: values[0] for key, values in parse_qs(parts.query).items()}

    def _get(self) -> tuple[int, Any]:
        path = urlsplit(self.path).path
        if (document := self.server.documents.get(path)) is not None:
            return 200, document
        if not path.startswith(("/api/v1/", "/apis/")) or path.split("/")[2] == "metrics.k8s.io":
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        (resource, namespace, *named), query = self._route()
        if named[1:] == ["log"]:
            return 200, self.server.controllers.log(namespace, named[0])
        if named:
            return 200, self.server.objects.get(resource, namespace, named[0])
        if query.get("watch"):
            return self._watch(resource, namespace, query)
        found = self.server.objects.select(resource, namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        version, kind, _ = KINDS[resource]
        return 200, {"kind": f"{kind}List", "apiVersion": version, "metadata": {"resourceVersion": "1"}, "items": found}

    def _watch(self, resource: str, namespace: str, query: dict[str, str]) -> tuple[int, None]:
        """Tells when an object that was there is gone: all that `kubectl delete --wait` waits for."""
        seen = self.server.objects.select(resource, namespace, "", query.get("fieldSelector", ""))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.close_connection = True
        ends = time.monotonic() + 60
        while seen and self.server.objects.select(resource, namespace, "", query.get("fieldSelector", "")) and time.monotonic() < ends:
            time.sleep(0.05)
        for gone in seen:
            self.wfile.write(json.dumps({"type": "DELETED", "object": gone}).encode() + b"\n")
        return 200, None

    def _post(self) -> tuple[int, Any]:
        (resource, namespace, *named), _ = self._route()
        body = self._body()
        if named[1:] == ["eviction"]:
            self.server.controllers.evict(namespace, named[0])
            return 201, {"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 201}
        try:
            kubernetes_validate.validate(body, "1.30", strict=True)
        except kubernetes_validate.ValidationError as error:
            raise Refused(400, "BadRequest", f"strict decoding error: {error.message}") from None
        return 201, self.server.objects.add(resource, namespace, body)

    def _patch(self) -> tuple[int, Any]:
        (resource, namespace, name), _ = self._route()
        return 200, self.server.objects.merge(resource, namespace, name, self._body())

    def _delete(self) -> tuple[int, Any]:
        (resource, namespace, name), _ = self._route()
        self._body()  # the options; unread, they would be taken for the next request
        return 200, self.server.controllers.end(resource, namespace, name)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Silent; a failing test shows what kubectl wrote."""


class Server(ThreadingHTTPServer):
    """The API server with its objects and what acts on them."""

    daemon_threads = True

    def __init__(self, folder: Path, hosts: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects = Objects()
        self.controllers = Controllers(self.objects, folder, hosts)
        self.documents: dict[str, Object] = {
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": groups(),
            "/api/v1": resources("v1"),
            "/version": {"major": "1", "minor": "30", "gitVersion": "v1.30.0"},
        }
        served = {"v1", *GROUPS}
        prefixes = {version: f"apis/{version}" if "/" in version else f"api/{version}" for version in served}
        self.documents["/openapi/v3"] = {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in prefixes.values()}}
        for version, path in prefixes.items():
            self.documents[f"/{path}"] = resources(version)
            self.documents[f"/openapi/v3/{path}"] = openapi(version)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def kubeconfig(self, path: Path) -> Path:
        """Writes a kubeconfig for this server."""
        cluster = {"name": "small", "cluster": {"server": self.url}}
        context = {"name": "small", "context": {"cluster": "small", "user": "tester"}}
        users = [{"name": "tester", "user": {}}]
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster],
            "contexts": [context],
            "users": users,
            "current-context": "small",
        }
        path.write_text(json.dumps(config))
        return path


@contextmanager
def running(folder: Path, hosts: dict[str, str] | None = None) -> Iterator[Server]:
    """A server that listens inside; `hosts` replaces the names of Services in the commands of pods."""
    server = Server(folder, hosts or {})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        with server.controllers:
            yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
