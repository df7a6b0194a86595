"""The Hugging Face hub, asked once and quickly: its client tries for half a minute when there is no network."""

from __future__ import annotations

from typing import Literal

from shepherd.errors import ShepherdError


def only_cached(name: str, kind: Literal["model", "dataset"]) -> bool:
    """Say whether `name` must be read from the local cache, because the hub cannot be reached.

    Raises
    ------
    ShepherdError
        If the hub cannot be reached and nothing of that name is in the cache either.
    """
    from huggingface_hub import HfApi, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound, HfHubHTTPError

    hub = HfApi()
    ask = hub.model_info if kind == "model" else hub.dataset_info
    try:
        ask(name, timeout=10)
    except HfHubHTTPError:
        return False  # it answered; what is wrong with the name is said better when it is loaded
    except Exception as error:  # every transport has its own kinds
        try:
            cached = any(repo.repo_id == name and repo.repo_type == kind for repo in scan_cache_dir().repos)
        except CacheNotFound:
            cached = False
        if not cached:
            raise ShepherdError(
                f"'{name}' is neither a local path nor in the Hugging Face cache, and the hub cannot be reached "
                f"({' '.join(str(error).split())[:100]}); check the name and the network, or give a local path."
            ) from error
        return True
    return False
