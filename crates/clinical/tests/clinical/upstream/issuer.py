"""An OpenID provider that says what stands in its files: `/a/b` is in `a_b`. It checks nothing; how a real one answers is tested
elsewhere. What it is asked it writes into `calls`; where there is `slow`, it answers after so many seconds."""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from tls_server import Handler, serve


class Issuer(Handler):
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


serve(Issuer)
