"""Google's XML interface in front of gcp-storage-emulator, which has little of it.

obstore speaks Google's XML interface. The emulator (2026.7.19) implements the JSON one, and of XML only PUT and GET of one
object: without the ETag and Last-Modified headers that obstore insists on, without listing and deletion (501), without
`x-goog-if-generation-match` (it knows no precondition in either interface and overwrites), without 416 for a range past
the end, and an empty body ends the connection. This front keeps nothing: it asks the emulator for the objects, and adds
those headers, answers and the precondition, one change at a time. So the emulator tests what we send, what we
make of the answers and how objects come back; that Google itself decides a race is Google's word, not tested here.

    python -m tests.helpers.gcs_front PORT EMULATOR_PORT
"""

import email.utils
import json
import sys
import threading
from datetime import datetime
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

Answer = tuple[int, bytes, dict[str, str]]


PAGE = 100


class Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body is sent behind its headers, and would wait for these to be acknowledged
    emulator: ClassVar[int]
    changes: ClassVar[threading.Lock] = threading.Lock()

    def do_GET(self) -> None:
        bucket, name, query = self.target()
        self.answer(self.read(bucket, name) if name else self.listing(bucket, query))

    def do_PUT(self) -> None:
        bucket, name, _ = self.target()
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.changes:
            taken = self.metadata(bucket, name) is not None
            if taken and self.headers.get("x-goog-if-generation-match") == "0":
                self.answer(error(412, "PreconditionFailed"))
                return
            status = self.store(bucket, name, data)
            stored = self.metadata(bucket, name) or {}
        headers = {"ETag": f'"{stored.get("etag")}"', "x-goog-generation": str(stored.get("generation"))}
        self.answer((200, b"", headers) if status == 200 else error(404, "NoSuchBucket"))

    def do_DELETE(self) -> None:
        bucket, name, _ = self.target()
        with self.changes:
            status, _body = self.ask("DELETE", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}")
        self.answer((204, b"", {}) if status < 300 else error(404, "NoSuchKey"))

    def read(self, bucket: str, name: str) -> Answer:
        found = self.metadata(bucket, name)
        if found is None:
            return error(404, "NoSuchKey" if self.ask("GET", f"/storage/v1/b/{bucket}")[0] == 200 else "NoSuchBucket")
        size = int(str(found["size"]))
        changed = datetime.fromisoformat(str(found["updated"]))
        headers = {"ETag": f'"{found["etag"]}"', "Last-Modified": email.utils.format_datetime(changed, usegmt=True)}
        wanted = self.headers.get("Range")
        if wanted is None:
            return 200, self.ask("GET", f"/{bucket}/{quote(name)}")[1] if size else b"", headers
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        if int(first) >= size:
            return error(416, "InvalidRange")
        end = min(int(last or size), size - 1)
        return (
            206,
            self.ask("GET", f"/{bucket}/{quote(name)}", headers={"Range": f"bytes={first}-{end}"})[1],
            {**headers, "Content-Range": f"bytes {first}-{end}/{size}"},
        )

    def listing(self, bucket: str, query: dict[str, list[str]]) -> Answer:
        prefix, after = query.get("prefix", [""])[0], query.get("continuation-token", [""])[0]
        status, body = self.ask("GET", f"/storage/v1/b/{bucket}/o?prefix={quote(prefix, safe='')}")
        if status != 200:
            return error(404, "NoSuchBucket")
        found = sorted(json.loads(body)["items"], key=lambda item: str(item["name"]))
        found = [item for item in found if item["name"] > after]
        page, more = found[:PAGE], len(found) > PAGE
        contents = "".join(
            f"<Contents><Key>{escape(item['name'])}</Key><LastModified>{item['updated']}</LastModified>"
            f'<ETag>"{item["etag"]}"</ETag><Size>{item["size"]}</Size></Contents>'
            for item in page
        )
        token = f"<NextContinuationToken>{escape(page[-1]['name'])}</NextContinuationToken>" if more else ""
        xml = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
        return 200, xml.encode(), {"Content-Type": "application/xml"}

    # the emulator

    def metadata(self, bucket: str, name: str) -> dict[str, object] | None:
        status, body = self.ask("GET", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}")
        found: dict[str, object] | None = json.loads(body) if status == 200 else None
        return found

    def store(self, bucket: str, name: str, data: bytes) -> int:
        head = f'--part\r\nContent-Type: application/json\r\n\r\n{{"name": {json.dumps(name)}}}\r\n'
        if data:
            return self.ask("PUT", f"/{bucket}/{quote(name)}", data)[0]
        body = f"{head}--part\r\nContent-Type: application/octet-stream\r\n\r\n\r\n--part--\r\n".encode()
        headers = {"Content-Type": 'multipart/related; boundary="part"'}
        return self.ask("POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=multipart", body, headers)[0]

    def ask(
        self, method: str, path: str, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.emulator)
        try:
            connection.request(method, path, data, headers or {})
            response: HTTPResponse = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    # the client

    def target(self) -> tuple[str, str, dict[str, list[str]]]:
        url = urlsplit(self.path)
        bucket, _, name = unquote(url.path).lstrip("/").partition("/")
        return bucket, name, parse_qs(url.query)

    def answer(self, answer: Answer) -> None:
        status, body, headers = answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def error(status: int, code: str) -> Answer:
    return status, f"<Error><Code>{code}</Code></Error>".encode(), {"Content-Type": "application/xml"}


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


if __name__ == "__main__":
    Front.emulator = int(sys.argv[2])
    Server(("127.0.0.1", int(sys.argv[1])), Front).serve_forever()
