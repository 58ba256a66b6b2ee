"""A server on this machine in the place of the address of the zoo."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Serves files from memory.

    :param headers: of every answer.
    :param cut: how many more answers to break off in the middle.
    :param barrier: what answers wait for, once they have been asked for."""

    def __init__(self, files: dict[str, bytes], headers: dict[str, str]) -> None:
        self.files, self.headers, self.cut = files, headers, 0
        self.barrier: threading.Barrier | None = None
        self.asked: Counter[str] = Counter()
        self.address = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        name = handler.path.rpartition("/")[2]
        self.asked[name] += 1
        if self.barrier is not None:
            self.barrier.wait(30)
        if name not in self.files:
            handler.send_error(404)
            return
        content, half = self.files[name], len(self.files[name]) // 2
        handler.send_response(200)
        for header in {"Content-Length": str(len(content)), **self.headers}.items():
            handler.send_header(*header)
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(content[:half] if self.cut else content)
        self.cut = max(0, self.cut - 1)


@contextmanager
def serving(files: dict[str, bytes], headers: dict[str, str] | None = None) -> Iterator[Server]:
    """A server of those files, as long as the block runs."""
    server = Server(files, headers or {})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        server.address = f"http://127.0.0.1:{httpd.server_port}/zoo"
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            httpd.shutdown()
            thread.join()
