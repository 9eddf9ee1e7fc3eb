"""A server with TLS on the port that is the first argument, by `server.pem` and `server.key` of the folder it is started in."""

import http.server
import ssl
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(handler):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("server.pem", "server.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
