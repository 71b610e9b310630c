"""Writes through redis-py, which finds the primary at a Sentinel, and tells how long writes were impossible.

Every write is SET PREFIX<n> <n>, one after the other; a number is tried until it is acknowledged. Ends by itself
after --seconds with one line of JSON on stdout. Nothing in it knows of any node: only of the Sentinel.
"""

import argparse
import json
import sys
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

PAUSE_AFTER_ERROR_S = 0.005
ERROR_CHARS_MAX = 200


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentinel", required=True, action="append", metavar="HOST:PORT")
    parser.add_argument("--master", required=True, help="the group")
    parser.add_argument("--rate", type=float, default=200, help="writes per second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--prefix", default="seq:")
    parser.add_argument("--first", type=int, default=1, help="the first number")
    parser.add_argument("--timeout-ms", type=int, default=1000, help="of a connect, read or write")
    parser.add_argument("--resp", type=int, choices=(2, 3), default=2)
    parser.add_argument("--password", help="of the nodes")
    parser.add_argument("--sentinel-password")
    parser.add_argument("--sentinel-ca", help="speak TLS to the Sentinel, with this authority")
    return parser.parse_args()


def connect(wanted):
    timeout = wanted.timeout_ms / 1000
    # Every error is to be seen here: the library's own retries wait for seconds.
    common = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "protocol": wanted.resp,
        "retry": Retry(NoBackoff(), 0),
    }
    of_sentinel = dict(common, password=wanted.sentinel_password)
    if wanted.sentinel_ca:
        of_sentinel.update(ssl=True, ssl_ca_certs=wanted.sentinel_ca)
    pairs = [address.rsplit(":", 1) for address in wanted.sentinel]
    sentinels = Sentinel([(host, int(port)) for host, port in pairs], sentinel_kwargs=of_sentinel)
    return sentinels.master_for(wanted.master, password=wanted.password, **common)


def main():
    wanted = options()
    client = connect(wanted)
    errors = {}
    primaries = []
    attempts = acknowledged = 0
    longest_gap = 0.0
    gap_before = None
    number = wanted.first
    start = last = due = time.monotonic()
    end = start + wanted.seconds
    while time.monotonic() < end:
        pause = due - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        attempts += 1
        try:
            client.set(f"{wanted.prefix}{number}", number)
        except redis.RedisError as error:
            text = f"{type(error).__name__}: {error}"[:ERROR_CHARS_MAX]
            errors[text] = errors.get(text, 0) + 1
            due = time.monotonic() + PAUSE_AFTER_ERROR_S
            continue
        now = time.monotonic()
        if acknowledged and now - last > longest_gap:
            longest_gap, gap_before = now - last, number
        last = now
        acknowledged += 1
        number += 1
        due = max(due + 1 / wanted.rate, now)
        primary = "%s:%s" % client.connection_pool.master_address
        if not primaries or primaries[-1] != primary:
            primaries.append(primary)
    ended = time.monotonic()
    if ended - last > longest_gap:
        longest_gap, gap_before = ended - last, number
    report = {
        "client": f"redis-py {redis.__version__}",
        "acknowledged": acknowledged,
        "last_number": number - 1,
        "attempts": attempts,
        "failed": attempts - acknowledged,
        "longest_gap_ms": round(longest_gap * 1000, 1),
        "gap_before": gap_before,
        "primaries": primaries,
        "errors": errors,
        "seconds": round(ended - start, 3),
    }
    print(json.dumps(report))
    return 0 if acknowledged else 1


if __name__ == "__main__":
    sys.exit(main())
