#!/usr/bin/python3
"""Print events as they happen: exactly, over the client endpoint, or cheaply, from the tail. Ends with Ctrl-C, or after --count events.

    follow.py --broker tcp://HOST:PORT --key bob.cert_secret [--from SEQ] [--type instance.] [--subject default/web]
    follow.py --tail tcp://HOST:PORT --key bob.cert_secret [--topic default/web/]
"""
import argparse
import itertools
import sys

import msgpack
import zmq

from mayfly_client import Client, Refused, connect, read_certificate


def tail(endpoint, key, topic):
    """Rows from the tail; a jump in seq is missed rows only for one who takes all topics."""
    socket = connect(zmq.Context.instance(), zmq.SUB, endpoint, read_certificate(key))
    socket.subscribe(topic)
    last = None
    while True:
        _, body = socket.recv_multipart()
        row = msgpack.unpackb(body)
        if not topic and last is not None and row["seq"] != last + 1:
            print(f"missed {row['seq'] - last - 1} rows: read them with --broker ... --from {last + 1}", file=sys.stderr)
        last = row["seq"]
        yield row


def main():
    parser = argparse.ArgumentParser(description="Print events as they happen.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--broker", metavar="tcp://HOST:PORT", help="client endpoint: an exact stream")
    where.add_argument("--tail", metavar="tcp://HOST:PORT", help="tail endpoint: live only, rows may be missed")
    parser.add_argument("--key", required=True, metavar="FILE")
    parser.add_argument("--from", dest="start", type=int, default=0, metavar="SEQ")
    parser.add_argument("--type", default="", metavar="PREFIX")
    parser.add_argument("--subject", default="")
    parser.add_argument("--topic", default="", metavar="PREFIX")
    parser.add_argument("--count", type=int, metavar="N", help="end after this many")
    args = parser.parse_args()
    try:
        if args.tail:
            rows = tail(args.tail, args.key, args.topic)
        else:
            rows = Client(args.broker, args.key).follow(args.start, args.type, args.subject)
        for row in itertools.islice(rows, args.count):
            print(row["seq"], row["time_ms"], row["type"], row["subject"], f"cause={row['cause']}", row["data"], flush=True)
    except KeyboardInterrupt:
        pass
    except (Refused, OSError, ValueError, zmq.ZMQError) as error:
        print(f"follow.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
