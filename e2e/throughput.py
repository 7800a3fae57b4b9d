"""Measures engines side by side: the same loads on one server after the other, in turn.

    PILLARBOX=path/to/pillarbox PILLARBOX_S3=path/to/s3-for-tests python3 e2e/throughput.py [ROUNDS]

Eight client processes on this machine, each with an account of its own. Every APPEND and STORE is
durable when it is answered, in PostgreSQL as well (its fsync is on). Prints the median of the
rounds; the servers of all engines run, and one of them works.
"""

import multiprocessing
import random
import statistics
import sys
import time

import engines
import server
import wire

CLIENTS = 8
APPENDS = 40
STORES = 150
FETCHES = 20
ENGINES = ["local", "postgres", "postgres+s3"]


def message(dice):
    """4 to 300 KiB, mostly short, of text that compresses about as mail does."""
    size = int(4096 * (300 / 4) ** (dice.random() ** 3))
    words = [b"%x" % dice.getrandbits(20) for _ in range(400)]
    lines, length = [b"Subject: Berth %d" % dice.getrandbits(30), b""], 0
    while length < size:
        lines.append(b" ".join(dice.choices(words, k=12)))
        length += len(lines[-1]) + 2
    return b"\r\n".join(lines) + b"\r\n"


def client(port, number, round_number, gate, results):
    dice = random.Random(round_number * 100 + number)
    session = wire.Client(port, f"client{number}@harbour.example", server.PASSWORD)
    mails = [message(dice) for _ in range(APPENDS)]
    session.run(b"SELECT INBOX")
    for name, count, act in (
        ("APPEND", APPENDS, lambda n: session.run(b"APPEND INBOX %L", mails[n])),
        ("STORE", STORES, lambda n: session.run(b"STORE %d FLAGS.SILENT (k%d)" % (1 + n % 40, n))),
        ("FETCH 1:* (FLAGS)", FETCHES, lambda n: session.run(b"FETCH 1:* (FLAGS)")),
    ):
        gate.wait()
        began = time.monotonic()
        for step in range(count):
            act(step)
        results.put((name, count / (time.monotonic() - began)))
    session.logout()


def measure(port, round_number):
    gate, results = multiprocessing.Barrier(CLIENTS), multiprocessing.Queue()
    workers = [
        multiprocessing.Process(target=client, args=(port, number, round_number, gate, results))
        for number in range(CLIENTS)
    ]
    for worker in workers:
        worker.start()
    rates = {}
    for _ in range(CLIENTS * 3):
        name, rate = results.get(timeout=300)
        rates[name] = rates.get(name, 0) + rate
    for worker in workers:
        worker.join()
    return rates


def main(rounds):
    engines.Postgres.fsync = "on"
    servers = {}
    for engine in ENGINES:
        servers[engine] = server.Server(place=engines.Place(engine)).start()
        for number in range(CLIENTS):
            servers[engine].account(f"client{number}@harbour.example")
    measured = {}
    for round_number in range(rounds):
        for engine in ENGINES:
            for name, rate in measure(servers[engine].imap, round_number).items():
                measured.setdefault((name, engine), []).append(rate)
    print("| a second, median of", rounds, "rounds |", " | ".join(ENGINES), "|")
    print("|---|" + "---|" * len(ENGINES))
    for name in ("APPEND", "STORE", "FETCH 1:* (FLAGS)"):
        row = [f"{statistics.median(measured[name, engine]):.0f}" for engine in ENGINES]
        print(f"| {name} | " + " | ".join(row) + " |")
    for one in servers.values():
        for complaint in one.stop():
            print("server:", complaint)
        one.remove()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
