#!/usr/bin/env python3
"""Makes synthetic.csv, the small trace that is shipped: sizes of 1 to 16 vCPUs with 1, 2, 4 or 8 GB each, small ones far more often; births in
bursts; lifetimes of a heavy tail. Made up, to try mayfly-replay with; policies are judged on real traces. Same seed, same file."""
import random
import sys

SEED, ROWS = 6, 3000


def main():
    r, at = random.Random(SEED), 0
    print("vmid,cpu,mem,at,lt")
    for row in range(ROWS):
        at += 0 if r.random() < 0.6 else int(r.expovariate(1 / 90))
        cpu = r.choices((1, 2, 4, 8, 16), (30, 30, 24, 12, 4))[0]
        mem = cpu * r.choices((1, 2, 4, 8), (30, 40, 25, 5))[0]
        life = min(int(300 * r.paretovariate(1.1)), 400000)
        print(f"{row},{cpu},{mem},{at},{life}")


if __name__ == "__main__":
    sys.exit(main())
