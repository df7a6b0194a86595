"""The command that opens a conversation with finished runs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from shepherd.cli import terminal
from shepherd.cli.options import MaxNewTokens, PromptOption, Temperature, TopK, TopP

if TYPE_CHECKING:
    from shepherd.evaluation.decoding import DecodingSettings


@terminal.app.command()
def chat(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN…", help="Run, baseline or adapter directories, or plain models; a column each."
        ),
    ],
    in_terminal: Annotated[
        bool, typer.Option("--terminal", help="Talk here instead of in a browser.")
    ] = False,
    base: Annotated[bool, typer.Option(help="The untuned base answers too.")] = True,
    host: Annotated[
        str, typer.Option(help="Who may open the page: 127.0.0.1 is this machine.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The page's port; the first free one from 7860 on.")
    ] = None,
    max_new_tokens: MaxNewTokens = 128,
    temperature: Temperature = 0.0,
    top_p: TopP = None,
    top_k: TopK = None,
    prompt: PromptOption = "alpaca",
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same answer.")] = 0,
) -> None:
    """Talk to runs side by side, in a local page or in the terminal.

    Every model gets the same prompt, and every prompt stands alone.
    """
    from shepherd.evaluation.decoding import DecodingSettings
    from shepherd.settings import checked

    chosen = {
        "max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p, "top_k": top_k, "seed": seed
    }  # fmt: skip
    decoding = checked(DecodingSettings, chosen, "Decoding")
    if in_terminal:
        _talk_here(runs, base, prompt, decoding)
    else:
        _serve(runs, base, prompt, decoding, host, port)


def _talk_here(runs: list[str], base: bool, prompt: str, decoding: DecodingSettings) -> None:
    from shepherd.chat.models import open_speakers
    from shepherd.chat.terminal import TerminalChat

    TerminalChat(open_speakers(runs, base, prompt), decoding, terminal.out).run()


def _serve(
    runs: list[str], base: bool, prompt: str, decoding: DecodingSettings, host: str, port: int | None
) -> None:
    from shepherd.addresses import is_loopback
    from shepherd.chat.page import ChatPage, load_gradio
    from shepherd.chat.server import address, bind, server

    # What can be refused at once is, before models are loaded.
    load_gradio()
    with bind(host, port) as listener:
        if not is_loopback(host):
            warning = f"Whoever reaches {host} can talk to these models: the page asks for no password."
            terminal.err.print(warning, style="yellow", highlight=False, markup=False, soft_wrap=True)
        from shepherd.chat.models import open_speakers

        page = ChatPage(open_speakers(runs, base, prompt), decoding)
        terminal.say(f"The page is at {address(listener)} (Ctrl-C ends it)")
        with suppress(KeyboardInterrupt):
            server(page, host).run(sockets=[listener])
