#!/usr/bin/python3
"""Provision a group over the bus, watch its instances come up, destroy it, and watch it go. Exit status: 0 done, 1 refused or failed.

    provision.py --broker tcp://HOST:PORT --key alice.cert_secret --group web --count 3 --image tiny --offering small
"""
import argparse
import sys
import time

import zmq

from mayfly_client import Client, Refused, text_id

ENDED = {"instance.failed", "instance.died", "instance.lost", "instance.tombstoned", "instance.destroying", "instance.gone"}


def arguments():
    parser = argparse.ArgumentParser(description="Provision a group, follow it, destroy it.")
    parser.add_argument("--broker", required=True, metavar="tcp://HOST:PORT")
    parser.add_argument("--key", required=True, metavar="FILE", help="secret certificate of an operator or client")
    parser.add_argument("--group", default="stranger")
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--image", default="tiny")
    parser.add_argument("--offering", default="small")
    parser.add_argument("--user-data", metavar="FILE")
    parser.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS")
    return parser.parse_args()


def describe(row):
    data = row["data"]
    words = [str(data[key]) for key in ("node", "reason", "code", "text") if data.get(key)]
    if "id" in data:
        words.insert(0, text_id(data["id"]))
    return " ".join(words)


def run(args):
    user_data = open(args.user_data, "rb").read() if args.user_data else None
    with Client(args.broker, args.key) as client:
        begin = time.monotonic()
        accepted = client.request("provision", group=args.group, count=args.count, image=args.image, offering=args.offering,
                                  user_data=user_data)
        print(f"accepted: seq {accepted['seq']}, group {text_id(accepted['group_id'])}", flush=True)
        running, destroyed = set(), False
        for row in client.follow(accepted["seq"], subject=f"default/{args.group}", timeout_s=args.timeout):
            took_ms = (time.monotonic() - begin) * 1000
            print(f"{took_ms:8.0f} ms  #{row['seq']} (because of #{row['cause']})  {row['subject']}  {row['type']}  {describe(row)}", flush=True)
            if row["type"] == "instance.running":
                running.add(row["data"]["id"])
            elif row["type"] in ENDED:
                running.discard(row["data"]["id"])
            elif row["type"] == "group.gone" and row["data"]["group_id"] == accepted["group_id"]:
                print("gone")
                return
            if len(running) == args.count and not destroyed:
                print(f"all {args.count} run; destroying {args.group}", flush=True)
                client.request("destroy", target=args.group)
                destroyed = True


def main():
    args = arguments()
    try:
        run(args)
    except (Refused, TimeoutError, OSError, ValueError, zmq.ZMQError) as error:
        print(f"provision.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
