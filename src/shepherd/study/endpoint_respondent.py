"""A model behind an OpenAI-compatible endpoint that is asked like the others: FedIT's ChatGPT column (figure 3).

It gets the question's words with its context below, without a template; its server has its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from shepherd.endpoint import EndpointSettings, Message, Reply, ReplyStore, Request, ask
from shepherd.errors import ShepherdError
from shepherd.evaluation.decoding import DecodingSettings
from shepherd.study.answers import Answer, ModelCard
from shepherd.study.questions import Question

#: Why an answer ended, as servers say it, if the model did not end it by itself.
_CUT = {"length", "max_tokens"}


@dataclass(frozen=True)
class EndpointRespondent:
    """A model at its endpoint.

    Attributes
    ----------
    card : ModelCard
        Who it is.
    settings : EndpointSettings
        Where it is, and how it is asked.
    replies : Path
        The file in which every reply is kept as it comes, so that none is paid for twice.
    """

    card: ModelCard
    settings: EndpointSettings
    replies: Path

    def answers(
        self, questions: Sequence[Question], decoding: DecodingSettings, batch_size: int | None = None
    ) -> Iterator[Answer]:
        """Yield every answer as it comes; how many are asked at once is the endpoint's own setting.

        Raises
        ------
        ShepherdError
            If a setting has no place in a request, or the endpoint does not answer.
        """
        check_decoding(decoding)
        requests = {self._request(question, decoding): question.id for question in questions}
        names: dict[str, list[str]] = {}
        for question in questions:
            names.setdefault(self._request(question, decoding).key, []).append(question.id)
        for reply in _as_they_come(self.settings, list(requests), ReplyStore(self.replies)):
            for name in names[reply.key]:
                yield _answer(name, reply)

    def _request(self, question: Question, decoding: DecodingSettings) -> Request:
        text = (
            f"{question.instruction}\n\n{question.context}"
            if question.context.strip()
            else question.instruction
        )
        limits = (decoding.temperature, decoding.max_new_tokens)
        return Request((Message("user", text),), self.settings.model, *limits)


def open_endpoint(label: str, settings: EndpointSettings, replies: Path) -> EndpointRespondent:
    """Return a respondent. Whether its endpoint is there is found out when it is asked, or by `check` before."""
    about = {"base_url": settings.url}
    card = ModelCard(label, "endpoint", settings.model, fingerprint=settings.model, about=about)
    return EndpointRespondent(card, settings, replies)


def check_decoding(decoding: DecodingSettings) -> None:
    """Refuse settings that an endpoint cannot be told of."""
    if decoding.temperature > 2:
        raise ShepherdError(f"An endpoint's temperature is from 0 to 2, not {decoding.temperature:g}.")
    if decoding.top_p is not None or decoding.top_k is not None or decoding.repetition_penalty != 1:
        raise ShepherdError(
            "An endpoint is told the temperature and the longest answer only; leave --top-p, --top-k and "
            "--repetition-penalty out, or ask it by a command of its own."
        )


def _answer(name: str, reply: Reply) -> Answer:
    ended = None if reply.finish is None else reply.finish not in _CUT
    return Answer(name, reply.text.strip(), reply.completion_tokens, ended)


def _as_they_come(
    settings: EndpointSettings, requests: Sequence[Request], store: ReplyStore
) -> Iterator[Reply]:
    """Yield what is stored, then every new reply; the asking goes on in a thread of its own."""
    stored = [store.get(request.key) for request in requests]
    yield from (reply for reply in stored if reply is not None)
    come: SimpleQueue[Reply | Exception | None] = SimpleQueue()

    def run() -> None:
        """Ask; None marks the end, and an error is passed on."""
        try:
            ask(settings, requests, store, come.put)
            come.put(None)
        except Exception as error:  # whatever it is, it belongs to whoever waits
            come.put(error)

    threading.Thread(target=run, name=f"endpoint: {settings.model}", daemon=True).start()
    while (reply := come.get()) is not None:
        if isinstance(reply, Exception):
            raise reply
        yield reply
