"""The page: one prompt, the models' answers in columns side by side, as they are spoken.

Only this file knows gradio's components. What is asked and answered comes from `exchange.py`; who may see the
page is `server.py`'s matter.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from shepherd.chat.exchange import Exchange, Turn, ask, side_by_side
from shepherd.chat.page_parts import answer, log, model_heading, sent, state
from shepherd.errors import ShepherdError
from shepherd.evaluation.decoding import DecodingSettings
from shepherd.settings import checked

if TYPE_CHECKING:
    from shepherd.chat.models import Speaker

_ABOUT = (
    "<h1>Shepherd chat</h1><p>Every model gets the same prompt. Each prompt stands alone: the models were tuned on "
    "single turns, so nothing of an earlier prompt is sent with it. All of it runs on the machine that serves this "
    "page.</p>"
)
#: Prompts, of several tabs or people, that are answered at once; the rest wait.
_TALKS = 8
_SAVE = """(lines) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines || ""], {type: "application/jsonl"}));
    link.download = "shepherd-chat.jsonl";
    link.click();
    URL.revokeObjectURL(link.href);
}"""


class ChatPage:
    """The page and what its controls do.

    Parameters
    ----------
    speakers : sequence of Speaker
        The models, a column each.
    decoding : DecodingSettings
        What the decoding controls say at first.

    Attributes
    ----------
    blocks : gradio.Blocks
        The page.
    theme, css : gradio.Theme, str
        How it looks; fonts are the system's own, so that none is fetched.
    """

    def __init__(self, speakers: Sequence[Speaker], decoding: DecodingSettings) -> None:
        self.speakers = list(speakers)
        self.gradio = load_gradio()
        sans, mono = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
        theme = self.gradio.themes.Default(primary_hue="blue", font=sans, font_mono=mono)
        # A shade darker than gradio's own: white text on it is then readable (5.2 : 1).
        self.theme = theme.set(button_primary_background_fill="*primary_600")
        self.css = (resources.files("shepherd.chat") / "page.css").read_text(encoding="utf-8")
        with self.gradio.Blocks(title="Shepherd chat", analytics_enabled=False) as self.blocks:
            self.gradio.HTML(_ABOUT, elem_id="about")
            self._prompt()
            self.decoding = self._decoding_controls(decoding)
            self.state = self.gradio.HTML(state(""), elem_id="state")
            with self.gradio.Row(elem_id="speakers"):
                self.columns = [self._column(speaker) for speaker in self.speakers]
            self._log()
            self._wire()

    def _prompt(self) -> None:
        self.instruction = self.gradio.Textbox(
            value="", label="Prompt", lines=1, max_lines=10, autofocus=True,
            placeholder="Enter asks all models; Shift+Enter begins a new line",
        )  # fmt: skip
        with self.gradio.Row():
            self.ask = self.gradio.Button("Ask", variant="primary", scale=0, min_width=120)
            self.stop = self.gradio.Button("Stop", interactive=False, scale=0, min_width=120)
        with self.gradio.Accordion("Context", open=False):
            self.context = self.gradio.Textbox(
                value="", label="Context (the prompt's input)", lines=3, max_lines=12,
                placeholder="A text the prompt is about; may stay empty",
            )  # fmt: skip

    def _decoding_controls(self, chosen: DecodingSettings) -> dict[str, Any]:
        """Return the control of each decoding setting, by the setting's name."""
        number, slider = self.gradio.Number, self.gradio.Slider
        with self.gradio.Accordion("Decoding", open=False), self.gradio.Row():
            return {
                "temperature": slider(
                    0, max(2, chosen.temperature), chosen.temperature, step=0.05, label="Temperature",
                    info="0: the likeliest token, always", min_width=220,
                ),
                "top_p": slider(
                    0.05, 1, chosen.top_p or 1, step=0.05, label="Top-p", info="1: draw from all tokens",
                    min_width=220,
                ),
                "top_k": number(
                    chosen.top_k or 0, precision=0, label="Top-k", info="0: draw from all tokens", min_width=150
                ),
                "max_new_tokens": number(
                    chosen.max_new_tokens, precision=0, label="Longest answer", info="in tokens", min_width=150
                ),
                "seed": number(
                    chosen.seed, precision=0, label="Seed", info="the same gives the same", min_width=150
                ),
            }  # fmt: skip

    def _column(self, speaker: Speaker) -> Column:
        nothing = Turn(speaker.card.label, speaker.card.source)
        with self.gradio.Column(elem_classes="speaker"):
            self.gradio.HTML(model_heading(speaker.card.label, speaker.about))
            said = self.gradio.HTML(answer(nothing))
            with self.gradio.Accordion("The prompt as sent", open=False):
                asked = self.gradio.HTML(sent(nothing))
        return Column(said, asked)

    def _log(self) -> None:
        with self.gradio.Accordion("All that was asked", open=True):
            self.log = self.gradio.HTML("Nothing yet.", elem_id="log")
            self.save = self.gradio.Button(
                "Save as JSON lines", size="sm", interactive=False, scale=0, min_width=160
            )
            self.lines = self.gradio.Textbox(visible="hidden", label="All that was asked, as JSON lines")
        self.exchanges = self.gradio.State([])
        self.switch = self.gradio.State(Switch())

    def _wire(self) -> None:
        inputs = [self.instruction, self.context, self.switch, self.exchanges, *self.decoding.values()]
        shown = [part for column in self.columns for part in column]
        asked = self.gradio.on(
            [self.ask.click, self.instruction.submit],
            self.answer,
            inputs,
            [self.state, self.ask, self.stop, self.log, self.save, self.lines, self.exchanges, *shown],
            show_progress="hidden",
            concurrency_limit=_TALKS,
            api_visibility="private",
        )
        asked.then(self._ready, None, [self.ask, self.stop], show_progress="hidden", api_visibility="private")
        # Beside the queue: the answer to be stopped is what holds it.
        self.stop.click(_throw, self.switch, None, queue=False, api_visibility="private")
        self.save.click(None, self.lines, None, js=_SAVE)

    def answer(
        self, instruction: str, context: str, switch: Switch, exchanges: list[Exchange], *decoding: Any
    ) -> Iterator[dict[Any, Any]]:
        """Ask all models; yield what changes on the page, by component."""
        if not instruction.strip():
            yield {self.state: state("Write a prompt first.", hint=True)}
            return
        try:
            settings = checked(DecodingSettings, self._chosen(decoding), "Decoding")
        except ShepherdError as error:
            yield {self.state: state(str(error), hint=True)}
            return
        exchange = Exchange.begin(self.speakers, instruction, context, settings)
        switch.event.clear()
        yield self._begin(exchange)
        for number, turn in side_by_side(ask(self.speakers, exchange, switch.event)):
            exchange = exchange.with_turn(number, turn)
            yield self._show(number, turn)
        yield self._end([*exchanges, exchange], switch.event.is_set())

    def _chosen(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return what the decoding controls say, in the settings' own terms."""
        chosen = dict(zip(self.decoding, values, strict=True))
        everything = {
            "top_k": chosen["top_k"] or None,
            "top_p": None if chosen["top_p"] == 1 else chosen["top_p"],
        }
        return {**chosen, **everything}

    def _begin(self, exchange: Exchange) -> dict[Any, Any]:
        found = {
            self.state: state("Answering …"),
            self.ask: self.gradio.update(interactive=False),
            self.stop: self.gradio.update(interactive=True),
        }
        for number, turn in enumerate(exchange.turns):
            found |= self._show(number, turn)
        return found

    def _show(self, number: int, turn: Turn) -> dict[Any, Any]:
        column = self.columns[number]
        return {column.answer: answer(turn), column.sent: sent(turn)}

    def _ready(self) -> tuple[Any, Any]:
        """Let the next prompt be asked, whatever became of this one."""
        return self.gradio.update(interactive=True), self.gradio.update(interactive=False)

    def _end(self, exchanges: list[Exchange], stopped: bool) -> dict[Any, Any]:
        failed = any(turn.trouble for turn in exchanges[-1].turns)
        answered = "Done; not every model could answer." if failed else "All models have answered."
        return {
            self.state: state("Stopped." if stopped else answered),
            self.save: self.gradio.update(interactive=True),
            self.log: log(exchanges),
            self.lines: "".join(exchange.to_line() + "\n" for exchange in exchanges),
            self.exchanges: exchanges,
        }


class Column(NamedTuple):
    """What changes in a model's column."""

    answer: Any
    sent: Any


class Switch:
    """Stops a session's answers; every session that gradio copies it for has its own."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __deepcopy__(self, memo: dict[int, Any]) -> Switch:
        return Switch()


def load_gradio() -> Any:
    """Import gradio, which then tells nobody of it.

    Raises
    ------
    ShepherdError
        If it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio
    except ImportError as error:
        raise ShepherdError(
            "The chat page needs gradio; install it with: pip install 'fedshepherd[chat]', or add --terminal."
        ) from error
    return gradio


def _throw(switch: Switch) -> None:
    switch.event.set()
