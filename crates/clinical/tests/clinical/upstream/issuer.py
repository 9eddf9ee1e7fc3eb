"""An OpenID provider that says what stands in its files: `/a/b` is in `a_b`. It checks nothing; how a real one answers is tested
elsewhere. What it is asked it writes into `calls`; where there is `slow`, it answers after so many seconds."""

import http.server
import os
import ssl
import sys
import time


class Issuer(http.server.BaseHTTPRequestHandler):
    def told(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        with open("calls", "a") as calls:
            calls.write(self.path + "\n")
        if os.path.exists("slow"):
            with open("slow") as slow:
                time.sleep(float(slow.read()))
        try:
            with open(self.path.strip("/").replace("/", "_"), "rb") as file:
                body = file.read()
            self.send_response(200)
        except FileNotFoundError:
            body = b"{}"
            self.send_response(404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = told
    do_POST = told

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server.pem", "server.key")
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Issuer)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
