"""The Python client at work, as its own examples use it: connections of each kind, strings,
hashes, pipelines, transactions, scans, publish/subscribe, asyncio.

usage: client.py PORT    (an empty server; exits with 0 when all held)
"""
import asyncio, datetime, sys, time

import redis
import redis.asyncio
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

PORT = int(sys.argv[1])
EXAMPLES = []


def example(work):
    EXAMPLES.append(work)
    return work


def connect(**how):
    return redis.Redis(host="127.0.0.1", port=PORT, decode_responses=True, **how)


def equal(got, wanted):
    assert got == wanted, "%r instead of %r" % (got, wanted)


def wait_for(what, seconds=10):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.01)


@example
def connections(protocol):
    c = connect(protocol=protocol)
    assert c.ping()
    by_url = redis.Redis.from_url("redis://127.0.0.1:%d/3?decode_responses=True&protocol=%d" % (PORT, protocol))
    by_url.set("where", "three")
    equal(c.exists("where"), 0)
    named = connect(protocol=protocol, client_name="worker-7", retry=Retry(ExponentialBackoff(), 3), health_check_interval=1)
    equal(named.client_getname(), "worker-7")
    info = named.client_info()
    equal(info["lib-name"], "redis-py") if "lib-name" in info else None
    pool = redis.ConnectionPool(host="127.0.0.1", port=PORT, max_connections=4, protocol=protocol)
    equal(redis.Redis(connection_pool=pool).echo("over a pool"), b"over a pool")
    pool.disconnect()


@example
def strings(protocol):
    c = connect(protocol=protocol)
    assert c.set("bike:1", "Deimos")
    equal(c.get("bike:1"), "Deimos")
    equal(c.set("bike:1", "bike", nx=True), None)
    equal(c.set("bike:1", "bike", xx=True), True)
    equal(c.set("bike:1", "new", get=True), "bike")
    assert c.mset({"bike:1": "Deimos", "bike:2": "Ares", "bike:3": "Vanth"})
    equal(c.mget(["bike:1", "bike:2", "none"]), ["Deimos", "Ares", None])
    c.set("total", 0)
    equal(c.incr("total"), 1)
    equal(c.incrby("total", 10), 11)
    equal(c.incrbyfloat("total", 0.5), 11.5)
    equal(c.append("bike:1", "!"), 7)
    equal(c.getrange("bike:1", 0, 2), "Dei")
    equal(c.setrange("bike:1", 0, "P"), 7)
    equal(c.strlen("bike:1"), 7)
    equal(c.getdel("bike:1"), "Peimos!")


@example
def expiry(protocol):
    c = connect(protocol=protocol)
    c.set("code", "1234", ex=datetime.timedelta(minutes=2))
    assert 0 < c.ttl("code") <= 120
    c.pexpire("code", 40)
    wait_for(lambda: c.get("code") is None)
    c.set("code", "1", keepttl=False)
    equal(c.ttl("code"), -1)
    equal(c.getex("code", px=60_000), "1")
    assert c.persist("code")


@example
def hashes(protocol):
    c = connect(protocol=protocol)
    equal(c.hset("bike:h", mapping={"model": "Deimos", "brand": "Ergonom", "price": 4972}), 3)
    equal(c.hget("bike:h", "model"), "Deimos")
    equal(c.hgetall("bike:h"), {"model": "Deimos", "brand": "Ergonom", "price": "4972"})
    equal(c.hmget("bike:h", ["model", "none"]), ["Deimos", None])
    equal(c.hincrby("bike:h", "price", 100), 5072)
    equal(c.hincrbyfloat("bike:h", "price", 0.5), 5072.5)
    equal(c.hsetnx("bike:h", "model", "x"), 0)
    equal(sorted(c.hkeys("bike:h")), ["brand", "model", "price"])
    equal((c.hlen("bike:h"), c.hexists("bike:h", "no"), c.hstrlen("bike:h", "brand")), (3, False, 7))
    assert c.hrandfield("bike:h") in ("brand", "model", "price")
    equal(dict(c.hscan_iter("bike:h"))["brand"], "Ergonom")
    equal(c.hdel("bike:h", "price", "none"), 1)


@example
def pipelines(protocol):
    c = connect(protocol=protocol)
    with c.pipeline(transaction=False) as pipe:
        for i in range(1000):
            pipe.set("seat:%d" % i, i)
        equal(pipe.execute(), [True] * 1000)
    with c.pipeline() as pipe:
        equal(pipe.set("foo", 5).incr("foo").get("foo").execute(), [True, 6, "6"])
    with c.pipeline() as pipe:
        pipe.set("name", "x").incr("name").get("name")
        result = pipe.execute(raise_on_error=False)
        assert isinstance(result[1], redis.ResponseError), result
        equal(result[2], "x")
    equal(len(set(c.scan_iter("seat:*", count=100))), 1000)


@example
def transactions(protocol):
    c = connect(protocol=protocol)
    c.set("stock", 2)
    meddle = [True]

    def sell(pipe):
        left = int(pipe.get("stock"))
        if meddle:
            meddle.pop()
            c.set("stock", 9)
        pipe.multi()
        pipe.set("stock", left - 1)
    equal(c.transaction(sell, "stock"), [True])
    equal(c.get("stock"), "8")


@example
def messages(protocol):
    c = connect(protocol=protocol)
    p = c.pubsub()
    p.subscribe("news")
    p.psubscribe("weather.*")
    kinds = [p.get_message(timeout=5)["type"] for _ in range(2)]
    equal(kinds, ["subscribe", "psubscribe"])
    equal(c.publish("news", "hello"), 1)
    equal(c.publish("weather.berlin", "rain"), 1)
    first, second = p.get_message(timeout=5), p.get_message(timeout=5)
    equal((first["channel"], first["data"]), ("news", "hello"))
    equal((second["pattern"], second["data"]), ("weather.*", "rain"))
    # The round before may still be going.
    wait_for(lambda: c.pubsub_channels() == ["news"])
    equal(c.pubsub_numsub("news"), [("news", 1)])
    p.unsubscribe()
    p.punsubscribe()
    p.close()
    heard = []
    q = c.pubsub()
    q.subscribe(**{"orders": lambda message: heard.append(message["data"])})
    thread = q.run_in_thread(sleep_time=0.01)
    wait_for(lambda: c.pubsub_numsub("orders") == [("orders", 1)])
    for i in range(100):
        c.publish("orders", i)
    wait_for(lambda: len(heard) == 100)
    equal(heard, [str(i) for i in range(100)])
    thread.stop()
    thread.join()


@example
def without_blocking(protocol):
    async def work():
        c = redis.asyncio.Redis(host="127.0.0.1", port=PORT, protocol=protocol, decode_responses=True)
        await asyncio.gather(*(c.set("async:%d" % i, i) for i in range(50)))
        equal(await asyncio.gather(*(c.get("async:%d" % i) for i in range(50))), [str(i) for i in range(50)])
        async with c.pipeline(transaction=True) as pipe:
            equal(await pipe.set("a", 1).incr("a").execute(), [True, 2])
        async with c.pubsub() as p:
            await p.subscribe("async:news")
            # That has only been sent: another connection may be faster.
            equal((await p.get_message(timeout=5))["type"], "subscribe")
            await c.publish("async:news", "hi")
            equal((await p.get_message(timeout=5))["data"], "hi")
        await c.aclose()
    asyncio.run(work())


@example
def the_server(protocol):
    c = connect(protocol=protocol)
    assert c.info()["redis_version"].startswith("7.0")
    equal(c.config_get("maxmemory")["maxmemory"], "0")
    assert c.config_set("timeout", 100) and c.config_set("timeout", 0)
    assert c.dbsize() > 0 and c.time()[0] > 0
    assert c.role()[0] in ("master", b"master")
    assert c.command_count() > 100
    assert c.client_list() and c.slowlog_len() >= 0
    assert c.object("encoding", "bike:2") == "embstr"
    payload = connect_raw(protocol).dump("bike:2")
    connect_raw(protocol).restore("bike:9", 0, payload, replace=True)
    equal(c.get("bike:9"), "Ares")


def connect_raw(protocol):
    return redis.Redis(host="127.0.0.1", port=PORT, protocol=protocol)


for protocol in (2, 3):
    connect().flushall()
    for work in EXAMPLES:
        work(protocol)
        print("protocol %d: %s" % (protocol, work.__name__.replace("_", " ")), flush=True)
