"""Measures of single features beside other servers: CPU of the server per request, memory of
hashes, memory of idle connections. Called by bench.py, whose tools it is given as `b`."""
import json, os, resource, selectors, socket, subprocess, sys, tempfile, threading, time

FIELD_COUNTS = (10, 100)


def each(b, measure, r, params, ss, work):
    """one cell: the same work on each server, one after the other"""
    with b.machine():
        for s in ss:
            b.emit(measure, s.name, r, params, work(s))


def those_that_know(b, ss, command):
    return [s for s in ss if b.knows(s, command)]


def pipe(s, requests, encode):
    """sends requests in pieces, reads all replies"""
    for at in range(0, len(requests), 500):
        piece = requests[at:at + 500]
        s.c.s.sendall(b"".join(encode(*r) for r in piece))
        for _ in piece:
            s.c.read()


def hashes(b):
    """HSET and HGET of one field of hashes of ten, HGETALL of 10 and 100 fields; P=16"""
    ss = those_that_know(b, [b.Server(s, b.SERVER_CPU) for s in b.servers()], "hset")
    keys = 100_000
    for s in ss:
        words = [["HSET", "h:%012d" % i] + [w for f in range(10) for w in ("field:%d" % f, "value:%08d" % f)]
                 for i in range(keys)]
        pipe(s, words, b.encode)
        for n in FIELD_COUNTS:
            s.c("HSET", "all:%d" % n, *[w for f in range(n) for w in ("field:%d" % f, "value:%08d" % f)])
    wide = ["-r", str(keys)]
    cells = [("HSET", 2_000_000, [*wide, "HSET", "h:__rand_int__", "field:5", "value:00000009"]),
             ("HGET", 2_000_000, [*wide, "HGET", "h:__rand_int__", "field:5"]),
             ("HGETALL 10", 600_000, ["HGETALL", "all:10"]), ("HGETALL 100", 100_000, ["HGETALL", "all:100"])]
    for r in range(1, b.ROUNDS + 1):
        for name, count, words in cells:
            each(b, "hashes", r, {"cmd": name, "P": 16}, ss, lambda s: b.hammer(s, b.n_of(count), 16, words))


def hash_memory(b):
    """bytes of a hash of a million fields of 16+16 bytes, and of 200,000 hashes of ten"""
    for spec in b.servers():
        for shape in ("1 hash of 1M fields", "200,000 hashes of 10"):
            s = b.Server(spec)
            if not b.knows(s, "hset"):
                continue
            used, rss = int(s.info("memory")["used_memory"]), s.status_mb("VmRSS")
            if shape.startswith("1 "):
                fields = b.n_of(1_000_000)
                words = [["HSET", "big"] + [w for f in range(at, at + 100) for w in ("field:%010d" % f, "value:%010d" % f)]
                         for at in range(0, fields, 100)]
            else:
                n = b.n_of(200_000)
                fields = n * 10
                words = [["HSET", "h:%012d" % i] + [w for f in range(10) for w in ("field:%d" % f, "v%07d" % ((i * 10 + f) % 10**7))]
                         for i in range(n)]
            pipe(s, words, b.encode)
            time.sleep(1)
            b.emit("hash_memory", s.name, 1, {"shape": shape},
                   {"used_per_field": round((int(s.info("memory")["used_memory"]) - used) / fields, 1),
                    "rss_per_field": round((s.status_mb("VmRSS") - rss) * 2**20 / fields, 1)})
            s.stop()


class Drain(threading.Thread):
    """subscribers of one channel, whose messages are read and thrown away"""
    def __init__(self, s, count):
        super().__init__(daemon=True)
        self.sel, self.bytes, self.conns, self.done = selectors.DefaultSelector(), 0, [], False
        for _ in range(count):
            c = socket.create_connection(("127.0.0.1", s.port))
            c.sendall(b"SUBSCRIBE news\r\n")
            c.recv(1024)
            c.setblocking(False)
            self.conns.append(c)
            self.sel.register(c, selectors.EVENT_READ)

    def run(self):
        while not self.done:
            for key, _ in self.sel.select(0.1):
                self.bytes += len(key.fileobj.recv(1 << 18))

    def stop(self):
        self.done = True
        self.join()
        for c in self.conns:
            c.close()


def publish(b):
    """PUBLISH of 32 bytes to 100 subscribers, P=1 and 16; CPU a message delivered is a hundredth"""
    ss = those_that_know(b, [b.Server(s, b.SERVER_CPU) for s in b.servers()], "publish")

    def work(s, pipeline, count):
        drain = Drain(s, 100)
        drain.start()
        try:
            return b.hammer(s, count, pipeline, ["PUBLISH", "news", "x" * 32], clients=4)
        finally:
            drain.stop()
    for r in range(1, b.ROUNDS + 1):
        for pipeline, count in ((1, 40_000), (16, 60_000)):
            each(b, "publish", r, {"subscribers": 100, "P": pipeline}, ss, lambda s: work(s, pipeline, b.n_of(count)))


def tracking(b):
    """GET with client tracking on, P=16"""
    ss = [b.Server(s, b.SERVER_CPU) for s in b.servers()]
    for s in ss:
        b.fill(s, b.n_of(1_000_000), 64)
    for r in range(1, b.ROUNDS + 1):
        each(b, "tracking", r, {"cmd": "GET", "P": 16}, ss,
             lambda s: b.hammer(s, b.n_of(1_000_000), 16, ["--enable-tracking", "-t", "get", "-d", "64"]))


def eviction(b):
    """SET of new keys at the limit of memory, P=16"""
    for policy in ("allkeys-lru", "allkeys-lfu"):
        ss = [b.Server(s, b.SERVER_CPU) for s in b.servers()]
        for s in ss:
            b.fill(s, b.n_of(1_000_000), 64)
            s.config("maxmemory-policy", policy)
            s.config("maxmemory", int(s.info("memory")["used_memory"]))
        for r in range(1, b.ROUNDS + 1):
            each(b, "eviction", r, {"cmd": "SET", "policy": policy, "P": 16}, ss,
                 lambda s: b.hammer(s, b.n_of(1_000_000), 16, ["-r", "100000000", "SET", "new:__rand_int__", "x" * 64]))
        for s in ss:
            s.stop()


def connections(b):
    """a connection for each PING; and what 10,000 idle ones take"""
    for r in range(1, b.ROUNDS + 1):
        ss = [b.Server(s, b.SERVER_CPU) for s in b.servers()]
        each(b, "connections", r, {"connection": "a PING each"}, ss,
             lambda s: b.hammer(s, b.n_of(60_000), 1, ["-k", "0", "PING"]))
        for s in ss:
            s.stop()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = b.n_of(10_000)
    for spec in b.servers():
        s = b.Server(spec, config=[("maxclients", "12000")])
        before = s.status_mb("VmRSS")
        idle = []
        for _ in range(count):
            c = socket.create_connection(("127.0.0.1", s.port))
            c.sendall(b"PING\r\n")
            c.recv(64)
            idle.append(c)
        time.sleep(2)
        grown = s.status_mb("VmRSS") - before
        b.emit("connections", s.name, 1, {"connection": "idle, %d of them" % count},
               {"rss_per_connection": round(grown * 2**20 / count)})
        for c in idle:
            c.close()
        s.stop()


def certificates(folder):
    """a CA and a certificate for 127.0.0.1"""
    def run(*words):
        subprocess.run(["openssl", *words], check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=ca", "-days", "10")
    run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    with open(os.path.join(folder, "ext"), "w") as f:
        f.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", "server.crt",
        "-days", "10", "-extfile", "ext")


def tls(b):
    """GET over TLS, P=1 and 16"""
    with tempfile.TemporaryDirectory(prefix="bench-tls-") as folder:
        certificates(folder)
        at = lambda name: os.path.join(folder, name)
        ss = []
        for name, path, args in b.servers():
            port = b.free_port()
            s = b.Server((name, path, [*args, "--tls-port", str(port), "--tls-cert-file", at("server.crt"), "--tls-key-file",
                                       at("server.key"), "--tls-ca-cert-file", at("ca.crt"), "--tls-auth-clients", "no"]), b.SERVER_CPU)
            s.plain, s.tls = s.port, port
            b.fill(s, b.n_of(1_000_000), 64)
            ss.append(s)

        def work(s, pipeline, count):
            s.port = s.tls
            try:
                return b.hammer(s, count, pipeline, ["--tls", "--cacert", at("ca.crt"), "-t", "get", "-d", "64"])
            finally:
                s.port = s.plain
        for r in range(1, b.ROUNDS + 1):
            for pipeline, count in ((1, 200_000), (16, 1_000_000)):
                each(b, "tls", r, {"cmd": "GET", "P": pipeline}, ss, lambda s: work(s, pipeline, b.n_of(count)))


MEASURES = {"hashes": hashes, "hash_memory": hash_memory, "publish": publish, "tracking": tracking,
            "eviction": eviction, "connections": connections, "tls": tls}
