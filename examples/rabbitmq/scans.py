"""
Publish the scans of parcels to RabbitMQ: posted, in the depot, delivered.

    scans.py                    200 parcels, three scans each
    scans.py --parcels 5000     more of them
    scans.py --show             print the scans as JSON lines and publish nothing

The parcels are made up, the same every time; one in ten is late. Each message is a CloudEvent: its headers
are the attributes, its body the data.
"""

import argparse
import asyncio
import datetime as dt
import json
import random
from collections.abc import Iterable, Iterator
from typing import Any

import aio_pika

START = dt.datetime(2026, 1, 5, 6, tzinfo=dt.UTC)
DEPOTS = ("bergen", "lyon", "porto")
Scan = dict[str, Any]


def scans(parcels: int) -> Iterator[Scan]:
    """What the scanners read."""
    chance = random.Random(1)  # noqa: S311  the same every time
    for number in range(parcels):
        depot = chance.choice(DEPOTS)
        posted = START + dt.timedelta(minutes=7 * number)
        took_h = chance.uniform(50, 90) if number % 10 == 9 else chance.uniform(12, 46)  # noqa: PLR2004
        for state, hours in (("posted", 0.0), ("sorted", took_h / 2), ("delivered", took_h)):
            scanned = posted + dt.timedelta(hours=hours)
            yield {"parcel": f"P{number:05}", "state": state, "depot": depot, "posted": posted.isoformat(),
                   "scanned": scanned.isoformat(timespec="seconds")}


def message(scan: Scan) -> aio_pika.Message:
    """A scan as a CloudEvent in binary mode."""
    headers = {"ce-specversion": "1.0", "ce-id": f"{scan['parcel']}-{scan['state']}",
               "ce-type": "parcel.scanned", "ce-source": f"/depots/{scan['depot']}",
               "ce-subject": scan["parcel"], "ce-time": scan["scanned"]}
    return aio_pika.Message(json.dumps(scan).encode(), headers=headers, content_type="application/json",
                            delivery_mode=aio_pika.DeliveryMode.PERSISTENT)


async def publish(rows: Iterable[Scan], url: str, exchange_name: str) -> int:
    """Publish each scan under `scan.DEPOT.STATE`; returns how many once RabbitMQ has them all."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(exchange_name, "topic", durable=True)
        count = 0
        for count, scan in enumerate(rows, 1):  # noqa: B007  it is the result
            await exchange.publish(message(scan), f"scan.{scan['depot']}.{scan['state']}")
        return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", default="amqp://guest:guest@localhost:5672/")
    parser.add_argument("--exchange", default="parcels")
    parser.add_argument("--parcels", type=int, default=200)
    parser.add_argument("--show", action="store_true")
    chosen = parser.parse_args()
    if chosen.show:
        for scan in scans(chosen.parcels):
            print(json.dumps(scan))
        return
    count = asyncio.run(publish(scans(chosen.parcels), chosen.url, chosen.exchange))
    print(f"{count} scans published to {chosen.exchange}")


if __name__ == "__main__":
    main()
