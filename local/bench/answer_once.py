"""One fresh process up to its first answer: `python answer_once.py MODULE`, the event as JSON on standard input.

Run as a file and not as a module, so that nothing is imported but what the function itself imports. The last line on
standard output is the CPU time so far in seconds, user and system, and the answer.
"""

import sys
import time


def main() -> None:
    import importlib
    import json

    event = json.loads(sys.stdin.read())
    answer = importlib.import_module(sys.argv[1]).handler(event, None)
    spent_s = time.process_time()
    print("\n" + json.dumps({"cpu_s": spent_s, "answer": answer}))


main()
