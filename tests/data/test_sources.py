"""Files are found where they are, or downloaded once, whole and checked, or not at all."""

import gzip
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lora_lightning.data.sources import RawFile, content_sha256, find_or_download
from lora_lightning.errors import InputError

CONTENT = b"name : A||A is here .\n" * 500
SHA256 = hashlib.sha256(CONTENT).hexdigest()
# What `git hash-object` gives for these bytes.
BLOB_CONTENT, BLOB_ID = b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"


class Handler(BaseHTTPRequestHandler):
    """Serves a good file, a broken one, and nothing else."""

    def do_GET(self):
        self.server.requests.append(self.path)
        bodies = {
            "/data/good.txt": CONTENT,
            "/data/blob.txt": BLOB_CONTENT,
            "/data/broken.txt": CONTENT[:1000],
        }
        body = bodies.get(self.path)
        if body is None:
            self.send_error(404)
            return
        length = len(CONTENT) if self.path == "/data/broken.txt" else len(body)
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    server.url = f"http://127.0.0.1:{server.server_port}/data"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_good_file_is_downloaded_once_with_a_progress_bar(tmp_path, server, capfd):
    file = RawFile("good.txt", SHA256)
    folder = tmp_path / "raw" / "e2e"
    path = find_or_download(file, folder, server.url)
    assert path == folder / "good.txt"
    assert path.read_bytes() == CONTENT
    assert "100%" in capfd.readouterr().err
    assert find_or_download(file, folder, server.url) == path
    assert server.requests == ["/data/good.txt"]
    assert list(folder.iterdir()) == [path]


def test_a_git_blob_id_is_a_checksum_too(tmp_path, server):
    assert find_or_download(RawFile("blob.txt", BLOB_ID), tmp_path, server.url).exists()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (RawFile("good.txt", "0" * 64), f"checksum {SHA256}, expected 0000"),
        (RawFile("blob.txt", "0" * 40), f"checksum {BLOB_ID}, expected 0000"),
        (RawFile("broken.txt", SHA256), r"broken or changed download \(1000 bytes"),
        (RawFile("absent.txt", SHA256), "404"),
    ],
    ids=["wrong SHA-256", "wrong blob id", "broken connection", "404"],
)
def test_a_failed_download_leaves_nothing_and_says_what_to_do(tmp_path, server, file, message):
    with pytest.raises(InputError, match=message) as raised:
        find_or_download(file, tmp_path, server.url)
    assert f"{server.url}/{file.name}" in str(raised.value)
    assert f"place {file.name} in {tmp_path}" in str(raised.value)
    assert "data.dir" in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_cannot_be_reached_is_the_same_error(tmp_path, server):
    closed = "http://127.0.0.1:1/data"
    with pytest.raises(InputError, match=rf"{closed}/good\.txt: cannot be downloaded"):
        find_or_download(RawFile("good.txt", SHA256), tmp_path, closed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["good.txt", "good.txt.gz"])
def test_a_local_file_is_used_as_it_is(tmp_path, server, name):
    content = gzip.compress(b"mine") if name.endswith(".gz") else b"mine"
    (tmp_path / name).write_bytes(content)
    path = find_or_download(RawFile("good.txt", SHA256), tmp_path, server.url)
    assert path == tmp_path / name
    assert path.read_bytes() == content
    assert server.requests == []
    assert content_sha256(path) == hashlib.sha256(b"mine").hexdigest()


def test_without_a_source_a_missing_file_is_an_error_and_no_folder_is_made(tmp_path):
    folder = tmp_path / "mine"
    with pytest.raises(InputError, match=r"mine/good\.txt: no such file.*data\.dir"):
        find_or_download(RawFile("good.txt", SHA256), folder, None)
    assert not folder.exists()
