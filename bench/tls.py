"""TLS in front of a plain HTTP server, under a certificate authority of our own."""

import contextlib
import socket
import ssl
import threading
from pathlib import Path

import trustme


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        # The other side closed the connection.
        pass
    finally:
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Tls:
    """Accepts TLS connections and forwards them to a local port."""

    def __init__(self, port: int, folder: Path):
        authority = trustme.CA()
        self.roots = folder / "authority.pem"
        authority.cert_pem.write_to_path(self.roots)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.context)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, args=(port,), daemon=True).start()

    def serve(self, port: int) -> None:
        while True:
            plain, _ = self.listener.accept()
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.take, args=(plain, port), daemon=True).start()

    def take(self, plain: socket.socket, port: int) -> None:
        try:
            client = self.context.wrap_socket(plain, server_side=True)
        except OSError:
            return
        server = socket.create_connection(("127.0.0.1", port))
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=pump, args=(client, server), daemon=True).start()
        pump(server, client)
