"""A server in front of the testbed that misbehaves in one way.

    python3 flaky.py MODE PORT ORIGIN LOG [SINK]

Every request is passed on to http://ORIGIN, its answer back. LOG gets a line for each request: its number for
this path, method, path, and the values of Range and Authorization (`-` when absent). Modes:

    errors    the first two requests for a path get 500 and 503
    down      every request for a blob gets 500
    busy      the first request for a path gets 429 with `Retry-After: 1`
    forever   every request for a blob gets 429 with `Retry-After: 1000000`
    cut       the connection breaks after half of a blob, twice for each blob
    half      the connection breaks after 256 KiB of a blob, every time, and Range is not answered
    wrong     one byte of each blob differs
    longer    each blob is followed by more bytes
    manifest  one byte of each manifest differs
    redirect  blobs are to be fetched at http://SINK
    plain     nothing

Where the variable TLS is set, it speaks TLS with the certificate $TLS.pem and the key $TLS.key.
"""

import collections
import http.client
import http.server
import os
import ssl
import sys
import threading

MODE, PORT, ORIGIN, LOG = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
SINK = sys.argv[5] if len(sys.argv) > 5 else ""
seen = collections.Counter()
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.handle_request()

    def do_GET(self):
        self.handle_request()

    def handle_request(self):
        blob = "/blobs/" in self.path
        manifest = "/manifests/sha256:" in self.path
        with lock:
            seen[self.path] += 1
            count = seen[self.path]
            with open(LOG, "a") as log:
                fields = (count, self.command, self.path, self.headers.get("Range", "-"),
                          self.headers.get("Authorization", "-"))
                print(*fields, file=log)
        if MODE == "errors" and count <= 2:
            return self.answer((500, 503)[count - 1])
        if MODE == "down" and blob:
            return self.answer(500)
        if MODE == "busy" and count == 1:
            return self.answer(429, {"Retry-After": "1"})
        if MODE == "forever" and blob:
            return self.answer(429, {"Retry-After": "1000000"})
        if MODE == "redirect" and blob:
            return self.answer(307, {"Location": f"http://{SINK}{self.path}"})
        self.pass_on(blob, manifest, count)

    def answer(self, status, headers=()):
        body = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"misbehaving on purpose"}]}'
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def pass_on(self, blob, manifest, count):
        origin = http.client.HTTPConnection(ORIGIN)
        origin.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        origin.putheader("Host", ORIGIN)
        for name, value in self.headers.items():  # a name may stand there several times
            if name.lower() != "host" and not (MODE == "half" and name.lower() == "range"):
                origin.putheader(name, value)
        origin.endheaders()
        answer = origin.getresponse()
        body = bytearray(answer.read())
        origin.close()
        if self.command == "GET" and body and (MODE == "wrong" and blob or MODE == "manifest" and manifest):
            body[len(body) // 2] ^= 1
        length = answer.headers.get("Content-Length") if self.command == "HEAD" else str(len(body))
        cut = None
        if self.command == "GET" and blob and len(body) > 1 << 18:
            if MODE == "cut" and count <= 2:
                cut = len(body) // 2
            if MODE == "half":
                cut = 1 << 18
            if MODE == "longer":
                body += b"more"
                length = str(len(body))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True


server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
if "TLS" in os.environ:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["TLS"] + ".pem", os.environ["TLS"] + ".key")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
