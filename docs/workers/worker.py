#!/usr/bin/env python3
"""Handles the lines of a file that grows, $EVENTS/<partition>: prints each, once, from where the last worker stopped.

    EVENTS=/var/events tenure run --dev --group orders/billing --partition-ids a,b,c -- docs/workers/worker.py
"""

import json
import os
import signal
import sys
import time

draining = False


def drain(*_):
    global draining
    draining = True


signal.signal(signal.SIGTERM, drain)
reports = os.fdopen(3, "w", buffering=1)  # line by line
answers = os.fdopen(4)


def checkpoint(offset):
    """Reports up to which byte the file has been handled and waits for the answer."""
    print(json.dumps({"offset": str(offset)}), file=reports)
    outcome, _, reason = answers.readline().strip().partition(" ")
    if outcome != "durable":
        sys.exit(f"the checkpoint is {outcome or 'not answered'}: {reason}")


offset = int(os.environ.get("TENURE_WORKER_OFFSET", "0"))
with open(os.path.join(os.environ["EVENTS"], os.environ["TENURE_WORKER_PARTITION"]), "rb") as events:
    while not draining:
        events.seek(offset)
        event = events.readline()
        if not event.endswith(b"\n"):  # the rest is yet to come
            time.sleep(0.1)
            continue
        print(event.decode().rstrip("\n"), flush=True)
        offset += len(event)
        checkpoint(offset)
