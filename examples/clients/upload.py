"""Upload a file and ask about it: Python's standard library alone.

    DOKKAI_URL=http://127.0.0.1:8080 DOKKAI_KEY=secret python3 examples/clients/upload.py manual.pdf "How long …?"

DOKKAI_KEY only where the server asks for one.
"""

import json
import os
import pathlib
import sys
import urllib.error
import urllib.request
import uuid

URL = os.environ.get("DOKKAI_URL", "http://127.0.0.1:8080")
KEY = os.environ.get("DOKKAI_KEY")


def post(path, body, media_type):
    request = urllib.request.Request(URL + path, body, {"Content-Type": media_type})
    if KEY:
        request.add_header("Authorization", f"Bearer {KEY}")
    try:
        with urllib.request.urlopen(request) as response:
            return json.load(response)
    except urllib.error.HTTPError as failure:
        error = json.load(failure)["error"]  # every failure has this shape
        sys.exit(f"{error['message']} ({error['code']})")


def upload(path):
    """Sends a file as a form, and waits until it is searchable."""
    boundary = uuid.uuid4().hex
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    reply = post("/api/documents?wait=true", body, f"multipart/form-data; boundary={boundary}")
    return reply["documents"][0]


def ask(question):
    return post("/api/questions", json.dumps({"question": question}).encode(), "application/json")


document = upload(pathlib.Path(sys.argv[1]))
print(document["title"], document["status"])
record = ask(sys.argv[2])
print(record["answer"])
for citation in record["citations"]:
    print(f"[{citation['marker']}] {citation['title']}: {citation['quote']}")
