"""What the tests of people's ratings begin with: three models, and a way to let them answer."""

from __future__ import annotations

from shepherd.study.answers import Answer, ModelCard
from shepherd.study.directory import Study, write_lines

MODELS = ("alone/client-03", "federated", "chatgpt")


def answer(study: Study, label: str, texts: dict[str, str]) -> None:
    """Let a model answer."""
    study.write_card(ModelCard(label, "run", f"runs/{label}"))
    write_lines(study.answers_path(label), [Answer(name, text) for name, text in texts.items()])
