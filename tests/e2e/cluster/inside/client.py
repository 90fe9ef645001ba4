"""Runs in a pod: sends requests to the gateway, reads its catalogue, or tries TCP connections; prints one line of JSON.

Knows nothing of Kubernetes. It is given to the pod by a ConfigMap and needs what the pipelines image has.
"""

import hashlib
import json
import socket
import sys
import time
from contextlib import closing
from typing import Any

import httpx2

CONNECT_TRIES_S = 60.0
"""A NetworkPolicy is applied to a new pod's address some time after the pod starts."""


def connected(url: str) -> httpx2.Client:
    """A client of the gateway that has answered once; raises the last error of the tries."""
    client, ends = httpx2.Client(base_url=url, timeout=60, trust_env=False), time.monotonic() + CONNECT_TRIES_S
    while True:
        try:
            client.get("/livez", timeout=3)
        except httpx2.TransportError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.5)
        else:
            return client


def send(url: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Status and body of each `{method, path, json | text}`, in order."""
    answers = []
    with closing(connected(url)) as client:
        for asked in requests:
            body = {"json": asked["json"]} if "json" in asked else {"content": asked.get("text", "").encode()}
            headers = {"content-type": asked.get("type", "application/json")}
            answer = client.request(asked["method"], asked["path"], headers=headers, **body)
            answers.append({"status": answer.status_code, "text": answer.text})
    return answers


def catalogue(url: str) -> dict[str, Any]:
    """How many items the whole catalogue has, and a digest of all of them in the order of their ids."""
    digest, count, cursor = hashlib.sha256(), 0, None
    with closing(connected(url)) as client:
        while True:
            page = client.get("/v1/items", params={"limit": 500} | ({"cursor": cursor} if cursor else {})).raise_for_status().json()
            for item in page["items"]:
                digest.update(json.dumps(item, sort_keys=True).encode() + b"\n")
                count += 1
            if not (cursor := page.get("next_cursor")):
                return {"items": count, "sha256": digest.hexdigest()}


def reach(addresses: list[str]) -> dict[str, str]:
    """What became of a TCP connection to each `host:port`: connected, refused, timed out, or its name was unknown."""
    outcomes = {}
    for address in addresses:
        host, port = address.rsplit(":", 1)
        try:
            socket.create_connection((host, int(port)), timeout=3).close()
            outcomes[address] = "connected"
        except TimeoutError:
            outcomes[address] = "timed out"
        except socket.gaierror as error:
            outcomes[address] = f"unknown name: {error.strerror}"
        except OSError as error:
            outcomes[address] = f"refused: {error.strerror}"
    return outcomes


def main() -> None:
    action, *arguments = sys.argv[1:]
    if action == "send":
        print(json.dumps(send(arguments[0], json.loads(arguments[1]))))
    elif action == "catalogue":
        print(json.dumps(catalogue(arguments[0])))
    else:
        print(json.dumps(reach(arguments)))


if __name__ == "__main__":
    main()
