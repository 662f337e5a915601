"""Debugs a program as VS Code does, over debugpy's protocol; runs in a dev container.

python debug_client.py: starts a program under debugpy, stops at a line of it, and prints what a
variable holds there. The protocol: microsoft.github.io/debug-adapter-protocol.
"""

import itertools
import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = "answer = 6 * 7\nprint(answer)\n"
ADDRESS = ("127.0.0.1", 5678)


class Debugger:
    """A connection to debugpy."""

    def __init__(self) -> None:
        """Connect, waiting for debugpy to listen."""
        self.numbers = itertools.count(1)
        for _ in range(100):
            try:
                self.stream = socket.create_connection(ADDRESS, timeout=30).makefile("rwb")
                return
            except ConnectionRefusedError:
                time.sleep(0.1)
        raise SystemExit("debugpy does not listen")

    def send(self, command: str, **arguments: object) -> None:
        """Send a request."""
        request = {"seq": next(self.numbers), "type": "request", "command": command, "arguments": arguments}
        data = json.dumps(request).encode()
        self.stream.write(b"Content-Length: %d\r\n\r\n%b" % (len(data), data))
        self.stream.flush()

    def wait(self, name: str) -> dict:
        """Return the body of the next event or response of that name."""
        while True:
            length = int(self.stream.readline().split(b":")[1])
            self.stream.readline()
            message = json.loads(self.stream.read(length))
            if not message.get("success", True):
                raise SystemExit(f"debugpy refuses {message['command']}: {message.get('message')}")
            if name in (message.get("event"), message.get("command")):
                return message.get("body", {})


program = Path(tempfile.mkdtemp()) / "program.py"
program.write_text(PROGRAM)
listen = [sys.executable, "-m", "debugpy", "--listen", "127.0.0.1:5678", "--wait-for-client", str(program)]
child = subprocess.Popen(listen, stdout=subprocess.DEVNULL)
try:
    debugger = Debugger()
    debugger.send("initialize", adapterID="python")
    debugger.send("attach", justMyCode=True)
    debugger.wait("initialized")
    debugger.send("setBreakpoints", source={"path": str(program)}, breakpoints=[{"line": 2}])
    debugger.send("configurationDone")
    thread = debugger.wait("stopped")["threadId"]
    debugger.send("stackTrace", threadId=thread)
    frame = debugger.wait("stackTrace")["stackFrames"][0]["id"]
    debugger.send("evaluate", expression="answer", frameId=frame)
    print(debugger.wait("evaluate")["result"])
finally:
    child.kill()
