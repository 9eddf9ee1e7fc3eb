"""A server that is told something: it notes each request as a line of JSON, and answers with what stands in `status`; where `slow` is in
the path, after as many seconds as stand in `slow`. Connections stay open, but where `closes` is in the path."""

import json
import time

from tls_server import Handler, serve


class Hook(Handler):
    protocol_version = "HTTP/1.1"

    def told(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        with open("told", "a") as file:
            headers = {name.lower(): value for name, value in self.headers.items()}
            file.write(json.dumps({"method": self.command, "path": self.path, "body": body, "headers": headers, "from": self.client_address[1]}) + "\n")
        if "slow" in self.path:
            with open("slow") as file:
                time.sleep(float(file.read()))
        with open("status") as file:
            self.send_response(int(file.read()))
        self.send_header("content-length", "0")
        self.end_headers()
        self.close_connection = self.close_connection or "closes" in self.path

    do_POST = told
    do_PUT = told


serve(Hook)
