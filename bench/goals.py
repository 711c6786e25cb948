"""What the measurements are held against: each goal is a figure of a cell, taken alone or as a
ratio of Tandem's median to Redis's of the same run, with the bound that it must not pass."""
import json

# (what, measure, the cell's parameters, figure, how, bound)
#   how: ratio = tandem / redis, speed = redis / tandem (times as fast), value = tandem alone
GOALS = []


def goal(what, measure, params, figure, how, bound):
    GOALS.append((what, measure, params, figure, how, bound))


for _cmd in ("SET", "GET"):
    for _p, _bound in ((1, 0.90), (16, 0.50), (64, 0.50)):
        goal("CPU per request, %s, pipeline %d" % (_cmd, _p), "throughput",
             {"cmd": _cmd, "bytes": 64, "P": _p, "pinned": True}, "cpu_s_per_Mop", "ratio", _bound)
for _v in (8, 32, 100):
    goal("RSS over the payload per key, values of %d bytes" % _v, "memory", {"kind": "string", "value": _v},
         "overhead_rss", "value", 34)
goal("full sync under writes: time to link up", "fullsync", {"mode": "diskless", "memory_run": False}, "up_s", "ratio", 0.30)
goal("full sync: longest wait of a GET, µs", "fullsync", {"mode": "diskless", "memory_run": False}, "max_us", "value", 5000)
goal("full sync: the master's extra memory, part of its data", "fullsync", {"mode": "diskless", "memory_run": True},
     "extra_part", "value", 0.10)
goal("SAVE: times as fast", "rdb", {}, "save_s", "speed", 5.0)
goal("start-up load: times as fast", "rdb", {}, "load_s", "speed", 3.0)
goal("one replica attached: CPU of the master", "lag", {"pinned": True, "replicas": 1}, "cpu_s_per_Mop", "ratio", 0.50)
goal("one replica attached: CPU of the replica", "lag", {"pinned": True, "replicas": 1}, "replica_cpu_s_per_Mop", "ratio", 0.50)
goal("link up after a cut under writes, ms", "partial", {"replica_stopped_s": 0}, "up_ms", "value", 5)
goal("caught up after 2 s away, ms", "partial", {"replica_stopped_s": 2}, "caught_up_ms", "value", 200)

for _what, _measure, _params in [
        ("HSET", "hashes", {"cmd": "HSET", "P": 16}), ("HGET", "hashes", {"cmd": "HGET", "P": 16}),
        ("HGETALL of 10", "hashes", {"cmd": "HGETALL 10", "P": 16}), ("HGETALL of 100", "hashes", {"cmd": "HGETALL 100", "P": 16}),
        ("PUBLISH to 100", "publish", {"subscribers": 100, "P": 16}), ("GET with tracking", "tracking", {"cmd": "GET", "P": 16}),
        ("SET under allkeys-lru", "eviction", {"policy": "allkeys-lru"}), ("SET under allkeys-lfu", "eviction", {"policy": "allkeys-lfu"}),
        ("a connection and its PING", "connections", {"connection": "a PING each"}),
        ("TLS GET, pipeline 1", "tls", {"cmd": "GET", "P": 1}), ("TLS GET, pipeline 16", "tls", {"cmd": "GET", "P": 16})]:
    goal("CPU per request, " + _what, _measure, _params, "cpu_s_per_Mop", "ratio", 0.60)
goal("bytes a field, a hash of 1M", "hash_memory", {"shape": "1 hash of 1M fields"}, "used_per_field", "ratio", 0.70)
goal("bytes a field, hashes of ten", "hash_memory", {"shape": "200,000 hashes of 10"}, "used_per_field", "ratio", 0.80)


def write(table, median_of):
    """the table of goals, in Markdown; goals without a measurement are left out"""
    rows = []
    for what, measure, params, figure, how, bound in GOALS:
        for (m, p), by_server in table.items():
            cell = json.loads(p)
            if m != measure or any(cell.get(k) != v for k, v in params.items()) or "tandem" not in by_server:
                continue
            ours = median_of(by_server["tandem"], figure)
            theirs = median_of(by_server["redis"], figure) if "redis" in by_server else None
            got = verdict(how, ours, theirs)
            if got is None:
                continue
            held = got >= bound if how == "speed" else got <= bound
            sign = "at least" if how == "speed" else "at most"
            rows.append((what, "%s %g" % (sign, bound), "%.3g" % got, shown(ours), shown(theirs), "yes" if held else "**no**"))
    if rows:
        print("\n## Goals\n\n| goal | bound | got | tandem | redis | held |\n|---|---|---|---|---|---|")
        for row in rows:
            print("| " + " | ".join(row) + " |")
    # A ratio of two worker counts is a goal too: two beat one by 1.3.
    for cmd in ("SET", "GET"):
        ops = {}
        for (m, p), by_server in table.items():
            cell = json.loads(p)
            if m == "workers" and cell["cmd"] == cmd and "tandem" in by_server:
                ops[cell["workers"]] = median_of(by_server["tandem"], "ops_per_s")
        if len(ops) == 2:
            got = ops[2] / ops[1]
            print("| two workers against one, %s, pipeline 64 | at least 1.3 | %.3g | - | - | %s |"
                  % (cmd, got, "yes" if got >= 1.3 else "**no**"))


def verdict(how, ours, theirs):
    if ours is None or (how != "value" and not (ours and theirs)):
        return None
    return ours if how == "value" else theirs / ours if how == "speed" else ours / theirs


def shown(value):
    return "-" if value is None else "%.4g" % value
