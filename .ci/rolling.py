"""Three servers are restarted one after the other under eight clients: BIN, DIR.

Twice: with ports of their own, and on sockets that stay open, as those of a
service manager do. It prints for how long each client's progress stood still,
and when it was back at the restarted server; over 2 s, a client that fails, or
a wrong byte ends it with 1.
"""

import filecmp
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

CLIENTS, MOST, RATE, SIZE = 8, 2.0, 3 << 20, 64 << 20
BIN, DIR = sys.argv[1], sys.argv[2]
DATA = os.path.join(DIR, "rolling.data")


def bound():
    """Returns a UDP and a TCP socket at one port of this machine."""
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tcp.bind(udp.getsockname())
        except OSError:
            continue
        tcp.listen(128)
        return udp, tcp


class Server:
    def __init__(self, number, kept):
        self.udp, self.tcp = bound()
        self.port = self.udp.getsockname()[1]
        self.kept = kept
        if not kept:
            self.udp.close()
            self.tcp.close()
        home = os.path.join(DIR, "server%d" % number)
        self.env = dict(os.environ, XDG_STATE_HOME=home, XDG_CACHE_HOME=home)

    def start(self):
        command = [BIN, "serve", "-f", DATA, "-i", "0"]
        fds = ()
        if self.kept:
            # the sockets are 3 and 4 of who has the number that the variable names
            shell = 'exec 3<&%d 4<&%d; LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=udp:tcp exec "$@"'
            fds = (self.udp.fileno(), self.tcp.fileno())
            command = ["bash", "-c", shell % fds, "bash"] + command
        else:
            command += ["--bind", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(command, env=self.env, pass_fds=fds, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "anyone who can reach" in line:
                break
        else:
            raise SystemExit("a server does not start")
        self.reader = threading.Thread(target=self.process.stderr.read)
        self.reader.start()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(20) != 0:
            raise SystemExit("a server ended with %d" % self.process.returncode)
        self.reader.join()


class Client:
    def __init__(self, number, servers):
        self.path = os.path.join(DIR, "client%d" % number)
        os.makedirs(self.path)
        self.rises, self.backs = [], []  # (time, bytes), (time, address)
        command = [BIN, "get", "--json", "-i", "0.05", "--limit", str(RATE), "-o", self.path]
        command += ["127.0.0.1:%d" % s.port for s in servers]
        env = dict(os.environ, XDG_STATE_HOME=self.path + ".state")
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            e, now = json.loads(line), time.monotonic()
            if e["event"] == "progress" and (not self.rises or e["bytes"] > self.rises[-1][1]):
                self.rises.append((now, e["bytes"]))
            elif e["event"] == "server_back":
                self.backs.append((now, e["address"]))

    def held(self, since, until):
        """Returns the longest time between two rises that touches a span."""
        times = [t for t, _ in self.rises]
        return max((b - a for a, b in zip(times, times[1:]) if b > since and a < until), default=0)

    def back(self, since, address):
        """Returns the time from since until the server serves again; None: never."""
        return next((t - since for t, a in self.backs if t > since and a == address), None)


def rolling(kept):
    servers = [Server(i, kept) for i in range(3)]
    for s in servers:
        s.start()
    clients = [Client(i, servers) for i in range(CLIENTS)]
    time.sleep(2)
    spans, ok = [], True
    for s in servers:
        began = time.monotonic()
        s.stop()
        stopped = time.monotonic()
        s.start()
        ready = time.monotonic()
        time.sleep(1.5)
        spans.append((s, began, stopped, ready, time.monotonic()))
    ends = time.monotonic()
    for c in clients:
        if c.process.wait(120) != 0:
            print("a client ended with %d" % c.process.returncode)
            ok = False
        c.reader.join()
        if c.rises[-1][0] < ends and c.rises[-1][1] == SIZE:
            print("a client had all before every server was restarted")
            ok = False
        if not filecmp.cmp(DATA, os.path.join(c.path, "rolling.data"), shallow=False):
            print("a client has other bytes")
            ok = False
        subprocess.run(["rm", "-rf", c.path, c.path + ".state"], check=True)
    for s in servers:
        s.stop()
    print("== %s" % ("sockets that stay open" if kept else "ports of their own"))
    print("without a restart, longest: %s s" % longest(c.held(c.rises[0][0], spans[0][1]) for c in clients))
    for i, (s, began, stopped, ready, until) in enumerate(spans):
        held = [c.held(began, until) for c in clients]
        back = [c.back(stopped, "127.0.0.1:%d" % s.port) for c in clients]
        print("server %d: stopped in %.2f s, ready %.2f s later; progress stood still for at most %s s" % (
            i + 1, stopped - began, ready - stopped, longest(held)))
        print("          back after its end: %s s" % " ".join("-" if b is None else "%.2f" % b for b in back))
        ok = ok and max(held) <= MOST
    return ok


def longest(spans):
    return " ".join("%.2f" % s for s in spans)


with open(DATA, "wb") as out:
    out.write(os.urandom(SIZE))
good = [rolling(False), rolling(True)]
sys.exit(0 if all(good) else 1)
