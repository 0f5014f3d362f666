"""A WSGI application on the standard library's server, once per port: it tells what it was given.

usage: wsgi.py port ...
"""

import json
import posixpath
import sys
import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class Handler(WSGIRequestHandler):
    def get_environ(self):
        environ = super().get_environ()
        environ["RAW_TARGET"] = self.path
        return environ

    def log_message(self, *_):
        pass


def application(environ, start_response):
    path = environ["PATH_INFO"]
    told = {
        "port": int(environ["SERVER_PORT"]),
        "target": environ["RAW_TARGET"],
        "paths": [path, posixpath.normpath(path)],
        "fields": {name: value for name, value in environ.items() if name.startswith("HTTP_")},
    }
    body = json.dumps(told).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


servers = [make_server("127.0.0.1", int(port), application, Server, Handler) for port in sys.argv[1:]]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
servers[0].serve_forever()
