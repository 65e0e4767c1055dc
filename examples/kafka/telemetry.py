"""
Write the telemetry of three pumps to Kafka, or rows of a CSV file of your own.

    telemetry.py                               twenty minutes of readings, one a second and pump, all at once
    telemetry.py --csv FILE --key COLUMN       each row a record
    telemetry.py --show                        print the CSV and write nothing

The readings are made up, the same every time: after ten minutes the bearing of pump-2 runs hot for a minute.
"""

import argparse
import asyncio
import csv
import datetime as dt
import json
import math
import os
import random
import sys
from collections.abc import Iterable, Iterator

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError

START = dt.datetime(2026, 1, 5, 6, tzinfo=dt.UTC)
PUMPS = ("pump-1", "pump-2", "pump-3")
HOT_S = range(600, 660)
Row = dict[str, str]


def readings(seconds: int) -> Iterator[Row]:
    """What the pumps report."""
    noise = random.Random(1)  # noqa: S311  the same every time
    for second in range(seconds):
        for number, pump in enumerate(PUMPS):
            rpm = 1480 + 20 * math.sin(second / 300 + number) + noise.gauss(0, 2)
            heat = 25.0 if pump == "pump-2" and second in HOT_S else 0.0
            yield {"time": (START + dt.timedelta(seconds=second)).isoformat(), "pump": pump,
                   "rpm": f"{rpm:.0f}", "bearing_c": f"{64 + rpm / 1000 + heat + noise.gauss(0, 0.4):.1f}",
                   "flow_l_min": f"{rpm / 12 + noise.gauss(0, 1):.1f}"}


async def write(rows: Iterable[Row], key: str, topic: str, bootstrap: str) -> int:
    """Write each row as JSON, under its key; returns how many."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=3, replication_factor=1)])
    except TopicAlreadyExistsError:
        pass
    finally:
        await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=10)
    await producer.start()
    count = 0
    try:
        for row in rows:
            count += 1
            await producer.send(topic, json.dumps(row).encode(), key=row[key].encode(),
                                headers=[("content-type", b"application/json")])
    finally:
        await producer.stop()  # waits until all are written
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bootstrap", default="localhost:9092")
    parser.add_argument("--topic", default="telemetry")
    parser.add_argument("--seconds", type=int, default=1200, help="how long the pumps run")
    parser.add_argument("--csv", type=argparse.FileType(), help="rows to write instead")
    parser.add_argument("--key", default="pump", help="the column that is a record's key")
    parser.add_argument("--show", action="store_true")
    chosen = parser.parse_args()
    rows: Iterable[Row] = csv.DictReader(chosen.csv) if chosen.csv else readings(chosen.seconds)
    if chosen.show:
        table = list(rows)
        writer = csv.DictWriter(sys.stdout, table[0])
        writer.writeheader()
        writer.writerows(table)
        sys.stdout.flush()
        return
    count = asyncio.run(write(rows, chosen.key, chosen.topic, chosen.bootstrap))
    print(f"{count} records written to {chosen.topic}")


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # whoever read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
