"""Writes through a library of Python with the settings that it has by itself: it is told of the Sentinel, the group and
the password, and of nothing else. Its line is that of the other programs, without where it wrote; a reader writes nothing,
and tells the roles of the nodes that it read from.
"""

import argparse
import asyncio
import json
import time
from importlib.metadata import version

PAUSE_AFTER_ERROR_S = 0.005
ERROR_CHARS_MAX = 200


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("library", "sentinel", "master", "password", "prefix"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    return parser.parse_args()


class Report:
    """What is told at the end."""

    def __init__(self, wanted, package):
        self.client = f"{wanted.library} {version(package)}"
        self.wanted = wanted
        self.errors, self.roles = {}, []
        self.attempts = self.acknowledged = 0
        self.longest_gap = 0.0
        self.start = self.last = self.due = time.monotonic()

    def goes_on(self):
        return time.monotonic() < self.start + self.wanted.seconds

    def pause(self):
        return max(0.0, self.due - time.monotonic())

    def next(self):
        self.attempts += 1
        return self.acknowledged + 1

    def done(self):
        now = time.monotonic()
        self.longest_gap = max(self.longest_gap, now - self.last)
        self.last = now
        self.acknowledged += 1
        self.due = max(self.due + 1 / self.wanted.rate, now)

    def failed(self, error):
        text = f"{type(error).__name__}: {error}"[:ERROR_CHARS_MAX]
        self.errors[text] = self.errors.get(text, 0) + 1
        self.due = time.monotonic() + PAUSE_AFTER_ERROR_S

    def read_from(self, role):
        if self.roles[-1:] != [role]:
            self.roles.append(role)

    def tell(self):
        seconds = time.monotonic() - self.start
        line = {
            "client": self.client,
            "acknowledged": self.acknowledged,
            "last_number": self.acknowledged,
            "attempts": self.attempts,
            "failed": self.attempts - self.acknowledged,
            "longest_gap_ms": self.longest_gap * 1000,
            "gap_before": None,
            "primaries": self.roles,
            "errors": self.errors,
            "seconds": seconds,
        }
        print(json.dumps(line))


def write(wanted, discovery):
    from redis.sentinel import Sentinel

    report = Report(wanted, "redis")
    sentinel = Sentinel([discovery])
    is_reader = wanted.library == "redis-py-reader"
    of = sentinel.slave_for if is_reader else sentinel.master_for
    client = of(wanted.master, password=wanted.password)
    while report.goes_on():
        time.sleep(report.pause())
        number = report.next()
        try:
            if is_reader:
                report.read_from(client.info("replication")["role"])
            else:
                client.set(f"{wanted.prefix}{number}", number)
        except Exception as error:
            report.failed(error)
        else:
            report.done()
    report.tell()


async def write_async(wanted, discovery):
    if wanted.library == "coredis":
        from coredis import Sentinel
        from coredis.connection import TCPLocation

        report = Report(wanted, "coredis")
        async with Sentinel(sentinels=[TCPLocation(*discovery)]) as sentinel:
            async with sentinel.primary_for(wanted.master, password=wanted.password) as client:
                await go_on(report, client)
    else:
        from redis.asyncio.sentinel import Sentinel

        report = Report(wanted, "redis")
        await go_on(report, Sentinel([discovery]).master_for(wanted.master, password=wanted.password))
    report.tell()


async def go_on(report, client):
    while report.goes_on():
        await asyncio.sleep(report.pause())
        number = report.next()
        try:
            await client.set(f"{report.wanted.prefix}{number}", number)
        except Exception as error:
            report.failed(error)
        else:
            report.done()


def main():
    wanted = options()
    host, port = wanted.sentinel.rsplit(":", 1)
    discovery = (host, int(port))
    if wanted.library in ("coredis", "redis-py-asyncio"):
        asyncio.run(write_async(wanted, discovery))
    else:
        write(wanted, discovery)


if __name__ == "__main__":
    main()
