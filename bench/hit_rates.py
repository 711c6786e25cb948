#!/usr/bin/env python3
"""Hit rates of eviction policies on a Zipfian trace, beside other servers.

    SERVER_A=/usr/bin/redis-server NAME_A=redis SERVER_B='path/to/tandem server' NAME_B=tandem \
        python3 hit_rates.py [--keys N] [--room N] [--requests N] [--seconds S] [--shift]

Every server may hold the same number of keys: it is filled with `room` of them, and what it then
uses becomes its maxmemory. The trace reads keys by a Zipfian law and sets what it misses; half of
it warms up, the hits of the other half are counted. It is spread over `seconds`, because access
clocks count seconds. With --shift the popular keys change half-way, which LFU has to unlearn.
The seed is fixed: all servers get the same trace.
"""

import argparse
import bisect
import itertools
import os
import random
import shlex
import socket
import subprocess
import sys
import tempfile
import time

POLICIES = ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-ttl"]
BATCH = 50
VALUE = b"x" * 100


def request(*words):
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Client:
    def __init__(self, port):
        deadline = time.time() + 10
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port))
                break
            except OSError:
                if time.time() > deadline:
                    raise
                time.sleep(0.05)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.socket.makefile("rb")

    def reply(self):
        line = self.replies.readline()
        if line[:1] == b"$":
            length = int(line[1:])
            return None if length < 0 else self.replies.read(length + 2)[:-2]
        if line[:1] == b"-":
            raise RuntimeError(line.decode().strip())
        return line.strip()

    def call(self, *words):
        return self.batch([request(*words)])[0]

    def batch(self, requests):
        self.socket.sendall(b"".join(requests))
        return [self.reply() for _ in requests]

    def figure(self, name):
        info = self.call("INFO").decode()
        return int(next(l for l in info.splitlines() if l.startswith(name + ":")).split(":")[1])


def set_request(key, policy, chance):
    # volatile-ttl knows nothing of use: an expiry at random makes it a random policy.
    if policy == "volatile-ttl":
        return request("SET", key, VALUE, "EX", chance.randrange(10_000, 20_000))
    if policy.startswith("volatile"):
        return request("SET", key, VALUE, "EX", 100_000)
    return request("SET", key, VALUE)


def zipf(keys, count, exponent, seed):
    cumulative = list(itertools.accumulate(1 / rank**exponent for rank in range(1, keys + 1)))
    chance = random.Random(seed)
    return [bisect.bisect(cumulative, chance.random() * cumulative[-1]) for _ in range(count)]


def run(command, policy, trace, options):
    port = 20_000 + os.getpid() % 10_000
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            shlex.split(command)
            + ["--port", str(port), "--save", "", "--dir", folder, "--maxmemory-policy", policy],
            stdout=subprocess.DEVNULL,
        )
        try:
            client = Client(port)
            chance = random.Random(1)
            for at in range(0, options.room, BATCH):
                client.batch(
                    [set_request(f"fill:{n}", policy, chance) for n in range(at, at + BATCH)]
                )
            client.call("CONFIG", "SET", "maxmemory", client.figure("used_memory"))
            hits = asked = 0
            began = time.time()
            for at in range(0, len(trace), BATCH):
                part = [f"key:{n}" for n in trace[at : at + BATCH]]
                found = client.batch([request("GET", key) for key in part])
                missing = [key for key, value in zip(part, found) if value is None]
                if missing:
                    client.batch([set_request(key, policy, chance) for key in missing])
                if at >= len(trace) // 2:
                    asked += len(part)
                    hits += len(part) - len(missing)
                ahead = began + options.seconds * at / len(trace) - time.time()
                if ahead > 0:
                    time.sleep(ahead)
            held = client.call("DBSIZE").decode()
            return hits / asked, int(held.lstrip(":")), client.figure("evicted_keys")
        finally:
            server.kill()
            server.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--room", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=600_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--exponent", type=float, default=0.99)
    parser.add_argument("--shift", action="store_true")
    parser.add_argument("--policies", default=",".join(POLICIES))
    options = parser.parse_args()
    trace = zipf(options.keys, options.requests, options.exponent, seed=7)
    if options.shift:
        half = len(trace) // 2
        trace[half:] = [(n + options.keys // 2) % options.keys for n in trace[half:]]
    servers = sorted(name[len("SERVER_") :] for name in os.environ if name.startswith("SERVER_"))
    print("| policy | server | hits | keys held | evicted |\n|---|---|---|---|---|")
    for policy in options.policies.split(","):
        for server in servers:
            rate, held, evicted = run(os.environ["SERVER_" + server], policy, trace, options)
            name = os.environ.get("NAME_" + server, server)
            print(f"| {policy} | {name} | {100 * rate:.2f} % | {held} | {evicted} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
