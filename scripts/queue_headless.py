"""Queue an API-format workflow on a running ComfyUI, follow it, save what it made. Needs websocket-client."""

import argparse
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import websocket

fetch = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # ComfyUI is nearer than any proxy


def apply(settings: list[str], prompt: dict) -> None:
    for place, _, value in (setting.partition("=") for setting in settings):
        node, _, name = place.partition(".")
        if name not in (inputs := prompt.get(node, {}).get("inputs", {})):
            sys.exit(f"--set {place}: the workflow has no such node and input")
        inputs[name] = value if isinstance(inputs[name], str) else json.loads(value)


def queue(url: str, prompt: dict, client: str) -> str:
    try:
        answer = json.load(fetch(f"{url}/prompt", json.dumps({"prompt": prompt, "client_id": client}).encode()))
    except urllib.error.HTTPError as refusal:
        answer = json.load(refusal)
    bad = answer.get("node_errors") or {}  # ComfyUI may run the valid part all the same, which nobody asked for
    lines = [f"{n} ({b['class_type']}): {e['message']}: {e['details']}" for n, b in bad.items() for e in b["errors"]]
    if lines or "prompt_id" not in answer:
        sys.exit("\n  node ".join(["ComfyUI refused the workflow:", *lines]) if lines else answer["error"]["message"])
    return str(answer["prompt_id"])


def follow(socket: websocket.WebSocket, prompt: dict, prompt_id: str) -> list[dict]:
    files = []
    for message in filter(lambda received: isinstance(received, str), iter(socket.recv, "")):  # bytes are previews
        kind, data = (told := json.loads(message))["type"], told["data"]
        if data.get("prompt_id") != prompt_id:
            continue
        name = prompt.get(str(data.get("node")), {}).get("class_type")
        if kind == "progress":
            print(f"\r{name} {data['value']:.1f} of {data['max']}", end="", flush=True)
        elif kind == "executing" and name:
            print(f"\n{name}", end="", flush=True)
        elif kind in ("execution_error", "execution_interrupted"):
            sys.exit(f"\nnode {data['node_id']} ({data['node_type']}): {data.get('exception_message', 'interrupted')}")
        elif kind == "executed":
            files += [file for name in ("images", "audio") for file in (data["output"] or {}).get(name, [])]
        elif kind == "execution_success":
            return files
    sys.exit("\nthe server closed the connection")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workflow", type=Path, help="a file of workflows/api")
    parser.add_argument("--server", default="127.0.0.1:8188", metavar="HOST:PORT")
    parser.add_argument("--output", type=Path, default="output")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.INPUT=VALUE", help="e.g. 12.seed=7")
    args = parser.parse_args()
    apply(args.set, prompt := json.loads(args.workflow.read_text("utf-8")))
    url, client = f"http://{args.server}", uuid.uuid4().hex
    try:
        socket = websocket.create_connection(f"ws://{args.server}/ws?clientId={client}")
    except OSError as error:
        sys.exit(f"no ComfyUI answers at {args.server} ({error}): start it, or name another with --server")
    files = follow(socket, prompt, queue(url, prompt, client))
    args.output.mkdir(parents=True, exist_ok=True)
    for file in (file for file in files if file["type"] == "output"):
        target = args.output / Path(file["filename"]).name
        target.write_bytes(fetch(f"{url}/view?{urllib.parse.urlencode(file)}").read())
        print(f"\n{target}")


if __name__ == "__main__":
    main()
