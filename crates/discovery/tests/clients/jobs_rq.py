"""Jobs through rq: `jobs_rq.py worker` does them, `jobs_rq.py SECONDS` asks for them, each until it is taken."""

import os
import sys
import time


def job(number):
    with open(os.environ["DONE"], "a") as done:
        done.write(f"{number}\n")


def main():
    from redis.sentinel import Sentinel
    from rq import Queue, SimpleWorker

    host, port = os.environ["DISCOVERY"].rsplit(":", 1)
    client = Sentinel([(host, int(port))]).master_for(os.environ["GROUP"], password=os.environ["PASSWORD"])
    queue = Queue(connection=client)
    if sys.argv[1] == "worker":
        SimpleWorker([queue], connection=client).work()
        return
    number, end = 0, time.monotonic() + float(sys.argv[1])
    while time.monotonic() < end:
        number += 1
        while True:
            try:
                queue.enqueue("jobs_rq.job", number)
                break
            except Exception:
                time.sleep(0.02)
        time.sleep(0.02)
    print(number)


if __name__ == "__main__":
    main()
