"""Everybody who is to answer, one after the other, with one base model in memory at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shepherd.endpoint import EndpointSettings, check
from shepherd.evaluation.decoding import DecodingSettings
from shepherd.settings import checked
from shepherd.study.answering import Answered, Watcher, answer, replies_path
from shepherd.study.directory import Study
from shepherd.study.endpoint_respondent import check_decoding, open_endpoint
from shepherd.study.sources import Source

if TYPE_CHECKING:
    from shepherd.study.bases import LoadedBase


@dataclass(frozen=True)
class Asking:
    """How everybody is asked.

    Attributes
    ----------
    decoding : DecodingSettings
        How answers are generated.
    prompt : str
        The prompt of adapters and plain models.
    batch_size : int, optional
        Answers generated at once; what suits the device unless told.
    anew : bool
        Throw earlier answers away.
    base_url : str, optional
        The server of the models behind an endpoint.
    key_variable : str
        The environment variable with its key.
    concurrency : int
        Questions an endpoint is asked at once.
    timeout_s : float
        Seconds to wait for one of its answers.
    """

    decoding: DecodingSettings
    prompt: str = "alpaca"
    batch_size: int | None = None
    anew: bool = False
    base_url: str | None = None
    key_variable: str = "OPENAI_API_KEY"
    concurrency: int = 16
    timeout_s: float = 60

    def check(self, sources: Sequence[Source]) -> None:
        """Find out now, and not hours later, whether the endpoints can be asked.

        Raises
        ------
        ShepherdError
            If one cannot.
        """
        for source in sources:
            if source.kind == "endpoint":
                check_decoding(self.decoding)
                check(self._endpoint(source))

    def ask(self, study: Study, sources: Sequence[Source], watcher: Watcher | None = None) -> list[Answered]:
        """Have everybody answer what is missing; see `answer`."""
        from shepherd.study.bases import LoadedBase  # who asks endpoints only waits for no transformers

        loaded = LoadedBase()
        return [self._ask(study, source, loaded, watcher) for source in sources]

    def _ask(self, study: Study, source: Source, loaded: LoadedBase, watcher: Watcher | None) -> Answered:
        # What is opened is let go of on return: the next base is loaded when this one is gone.
        if source.kind == "endpoint":
            respondent = open_endpoint(
                source.label, self._endpoint(source), replies_path(study, source.label)
            )
            return answer(study, respondent, self.decoding, self.batch_size, self.anew, watcher)
        from shepherd.study.respondents import open_respondent

        local = open_respondent(source, prompt=self.prompt, loaded=loaded)
        return answer(study, local, self.decoding, self.batch_size, self.anew, watcher)

    def _endpoint(self, source: Source) -> EndpointSettings:
        values = {
            "model": source.place,
            "base_url": self.base_url,
            "key_variable": self.key_variable,
            "concurrency": self.concurrency,
            "timeout_s": self.timeout_s,
        }
        return checked(EndpointSettings, values, f"The endpoint of {source.place}")
