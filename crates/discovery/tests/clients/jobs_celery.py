"""Jobs through Celery: `celery -A jobs_celery worker …` does them, this program asks for them."""

import faulthandler
import os
import sys
import time

from celery import Celery

faulthandler.dump_traceback_later(20, repeat=True)  # a worker that hangs says where
app = Celery("jobs_celery", broker="sentinel://:%s@%s" % (os.environ["PASSWORD"], os.environ["DISCOVERY"]))
app.conf.broker_transport_options = {"master_name": os.environ["GROUP"]}
app.conf.broker_connection_retry_on_startup = True


@app.task
def job(number):
    with open(os.environ["DONE"], "a") as done:
        done.write(f"{number}\n")


def main():
    """Each until it is taken, for so many seconds."""
    number, end = 0, time.monotonic() + float(sys.argv[1])
    while time.monotonic() < end:
        number += 1
        while True:
            try:
                job.delay(number)
                break
            except Exception:
                time.sleep(0.02)
        time.sleep(0.02)
    print(number)


if __name__ == "__main__":
    from jobs_celery import job  # under the name by which the worker knows it

    main()
