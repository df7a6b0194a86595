"""What counts as a word when answers are compared, in any script.

Letters, digits and the marks that belong to them (accents, vowel signs) make a word, whatever their case and however
they are encoded. Chinese, Japanese, Thai, Lao, Burmese and Khmer put no spaces between words, and finding them needs a
dictionary; every letter of theirs, with its marks, is a word of its own here, as in the multilingual question
answering benchmarks (MLQA, arXiv 1910.07475). It is coarser, but the same for every model.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

#: First and last of the letters between which no spaces are written, by script.
_WITHOUT_SPACES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # Han: repetition, closing and zero signs
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana, Ainu
    (0x3400, 0x4DBF),  # Han, extension A
    (0x4E00, 0x9FFF),  # Han
    (0xF900, 0xFAFF),  # Han, compatibility
    (0xFF66, 0xFF9D),  # Katakana, half width
    (0x20000, 0x3FFFF),  # Han, the other extensions
)


def words(text: str) -> list[str]:
    """Return a text's words for ROUGE; whatever is no letter, digit or mark ends one."""
    return "".join(_spaced(text, " ")).split()


def bare_words(text: str) -> list[str]:
    """Return a text's words as SQuAD counts them: punctuation and symbols are dropped, so ``don't`` is one word."""
    return "".join(_spaced(text, "")).split()


def _spaced(text: str, other: str) -> Iterator[str]:
    """Yield the text's characters, with spaces where words end and `other` for what is in no word."""
    alone = False  # whether the last letter is a word of its own
    for character in unicodedata.normalize("NFC", text.casefold()):
        category = unicodedata.category(character)[0]
        if character.isspace():
            yield " "
        elif category == "M":
            yield character
        elif category in "LN":
            before, alone = alone, category == "L" and _is_a_word(character)
            yield f" {character}" if alone or before else character
        else:
            yield other


def _is_a_word(letter: str) -> bool:
    return letter >= "\u0e00" and any(first <= ord(letter) <= last for first, last in _WITHOUT_SPACES)
