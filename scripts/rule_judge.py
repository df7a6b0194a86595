"""A judge without a model: it speaks OpenAI's chat completions and rates by a few plain rules.

    python scripts/rule_judge.py --port 8011 &
    shepherd judge --against MODEL --model rules --base-url http://127.0.0.1:8011/v1 --study studies/vicuna

It lets the whole path be walked where there is neither a key nor a model that can judge. Its ratings reward words of
the question, and punish repetition and answers that stop in the middle of a sentence; they say nothing about truth, so
nobody should believe them. It may be noisy and fond of the first answer, to see whether the study finds that out.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

_PIECE = re.compile(r"<<<(?P<name>[A-Z0-9 ]+) BEGINS>>>\n(?P<text>.*?)\n<<<(?P=name) ENDS>>>", re.DOTALL)
_WORD = re.compile(r"\w+")


def grade(question: str, answer: str) -> float:
    """Return a grade from 1 to 10."""
    asked, said = set(_WORD.findall(question.lower())), _WORD.findall(answer.lower())
    if not said:
        return 1.0
    fresh = len(set(said)) / len(said)
    relevant = len({word for word in set(said) & asked if len(word) > 3}) / max(
        1, sum(len(word) > 3 for word in asked)
    )
    enough = min(len(said), 40) / 40
    whole = answer.rstrip().endswith((".", "!", "?", ")"))
    return 1 + 9 * (0.4 * fresh + 0.25 * min(1.0, relevant) + 0.2 * enough + 0.15 * whole)


def rate(prompt: str, noise: float, bias: float, draws: random.Random) -> str:
    """Return a reply in the form that the prompt asks for: two scores, a verdict, or one grade."""
    pieces = [piece["text"] for piece in _PIECE.finditer(prompt)]
    question, answers = (
        pieces[0],
        [piece["text"] for piece in _PIECE.finditer(prompt) if "ANSWER" in piece["name"]],
    )
    grades = [grade(question, answer) + draws.gauss(0, noise) for answer in answers[-2:]]
    if len(grades) == 2:
        grades[0] += bias
    shown = [min(10.0, max(1.0, round(2 * value) / 2)) for value in grades]
    if "[[A]]" in prompt:
        verdict = "C" if shown[0] == shown[1] else "A" if shown[0] > shown[1] else "B"
        return f"By rule: {shown[0]:g} against {shown[1]:g}.\n[[{verdict}]]"
    if "[[" in prompt:
        return f"By rule.\nRating: [[{shown[0]:g}]]"
    return f"{shown[0]:g} {shown[1]:g}\nBy rule: fresh words, the question's, up to 40 of them, a whole last sentence."


def handler(noise: float, bias: float) -> type[BaseHTTPRequestHandler]:
    numbers = count()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send({"object": "list", "data": [{"id": "rules", "object": "model"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = "\n".join(message["content"] for message in body["messages"])
            asked = body["messages"][-1]["content"]
            said = rate(asked, noise, bias, random.Random(next(numbers)))
            tokens = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(said) // 4}
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
            self.send({"object": "chat.completion", "model": "rules", "choices": [choice], "usage": tokens})

        def send(self, value: dict) -> None:
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=8011)
    parser.add_argument("--noise", type=float, default=0.5, help="standard deviation of a grade")
    parser.add_argument("--bias", type=float, default=0.3, help="added to the first answer's grade")
    options = parser.parse_args()
    ThreadingHTTPServer(("127.0.0.1", options.port), handler(options.noise, options.bias)).serve_forever()


if __name__ == "__main__":
    main()
