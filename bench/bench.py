#!/usr/bin/env python3
"""Side-by-side measurements of Redis-compatible servers on one machine.

usage: bench.py MEASURE [> results.jsonl]     (see README.md)
       bench.py report < results.jsonl

Every figure is one JSON line on stdout; progress goes to stderr.
"""
import contextlib, fcntl, json, os, re, shlex, shutil, signal, socket, statistics
import subprocess, sys, tempfile, threading, time

import features, goals

HERE = os.path.dirname(os.path.abspath(__file__))
E = os.environ.get
BENCH = E("BENCH", "redis-benchmark")
ROUNDS = int(E("ROUNDS", "3"))
PORT = int(E("PORT", "17000"))
SERVER_CPU, CLIENT_CPU = E("SERVER_CPU", "0"), E("CLIENT_CPU", "1")
SCALE = float(E("SCALE", "1"))          # shrinks request and key counts for a smoke run
KEYS = int(int(E("KEYS", "5000000")) * SCALE)
TICK = os.sysconf("SC_CLK_TCK")


def n_of(count):
    return max(1000, int(count * SCALE))


def log(*words):
    print(time.strftime("%H:%M:%S"), *words, file=sys.stderr, flush=True)


def emit(measure, server, round_no, params, values):
    print(json.dumps({"measure": measure, "server": server, "round": round_no,
                      "params": params, "values": values}), flush=True)
    log(measure, server, round_no, params, values)


def servers():
    """SERVER_A, SERVER_B, ... with optional NAME_A, ARGS_A, in letter order."""
    found = []
    for var in sorted(os.environ):
        m = re.fullmatch(r"SERVER_([A-Z])", var)
        if m and os.environ[var]:
            x = m.group(1)
            found.append((E("NAME_" + x, x), os.environ[var], shlex.split(E("ARGS_" + x, ""))))
    only = E("ONLY")
    if only:
        found = [f for f in found if f[0] in only.split(",")]
    if not found:
        sys.exit("set SERVER_A (and SERVER_B, ...) to server binaries")
    return found


@contextlib.contextmanager
def machine():
    """Exclusive use of the machine for one batch, when LOCK names a lock file."""
    if not E("LOCK"):
        yield
        return
    with open(E("LOCK"), "a") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield
    time.sleep(0.2)


# ---- a small RESP client -------------------------------------------------

class Reply(Exception):
    pass


class Conn:
    def __init__(self, port, timeout=120):
        self.s = socket.create_connection(("127.0.0.1", port), timeout)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.f = self.s.makefile("rb")

    def close(self):
        self.f.close()
        self.s.close()

    def send(self, *args):
        self.s.sendall(encode(*args))

    def read(self):
        line = self.f.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return Reply(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            n = int(rest)
            if n < 0:
                return None
            data = self.f.read(n + 2)
            if len(data) < n + 2:
                raise ConnectionError("closed")
            return data[:-2].decode("latin1")
        if kind == b"*":
            return [self.read() for _ in range(int(rest))] if int(rest) >= 0 else None
        raise ConnectionError("bad reply %r" % line)

    def __call__(self, *args):
        self.send(*args)
        r = self.read()
        if isinstance(r, Reply):
            raise r
        return r

    def info(self, section=None):
        text = self("INFO", section) if section else self("INFO")
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def encode(*args):
    parts = [b"*%d\r\n" % len(args)]
    for a in args:
        a = a if isinstance(a, bytes) else str(a).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(a), a))
    return b"".join(parts)


# ---- processes -----------------------------------------------------------

LIVE = []


def free_port():
    global PORT
    while True:
        PORT += 1
        with socket.socket() as s:
            with contextlib.suppress(OSError):
                s.bind(("127.0.0.1", PORT))
                return PORT


class Server:
    def __init__(self, spec, cpu=None, config=(), where=None, wait=True, extra=()):
        self.name, path, args = spec
        self.path = path
        self.dir = where or tempfile.mkdtemp(prefix="bench-")
        self.own_dir = where is None
        self.port = free_port()
        pin = ["taskset", "-c", cpu] if cpu else []
        self.started = time.monotonic()
        self.p = subprocess.Popen(
            pin + [path, *extra, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.dir,
                   "--save", "", "--logfile", os.path.join(self.dir, "log"), *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self.p.pid
        LIVE.append(self)
        self.c = None
        if wait:
            self.connect()
            for k, v in config:
                self.config(k, v)

    def connect(self):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self.p.poll() is not None:
                raise RuntimeError("%s exited %s" % (self.path, self.p.returncode))
            try:
                self.c = Conn(self.port)
                return
            except OSError:
                time.sleep(0.002)
        raise RuntimeError("no answer from " + self.path)

    def config(self, key, value):
        try:
            self.c("CONFIG", "SET", key, value)
        except Reply as e:
            log(self.name, "does not take", key, value, "-", e)

    def info(self, section=None):
        return self.c.info(section)

    def cpu(self):
        """user and system CPU seconds of the whole process so far"""
        f = open("/proc/%d/stat" % self.pid).read().rsplit(")", 1)[1].split()
        return int(f[11]) / TICK, int(f[12]) / TICK

    def status_mb(self, field):
        return int(re.search(field + r":\s+(\d+) kB", open("/proc/%d/status" % self.pid).read())[1]) / 1024

    def pss_mb(self):
        """Pss of the process and of the children it has now"""
        total, todo = 0, [self.pid]
        while todo:
            pid = todo.pop()
            with contextlib.suppress(OSError, TypeError):
                total += int(re.search(r"^Pss:\s+(\d+)", open("/proc/%d/smaps_rollup" % pid).read(), re.M)[1])
                for t in os.listdir("/proc/%d/task" % pid):
                    todo += map(int, open("/proc/%d/task/%s/children" % (pid, t)).read().split())
        return total / 1024

    def stop(self):
        if self.c:
            self.c.close()
            self.c = None
        if self.p.poll() is None:
            kids = []
            with contextlib.suppress(OSError):
                kids = open("/proc/%d/task/%d/children" % (self.pid, self.pid)).read().split()
            self.p.kill()
            for k in kids:
                with contextlib.suppress(OSError):
                    os.kill(int(k), signal.SIGKILL)
        self.p.wait()
        if self in LIVE:
            LIVE.remove(self)
        if self.own_dir:
            shutil.rmtree(self.dir, ignore_errors=True)


class Tool:
    """a child process that prints one JSON line at its end"""
    def __init__(self, *args, cpu=None, realtime=False):
        def pre():
            if realtime:
                with contextlib.suppress(OSError):
                    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        cmd = (["taskset", "-c", cpu] if cpu else []) + [load_tool(), *map(str, args)]
        self.p = subprocess.Popen(cmd, stdout=subprocess.PIPE, text=True, preexec_fn=pre)
        LIVE.append(self)

    def wait(self):
        out = self.p.communicate()[0]
        if self in LIVE:
            LIVE.remove(self)
        return json.loads(out) if out.strip() else {"failed": self.p.returncode}

    def stop(self):
        if self.p.poll() is None:
            self.p.terminate()
        return self.wait()


_tool = None


def load_tool():
    global _tool
    if not _tool:
        _tool = os.path.join(tempfile.mkdtemp(prefix="bench-"), "load")
        subprocess.run(["cc", "-O2", "-o", _tool, os.path.join(HERE, "load.c")], check=True)
    return _tool


def cleanup():
    for x in list(LIVE):
        with contextlib.suppress(Exception):
            x.stop()
    if _tool:
        shutil.rmtree(os.path.dirname(_tool), ignore_errors=True)


def fill(s, n, vbytes, fields=0, fbytes=0):
    r = Tool("fill", s.port, n, vbytes, *([fields, fbytes] if fields else [])).wait()
    if r.get("errors", 1):
        raise RuntimeError("fill: %s" % r)
    return r


def hammer(s, count, pipeline, args, cpu=CLIENT_CPU, clients=50):
    """one run of the load generator: throughput, latency, CPU of both sides"""
    cmd = (["taskset", "-c", cpu] if cpu else []) + [
        BENCH, "-h", "127.0.0.1", "-p", str(s.port), "-c", str(clients), "-n", str(count),
        "-P", str(pipeline), "-r", "1000000", "--precision", "3", *args]
    u0, k0 = s.cpu()
    t0 = time.monotonic()
    p = subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    out = p.stdout.read()
    _, code, use = os.wait4(p.pid, 0)
    p.returncode = code
    wall = time.monotonic() - t0
    u1, k1 = s.cpu()
    out = out.replace("\r", "\n")
    head = re.search(r"throughput summary: ([\d.]+)", out)
    if not head:
        raise RuntimeError("load generator: " + out[-300:])
    per_m = 1e6 / count
    v = {"ops_per_s": float(head[1]),
         "cpu_s_per_Mop": round((u1 + k1 - u0 - k0) * per_m, 3),
         "user_s_per_Mop": round((u1 - u0) * per_m, 3), "sys_s_per_Mop": round((k1 - k0) * per_m, 3),
         "server_busy": round((u1 + k1 - u0 - k0) / wall, 3),
         "client_busy": round((use.ru_utime + use.ru_stime) / wall, 3)}
    lat = re.search(r"avg\s+min\s+p50\s+p95\s+p99\s+max\s+([\d. ]+)", out)
    if lat:
        _, _, p50, _, p99, worst = map(float, lat[1].split())
        tail = [float(ms) for pc, ms in re.findall(r"([\d.]+)% <= ([\d.]+) milliseconds \(cum", out) if float(pc) >= 99.9]
        v.update(p50_ms=p50, p99_ms=p99, p999_ms=tail[0] if tail else worst, max_ms=worst)
    return v


# ---- measures ------------------------------------------------------------

def throughput():
    """SET and GET by value size and pipeline depth; five more commands at P=16; one unpinned pair"""
    ss = [Server(s, SERVER_CPU) for s in servers()]
    for s in ss:
        i = s.info("server")
        emit("version", s.name, 1, {}, {k: i.get(k) for k in ("redis_version", "valkey_version", "redis_git_sha1", "redis_build_id")})
    counts = {1: 400_000, 16: 3_000_000, 64: 5_000_000}

    def cell(r, params, count, pipeline, args, cpu=CLIENT_CPU):
        with machine():
            for s in ss:
                emit("throughput", s.name, r, params, hammer(s, n_of(count), pipeline, args, cpu))

    def refill(size):
        for s in ss:
            with machine():
                s.c("FLUSHALL")
                fill(s, n_of(1_000_000), size)

    for size in map(int, E("SIZES", "64,1024").split(",")):
        refill(size)
        for r in range(1, ROUNDS + 1):
            for p, count in counts.items():
                for cmd in ("set", "get"):
                    if size == 1024 and p > 1:
                        count = count * 2 // 3
                    cell(r, {"cmd": cmd.upper(), "bytes": size, "P": p, "pinned": True}, count, p, ["-t", cmd, "-d", str(size)])
    refill(64)
    for r in range(1, ROUNDS + 1):
        for cmd in ("incr", "lpush", "hset", "zadd", "mset"):
            if not all(knows(s, cmd) for s in ss):
                continue
            count = 600_000 if cmd == "mset" else 2_000_000
            cell(r, {"cmd": cmd.upper(), "bytes": 64, "P": 16, "pinned": True}, count, 16, ["-t", cmd, "-d", "64"])
        for s in ss:
            for k in ("mylist", "myhash", "myzset"):
                s.c("DEL", k)
    for s in ss:
        for pid_task in os.listdir("/proc/%d/task" % s.pid):
            os.sched_setaffinity(int(pid_task), range(os.cpu_count()))
    refill(64)
    for r in range(1, ROUNDS + 1):
        for p in (1, 16):
            for cmd in ("set", "get"):
                cell(r, {"cmd": cmd.upper(), "bytes": 64, "P": p, "pinned": False}, counts[p], p, ["-t", cmd, "-d", "64"], None)


def workers():
    """our own scaling: 1 and 2 workers, nothing pinned, P=64 (servers without worker-threads are left out)"""
    found = []
    for spec in servers():
        probe = Server(spec)
        if probe.c("CONFIG", "GET", "worker-threads"):
            found.append(spec)
        probe.stop()
    for name, path, args in found:
        ss = []
        for n in (1, 2):
            ss.append((n, Server((name, path, [*args, "--worker-threads", str(n)]))))
            fill(ss[-1][1], n_of(1_000_000), 64)
        for r in range(1, ROUNDS + 1):
            for cmd in ("set", "get"):
                with machine():
                    for n, s in ss:
                        emit("workers", name, r, {"cmd": cmd.upper(), "bytes": 64, "P": 64, "workers": n},
                             hammer(s, n_of(6_000_000), 64, ["-t", cmd, "-d", "64", "--threads", "2"], None))
        for _, s in ss:
            s.stop()


def knows(s, command):
    """whether the server has a command"""
    info = s.c("COMMAND", "INFO", command)
    return bool(info and info[0])


def memory():
    """RSS growth per key and what remains of it after the payload"""
    shapes = [("string", KEYS, v, 0, 0, 16 + v) for v in (8, 32, 100)]
    shapes.append(("hash", n_of(200_000), 0, 10, 8, 16 + 10 * (7 + 8)))
    for kind, n, v, fields, fb, payload in shapes:
        if kind not in E("KINDS", "string,hash"):
            continue
        for spec in servers():
            with machine():
                s = Server(spec)
                if fields and not knows(s, "hset"):
                    s.stop()
                    continue
                before, used0 = s.status_mb("VmRSS"), int(s.info("memory").get("used_memory", 0))
                f = fill(s, n, v, fields, fb)
                # reads end an incremental rehash of the key table that is still under way
                subprocess.run(["sleep", "5"] if fields else [BENCH, "-p", str(s.port), "-n", str(n_of(4_500_000)), "-P", "64", "-r", str(n), "-t", "get", "-q"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
                time.sleep(1)
                grown = (s.status_mb("VmRSS") - before) * 2**20 / n
                used = (int(s.info("memory").get("used_memory", 0)) - used0) / n
                emit("memory", s.name, 1, {"kind": kind, "keys": n, "payload": payload, "value": v or "10 fields"},
                     {"rss_per_key": round(grown, 1), "overhead_rss": round(grown - payload, 1),
                      "overhead_used_memory": round(used - payload, 1), "empty_rss_mb": round(before, 1),
                      "fill_keys_per_s": round(n / f["seconds"])})
                s.stop()


def offset(info):
    role = info.get("role")
    return int(info.get("master_repl_offset" if role == "master" else "slave_repl_offset", -1))


def wait_link(master, replica, timeout=120):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if replica.info("replication").get("master_link_status") == "up":
            return
        time.sleep(0.01)
    raise RuntimeError("replica did not come up")


def wait_caught_up(master, replica, timeout=120):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        goal = offset(master.info("replication"))
        if offset(replica.info("replication")) >= goal:
            return
        time.sleep(0.002)
    raise RuntimeError("replica did not catch up")


FULLSYNC_MODES = {
    "diskless": ([("repl-diskless-sync", "yes")], []),
    "disk": ([("repl-diskless-sync", "no")], []),
    "diskless+diskless-load": ([("repl-diskless-sync", "yes")], [("repl-diskless-load", "swapdb")]),
    "dual-channel": ([("repl-diskless-sync", "yes"), ("dual-channel-replication-enabled", "yes")],
                     [("dual-channel-replication-enabled", "yes")]),
    "dual-channel+diskless-load": ([("repl-diskless-sync", "yes"), ("dual-channel-replication-enabled", "yes")],
                                   [("dual-channel-replication-enabled", "yes"), ("repl-diskless-load", "swapdb")]),
}


def fullsync():
    """a fresh replica attaches to a loaded master under RATE writes per second.
    MEMORY=1 samples Pss instead of probing latency, since sampling costs CPU."""
    rate, sample_memory = int(E("RATE", "20000")), E("MEMORY") == "1"
    modes = E("MODES", "diskless,disk,diskless+diskless-load").split(",")
    masters = []
    for spec in servers():
        with machine():
            m = Server(spec, config=[("repl-diskless-sync-delay", "0"), ("repl-backlog-size", "256mb"),
                                     ("client-output-buffer-limit", "replica 0 0 0")])
            fill(m, KEYS, 100)
        masters.append((spec, m))
    for r in range(1, ROUNDS + 1):
        for mode in modes:
            for spec, m in masters:
                if mode.startswith("dual") and not m.c("CONFIG", "GET", "dual-channel-replication-enabled"):
                    continue
                with machine():
                    emit("fullsync", m.name, r,
                         {"mode": mode, "keys": KEYS, "value": 100, "writes_per_s": rate, "memory_run": sample_memory},
                         one_fullsync(spec, m, mode, rate, sample_memory))


def one_fullsync(spec, m, mode, rate, sample_memory):
    on_master, on_replica = FULLSYNC_MODES[mode]
    for k, v in [("dual-channel-replication-enabled", "no")] * (not mode.startswith("dual")) + on_master:
        if m.c("CONFIG", "GET", k):
            m.config(k, v)
    rep = Server(spec, config=on_replica)
    writer = Tool("write", m.port, rate, 300, KEYS, 100)
    v = {}
    if not sample_memory:
        time.sleep(0.3)
        calm = Tool("probe", m.port, 1000, 2, KEYS, realtime=True).wait()
        v.update(calm_p99_us=calm.get("p99_us"), calm_p999_us=calm.get("p999_us"), calm_max_us=calm.get("max_us"))
        probe = Tool("probe", m.port, 1000, 300, KEYS, realtime=True)
    time.sleep(0.5)
    i0, cpu0 = m.info(), m.cpu()
    peak, done = [m.pss_mb()], threading.Event()
    before = peak[0]

    def sampler():
        while not done.wait(0.05):
            peak[0] = max(peak[0], m.pss_mb())
    if sample_memory:
        th = threading.Thread(target=sampler)
        th.start()
    t0 = time.monotonic()
    rep.c("REPLICAOF", "127.0.0.1", m.port)
    load_from = load_to = None
    while True:
        i = rep.info()
        t = time.monotonic()
        if "1" in (i.get("loading"), i.get("async_loading")):
            load_from = load_from or t
            load_to = t
        if i.get("master_link_status") == "up":
            break
        if t - t0 > 120:
            raise RuntimeError("no link after 120 s")
        time.sleep(0.01)
    up = time.monotonic()
    wait_caught_up(m, rep)
    even = time.monotonic()
    if sample_memory:
        done.set()
        th.join()
        v.update(before_pss_mb=round(before), peak_pss_mb=round(peak[0]), extra_pss_mb=round(peak[0] - before),
                 extra_part=round((peak[0] - before) / before, 3),
                 replica_peak_rss_mb=round(rep.status_mb("VmHWM")), replica_rss_mb=round(rep.status_mb("VmRSS")))
    i1, cpu1 = m.info(), m.cpu()
    if not sample_memory:
        time.sleep(0.3)
        p = probe.stop()
        v.update({k: p.get(k) for k in ("probes", "p50_us", "p99_us", "p999_us", "max_us", "over_10ms")})
    w = writer.stop()
    sent = next((k for k in ("total_net_repl_output_bytes", "total_net_output_bytes") if k in i1), None)
    v.update(up_s=round(up - t0, 3), caught_up_s=round(even - t0, 3),
             loading_s=round(load_to - load_from, 3) if load_from else 0,
             fork_ms=int(i1.get("latest_fork_usec", 0)) / 1000, writer_per_s=w.get("per_second"),
             master_cpu_s=round(sum(cpu1) - sum(cpu0), 2))
    if sent:
        v["sent_mb"] = round((int(i1[sent]) - int(i0.get(sent, 0))) / 1e6)
    got = rep.info("stats")
    v["received_mb"] = round(int(got.get("total_net_repl_input_bytes", got.get("total_net_input_bytes", 0))) / 1e6)
    v["full_syncs"] = int(i1.get("sync_full", 0)) - int(i0.get("sync_full", 0))
    rep.stop()
    while int(m.info("replication").get("connected_slaves", 0)) or "1" in (
            m.info("persistence").get("rdb_bgsave_in_progress"), ):
        time.sleep(0.05)
    return v


def partial():
    """the link to the replica is cut under RATE writes per second, with a 256 MB backlog"""
    rate = int(E("RATE", "50000"))
    for r in range(1, ROUNDS + 1):
        for spec in servers():
            with machine():
                m = Server(spec, config=[("repl-diskless-sync-delay", "0"), ("repl-backlog-size", "256mb")])
                rep = Server(spec)
                fill(m, n_of(1_000_000), 100)
                rep.c("REPLICAOF", "127.0.0.1", m.port)
                wait_link(m, rep)
                writer = Tool("write", m.port, rate, 120, n_of(1_000_000), 100)
                time.sleep(2)
                wait_caught_up(m, rep)
                for gap in (0, 0, 2):
                    emit("partial", m.name, r, {"writes_per_s": rate, "backlog_mb": 256, "replica_stopped_s": gap},
                         one_cut(m, rep, gap))
                    time.sleep(1.5)
                writer.stop()
                rep.stop()
                m.stop()


def one_cut(m, rep, gap):
    """cuts the link; with a gap the replica is stopped that long and the clock starts when it goes on"""
    before = m.info("stats")
    if gap:
        os.kill(rep.pid, signal.SIGSTOP)
    t0 = time.monotonic()
    m.c("CLIENT", "KILL", "TYPE", "replica")
    if gap:
        time.sleep(gap)
        t0 = time.monotonic()
        os.kill(rep.pid, signal.SIGCONT)
    while int(m.info("stats")["sync_partial_ok"]) + int(m.info("stats")["sync_full"]) == (
            int(before["sync_partial_ok"]) + int(before["sync_full"])):
        time.sleep(0.0005)
    while rep.info("replication").get("master_link_status") != "up":
        time.sleep(0.0005)
    up = time.monotonic()
    wait_caught_up(m, rep)
    even = time.monotonic()
    after = m.info("stats")
    return {"up_ms": round((up - t0) * 1e3, 1), "caught_up_ms": round((even - t0) * 1e3, 1),
            "partial_ok": int(after["sync_partial_ok"]) - int(before["sync_partial_ok"]),
            "full": int(after["sync_full"]) - int(before["sync_full"])}


def lag():
    """cost and lag of replication under a full-rate pipelined SET load, with 0, 1 and 3 replicas"""
    count = n_of(int(E("COUNT", "4000000")))
    for r in range(1, ROUNDS + 1):
        for pinned in (True, False):
            for replicas in ((0, 1, 3) if pinned else (0, 1)):
                for spec in servers():
                    with machine():
                        one_lag(r, spec, pinned, replicas, count)


def one_lag(r, spec, pinned, replicas, count):
    m = Server(spec, SERVER_CPU if pinned else None,
               [("repl-diskless-sync-delay", "0"), ("repl-backlog-size", "256mb"), ("client-output-buffer-limit", "replica 0 0 0")])
    reps = [Server(spec, CLIENT_CPU if pinned else None) for _ in range(replicas)]
    fill(m, n_of(1_000_000), 64)
    for x in reps:
        x.c("REPLICAOF", "127.0.0.1", m.port)
    for x in reps:
        wait_link(m, x)
        wait_caught_up(m, x)
    time.sleep(0.5)
    lags, done = [], threading.Event()
    probes = [Conn(x.port) for x in [m, *reps]]

    def sampler():
        while not done.wait(0.1):
            for c in probes:
                c.send("INFO", "replication")
            got = []
            for c in probes:
                text = c.read()
                got.append(offset(dict(line.split(":", 1) for line in text.splitlines() if ":" in line)))
            lags.append(max(0, got[0] - min(got[1:])))
    th = threading.Thread(target=sampler)
    if reps:
        th.start()
    i0, rc0 = m.info(), [x.cpu() for x in reps]
    if replicas > 1:
        count //= 3                                # the replicas share the load generator's CPU
    v = hammer(m, count, 16, ["-t", "set", "-d", "64"], CLIENT_CPU if pinned else None)
    end = time.monotonic()
    if reps:
        done.set()
        th.join()
        for x in reps:
            wait_caught_up(m, x)
        v["drain_s"] = round(time.monotonic() - end, 3)
        lags.sort()
        at = lambda q: lags[min(len(lags) - 1, int(len(lags) * q))]
        v.update(lag_p50_kb=round(at(.5) / 1e3), lag_p99_kb=round(at(.99) / 1e3), lag_max_kb=round(lags[-1] / 1e3), samples=len(lags))
        v["replica_cpu_s_per_Mop"] = round(statistics.mean(
            sum(x.cpu()) - sum(c) for x, c in zip(reps, rc0)) * 1e6 / count, 3)
    i1 = m.info()
    v["full_syncs"] = int(i1.get("sync_full", 0)) - int(i0.get("sync_full", 0))
    emit("lag", m.name, r, {"pinned": pinned, "replicas": replicas, "P": 16, "bytes": 64}, v)
    for c in probes:
        c.close()
    for x in [*reps, m]:
        x.stop()


def rdb():
    """BGSAVE, SAVE and start-up load of KEYS keys of 100 bytes; TMPDIR chooses the file system"""
    where = E("WHERE", "disk")
    for spec in servers():
        for r in range(1, ROUNDS + 1):
            with machine():
                s = Server(spec)
                fill(s, KEYS, 100)
                time.sleep(1)
                before = s.info("persistence").get("rdb_saves")
                t0 = time.monotonic()
                s.c("BGSAVE")
                call_ms = (time.monotonic() - t0) * 1e3
                while s.info("persistence").get("rdb_bgsave_in_progress") == "1":
                    time.sleep(0.01)
                bg = time.monotonic() - t0
                t0 = time.monotonic()
                s.c("SAVE")
                save = time.monotonic() - t0
                kept = s.dir
                files = [os.path.join(kept, f) for f in os.listdir(kept) if f.endswith(".rdb")]
                size = os.path.getsize(files[0]) / 1e6
                s.own_dir = False
                s.stop()
                n = Server(spec, where=kept, wait=False)
                n.own_dir = True
                n.connect()
                while n.info("persistence").get("loading") == "1":
                    time.sleep(0.005)
                load = time.monotonic() - n.started
                if n.c("DBSIZE") != KEYS:
                    raise RuntimeError("loaded %s keys of %s" % (n.c("DBSIZE"), KEYS))
                emit("rdb", s.name, r, {"keys": KEYS, "value": 100, "on": where},
                     {"file_mb": round(size), "bgsave_s": round(bg, 3), "bgsave_call_ms": round(call_ms, 1),
                      "bgsave_mb_s": round(size / bg), "save_s": round(save, 3), "save_mb_s": round(size / save),
                      "load_s": round(load, 3), "load_mb_s": round(size / load)})
                n.stop()


def gather(lines):
    """{(measure, params): {server: [values, ...]}} in order of appearance"""
    table = {}
    for line in lines:
        if line.startswith("{"):
            d = json.loads(line)
            if d.get("values"):
                key = (d["measure"], json.dumps(d["params"]))
                table.setdefault(key, {}).setdefault(d["server"], []).append(d["values"])
    return table


def median_of(rounds, figure):
    xs = [v[figure] for v in rounds if isinstance(v.get(figure), (int, float))]
    return statistics.median(xs) if xs else None


def cell_text(rounds, figure):
    xs = sorted(v[figure] for v in rounds if v.get(figure) is not None)
    if not xs:
        return "-"
    if isinstance(xs[0], str):
        return xs[0]
    return "%g" % xs[0] if xs[0] == xs[-1] else "%.6g [%.6g - %.6g]" % (statistics.median(xs), xs[0], xs[-1])


def report():
    """Markdown on stdout from JSON lines on stdin: goals, then medians [min - max] of everything"""
    table = gather(sys.stdin)
    goals.write(table, median_of)
    table = {k: v for k, v in table.items() if k[0] != "version"}
    last = None
    for (measure, params), by_server in table.items():
        if measure != last:
            print("\n## %s\n" % measure)
            last = measure
        print("**" + ", ".join("%s=%s" % kv for kv in json.loads(params).items()) + "**\n")
        names = list(by_server)
        pair = [n for n in ("tandem", "redis") if n in by_server]
        ratio = len(pair) == 2
        print("| figure | " + " | ".join("%s (n=%d)" % (n, len(by_server[n])) for n in names) + (" | ratio |" if ratio else " |"))
        print("|---" * (len(names) + 1 + ratio) + "|")
        figures = list(dict.fromkeys(f for n in names for v in by_server[n] for f in v))
        for f in figures:
            row = [cell_text(by_server[n], f) for n in names]
            if ratio:
                ours, theirs = median_of(by_server["tandem"], f), median_of(by_server["redis"], f)
                row.append("%.2f" % (ours / theirs) if ours is not None and theirs else "-")
            print("| %s | %s |" % (f, " | ".join(row)))
        print()


MEASURES = dict(throughput=throughput, workers=workers, memory=memory, fullsync=fullsync, partial=partial,
                lag=lag, rdb=rdb, report=report)
MEASURES.update({name: lambda work=work: work(sys.modules[__name__]) for name, work in features.MEASURES.items()})

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in MEASURES:
        sys.exit(__doc__ + "\nmeasures: " + ", ".join(MEASURES))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        MEASURES[sys.argv[1]]()
    finally:
        cleanup()
