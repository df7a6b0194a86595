"""What a judge has said so far, and what it must be asked next.

A rating is settled by the first of its replies that can be read, or when it has been asked for as often as is allowed.
Everything here follows from the study's answers, the judge's record and its replies: asking goes on where it stopped,
and what was said can be read again at any time.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from shepherd.endpoint import Message, ReplyStore, Request
from shepherd.judge.comparisons import Rating
from shepherd.judge.judgement import Form, Judgement, Winner
from shepherd.judge.prompts import JudgePrompt
from shepherd.judge.reading import Reading, read, shortened
from shepherd.judge.record import Record
from shepherd.study.directory import Study


class Hearing:
    """One judge's replies, beside what it is asked about.

    Parameters
    ----------
    study : Study
        The questions and answers.
    record : Record
        How the judge is asked, and about what.
    prompts : dict of str to JudgePrompt
        The prompt of every form in the record.
    store : ReplyStore
        What the judge has said.
    """

    def __init__(
        self, study: Study, record: Record, prompts: dict[Form, JudgePrompt], store: ReplyStore
    ) -> None:
        self.record, self.prompts, self.store = record, prompts, store
        self.questions = {question.id: question for question in study.questions()}
        self.places = {id: place for place, id in enumerate(self.questions)}
        labels = {label for c in record.comparisons for label in (c.model, c.reference) if label}
        self.answers = {label: study.answers(label) for label in sorted(labels)}
        self._messages = cache(self._built)
        self._keys: dict[tuple[Rating, int], str] = {}

    def request(self, rating: Rating, again: int) -> Request | None:
        """Return what is asked for a rating when it is asked `again` times; None without answers to judge.

        The turn makes every asking a request of its own. Where two answers are equal, so are the requests in both
        orders, and one reply serves them.
        """
        messages = self._messages(*rating[:-1])
        if messages is None:
            return None
        turn = rating.rating * (self.record.retries + 1) + again
        return Request(messages, self.record.model, self.record.temperature, self.record.max_tokens, turn)

    def next_requests(self, ratings: Iterable[Rating]) -> dict[str, Request]:
        """Return the requests that would bring ratings nearer to being settled, by key."""
        found = (self._next(rating) for rating in ratings)
        return {request.key: request for request in found if request is not None}

    def judgements(self, ratings: Iterable[Rating]) -> list[Judgement]:
        """Return what the judge said, of the ratings that are settled."""
        found = (self._judgement(rating) for rating in ratings)
        return [judgement for judgement in found if judgement is not None]

    def _next(self, rating: Rating) -> Request | None:
        if self._judgement(rating) is not None:
            return None
        for again in range(self.record.retries + 1):
            if self.store.get(self._key(rating, again)) is None:
                return self.request(rating, again)
        return None

    def _judgement(self, rating: Rating) -> Judgement | None:
        judgement = None
        for again in range(self.record.retries + 1):
            reply = self.store.get(self._key(rating, again))
            if reply is None:
                return None
            reading = read(rating.form, reply.text)
            judgement = _judgement(rating, reading, reply.text, reply.key)
            if reading is not None:
                break
        return judgement

    def _key(self, rating: Rating, again: int) -> str:
        """Return a request's key; hashing is most of the work here, so it is done once."""
        place = rating, again
        if place not in self._keys:
            request = self.request(rating, again)
            self._keys[place] = request.key if request is not None else ""
        return self._keys[place]

    def _built(
        self, question: str, model: str, reference: str, form: Form, swapped: bool
    ) -> tuple[Message, ...] | None:
        labels = [label for label in (model, reference) if label]
        answers = [self.answers[label].get(question) for label in labels]
        texts = [answer.answer for answer in answers if answer is not None]
        if len(texts) < len(labels):
            return None
        shown = reversed(texts) if swapped else texts
        return self.prompts[form].messages(self.questions[question], *shown)


def _judgement(rating: Rating, reading: Reading | None, said: str, key: str) -> Judgement:
    """Return a reply with its scores given to whom they belong."""
    scores: list[float | None] = list(reading.scores) if reading else []
    scores += [None] * (2 - len(scores))
    return Judgement(
        form=rating.form,
        question=rating.question,
        model=rating.model,
        reference=rating.reference,
        swapped=rating.swapped,
        rating=rating.rating,
        score=scores[1] if rating.swapped else scores[0],
        reference_score=scores[0] if rating.swapped else scores[1],
        winner=_winner(reading, rating.swapped),
        reason=reading.reason if reading else shortened(said),
        readable=reading is not None,
        reply=key,
    )


def _winner(reading: Reading | None, swapped: bool) -> Winner | None:
    if reading is None or reading.better is None:
        return None
    if reading.better == "tie":
        return "tie"
    return "model" if (reading.better == "first") != swapped else "reference"
