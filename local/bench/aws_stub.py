"""AWS at the socket, for a function in a process of its own: a loopback port that speaks its protocols.

Reads are answered from the items and the one object that it is given; writes and calls to other services are
acknowledged and change nothing that another process would find. What was called is kept, in order.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from gpulease_host.machine_key import seal_reply

Item = dict[str, Any]
TABLE = "table"
NO_LINES = b'{"items": [], "next": null}'
ACKNOWLEDGED: Mapping[str, Any] = {
    "StartExecution": {"executionArn": "arn:aws:states:us-east-1:000000000000:execution:life:c1-1", "startDate": 0},
    "SendCommand": {"Command": {}},
    "SendMessage": {"MessageId": "1"},
}


class AwsStub:
    """Serves while it is entered; `url` is its endpoint."""

    def __init__(self, items: list[Item], presences: list[Item], stored: bytes = b"") -> None:
        self.calls: list[str] = []
        self.stored = stored
        self._items = {(item["pk"], item["sk"]): item for item in items}
        self._presences = presences
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> AwsStub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, action: str, request: Any) -> Any:
        """What the service says to one call."""
        self.calls.append(action)
        match action:
            case "GetItem":
                return _one(self._get(request))
            case "BatchGetItem":
                return {"Responses": {name: self._get_many(each) for name, each in request["RequestItems"].items()}}
            case "Query":
                return {"Items": self._query(request)}
            case "Scan":
                return {"Items": [_dump(each) for each in self._presences]}
            case "TransactWriteItems":
                self._reply_to_calls(request)
                return {}
            case _:
                return ACKNOWLEDGED.get(action, {})

    def _reply_to_calls(self, request: Any) -> None:
        """A client's call is the one write that somebody waits for: its host has replied by the next read."""
        puts = [each["Put"]["Item"] for each in request["TransactItems"] if "Put" in each]
        for call in (_load(each) for each in puts if each["pk"]["S"].startswith("X#")):
            reply = seal_reply(call["reply_key"], call["id"], NO_LINES)
            self._items[call["pk"], call["sk"]] = call | {"reply": reply}

    def _get(self, request: Any) -> Item | None:
        key = request["Key"]
        if request["TableName"] != TABLE:
            return next((each for each in self._presences if str(each["host_id"]) == key["host_id"]["N"]), None)
        return self._items.get((key["pk"]["S"], key["sk"]["S"]))

    def _get_many(self, wanted: Any) -> list[Item]:
        found = (self._items.get((key["pk"]["S"], key["sk"]["S"])) for key in wanted["Keys"])
        return [_dump(item) for item in found if item is not None]

    def _query(self, request: Any) -> list[Item]:
        """The two kinds of our queries: a sort key that begins with something, or a time that has come."""
        names, values = request["ExpressionAttributeNames"], request["ExpressionAttributeValues"]
        found = [item for item in self._items.values() if item.get(names["#pk"]) == values[":pk"]["S"]]
        match values.get(":sk", {}):
            case {"S": prefix}:
                found = [item for item in found if item[names["#sk"]].startswith(prefix)]
            case {"N": time}:
                found = [item for item in found if item[names["#sk"]] <= int(time)]
        return [_dump(item) for item in found]


def _one(item: Item | None) -> Any:
    return {"Item": _dump(item)} if item is not None else {}


def _dump(item: Item) -> Any:
    return {name: TypeSerializer().serialize(value) for name, value in item.items()}


def _load(item: Any) -> Item:
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


def _handler(stub: AwsStub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # buffered: an answer in two packets waits for the client's acknowledgement

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = stub.answer(self.headers["X-Amz-Target"].rpartition(".")[2], request)
            self._send("application/x-amz-json-1.0", json.dumps(answer).encode())

        def do_GET(self) -> None:
            stub.calls.append("GetObject")
            self._send("application/octet-stream", stub.stored)

        def _send(self, content_type: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("x-amz-crc32", str(zlib.crc32(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    return Handler
