"""An adapter for each cluster of clients: whoever learns alike is averaged with one another, and with nobody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import silhouette_score

from shepherd.aggregation.base import Aggregated
from shepherd.aggregation.weighted import Weighted, refuse_nothing
from shepherd.errors import ShepherdError
from shepherd.messages import ClientUpdate
from shepherd.model.adapter import Adapter
from shepherd.model.lora_pairs import pairs_of
from shepherd.tree import Tree

#: Clients that can be clustered: of two there is no silhouette.
_FEWEST = 3


@dataclass(frozen=True)
class Updates:
    """A round's updates, with what each counts."""

    updates: tuple[tuple[float, ClientUpdate], ...] = field(default=())


class Clustered(Weighted):
    """Clusters of clients by their factors B, as FedLEASE finds them (arXiv 2509.15087, section 4.1).

    For `warmup` rounds there is one adapter for everybody. Then the clients that have come are clustered by the mean
    over the modules of ``1 - cos(B_i, B_j)``, agglomeratively, into that number of clusters which has the best
    silhouette; each cluster goes on from everybody's adapter plus the mean of what its members last learnt. Who comes
    later belongs to the cluster whose members' B its own first is nearest to; until then it is sent everybody's.

    Everybody's adapter is the mean over the clusters by their clients. FedLEASE's router, which mixes the clusters'
    adapters token by token, is not part of it: a client uses the adapter of its own cluster.

    Costs: as fedavg's, and at the server an adapter for each cluster and, in the warm-up, an update for each client.

    Attributes
    ----------
    warmup : int
        Rounds before the clients are clustered.
    most : int
        Most clusters.
    """

    lora_only: ClassVar[bool] = True
    sees_each: ClassVar[bool] = True
    takes_stale: ClassVar[bool] = False
    leaves_own: ClassVar[bool] = True
    name: str = "clustered"
    warmup: int = Field(5, gt=0)
    most: int = Field(8, gt=1)

    def suits(self, config: Any) -> None:
        """Refuse a run that ends before anybody is clustered."""
        super().suits(config)
        if self.warmup >= config.rounds > 0:
            raise ValueError(
                f"aggregation.warmup is {self.warmup} and rounds {config.rounds}, so nobody would ever be clustered; "
                "lower the former, or raise the latter"
            )

    def init(self, adapter: Adapter, clients: int) -> Tree:
        """Return the state: no round, no cluster, and nobody's B."""
        pairs_of(adapter.layout)
        if clients < _FEWEST:
            raise ShepherdError(
                f"aggregation.name={self.name} parts clients into clusters, and there are only {clients}; allocate at "
                f"least {_FEWEST}, or choose another aggregation, e.g. fedavg."
            )
        return {"rounds": 0, "cluster_of": {}, "adapters": {}, "learnt": {}, "centres": {}}

    def sent(self, adapter: Adapter, state: Tree, client: int) -> Adapter:
        """Return the adapter of a client's cluster; everybody's where it has none."""
        cluster = state["cluster_of"].get(str(client))
        if cluster is None:
            return adapter
        return Adapter.from_vector(adapter.layout, state["adapters"][str(cluster)])

    def start(self, adapter: Adapter) -> Updates:
        """Return nobody."""
        return Updates()

    def accumulate(self, accumulator: Updates, update: ClientUpdate) -> Updates:
        """Keep one more update."""
        return replace(accumulator, updates=(*accumulator.updates, (self.weight_of(update), update)))

    def finish(self, adapter: Adapter, accumulator: Updates, state: Tree) -> Aggregated:
        """Return everybody's step, and each cluster's adapter in the state."""
        refuse_nothing(sum(weight for weight, _ in accumulator.updates))
        rounds = int(state["rounds"]) + 1
        if not state["adapters"]:
            learnt = {**state["learnt"]} | {
                str(update.client): update.update.vector.clone() for _, update in accumulator.updates
            }
            step = Adapter.from_vector(adapter.layout, _mean(accumulator.updates))
            state = {**state, "rounds": rounds, "learnt": learnt}
            if rounds >= self.warmup and len(learnt) >= _FEWEST:
                state = self._clustered(adapter, adapter + step, state)
            return Aggregated(step, state, _figures(state))
        return self._after(adapter, accumulator, {**state, "rounds": rounds})

    def _clustered(self, before: Adapter, now: Adapter, state: Tree) -> Tree:
        """Return the state with everybody who has come in a cluster."""
        clients = sorted(state["learnt"], key=int)
        updates = [Adapter.from_vector(now.layout, state["learnt"][client]) for client in clients]
        apart = distances(updates)
        labels = best_clusters(apart, self.most)
        adapters, centres = {}, {}
        for cluster in sorted(set(labels)):
            members = torch.stack([updates[i].vector for i in np.flatnonzero(labels == cluster)])
            centres[str(cluster)] = members.mean(dim=0)
            adapters[str(cluster)] = before.vector + centres[str(cluster)]
        cluster_of = {client: int(label) for client, label in zip(clients, labels, strict=True)}
        return {
            **state,
            "learnt": {},
            "cluster_of": cluster_of,
            "adapters": adapters,
            "centres": centres,
        }

    def _after(self, adapter: Adapter, accumulator: Updates, state: Tree) -> Aggregated:
        """Average within the clusters; who is new finds its own first."""
        cluster_of, adapters = dict(state["cluster_of"]), dict(state["adapters"])
        of_cluster: dict[str, list[tuple[float, ClientUpdate]]] = {}
        for weight, update in accumulator.updates:
            client = str(update.client)
            if client in cluster_of:
                of_cluster.setdefault(str(cluster_of[client]), []).append((weight, update))
            else:
                # It began from everybody's, so what it learnt says where it belongs, and counts from next time on.
                cluster_of[client] = _nearest(update.update, state["centres"])
        for cluster, updates in of_cluster.items():
            if sum(weight for weight, _ in updates) > 0:
                adapters[cluster] = adapters[cluster] + _mean(updates)
        sizes = np.bincount(list(cluster_of.values()), minlength=len(adapters))
        shares = {str(cluster): size / sizes.sum() for cluster, size in enumerate(sizes)}
        everybody = sum(shares[cluster] * vector.double() for cluster, vector in sorted(adapters.items()))
        assert isinstance(everybody, torch.Tensor)
        step = Adapter.from_vector(adapter.layout, (everybody - adapter.vector.double()).float())
        state = {**state, "cluster_of": cluster_of, "adapters": adapters}
        return Aggregated(step, state, _figures(state))


def distances(updates: Sequence[Adapter]) -> np.ndarray:
    """Return ``mean over modules of 1 - cos(B_i, B_j)``, float64 [clients, clients]; a B of zeros is far from all."""
    pairs = pairs_of(updates[0].layout)
    total = torch.zeros(len(updates), len(updates), dtype=torch.float64)
    for pair in pairs:
        b = torch.stack([update[pair.b].flatten() for update in updates]).double()
        b /= b.norm(dim=1, keepdim=True).clamp(min=1e-30)
        total += 1 - b @ b.T
    found = (total / len(pairs)).clamp(min=0).fill_diagonal_(0).numpy()
    return (found + found.T) / 2


def best_clusters(apart: np.ndarray, most: int) -> np.ndarray:
    """Return the cluster of each client, from 0, in that number of clusters whose silhouette is best.

    Parameters
    ----------
    apart : ndarray, [clients, clients]
        Distances; at least three clients.
    most : int
        Most clusters.
    """
    found: dict[float, np.ndarray] = {}
    for count in range(2, min(most, len(apart) - 1) + 1):
        labels = AgglomerativeClustering(count, metric="precomputed", linkage="average").fit_predict(apart)
        found.setdefault(float(silhouette_score(apart, labels, metric="precomputed")), labels)
    return found[max(found)]


def _nearest(update: Adapter, centres: Mapping[str, torch.Tensor]) -> int:
    apart = {
        int(cluster): distances([update, Adapter.from_vector(update.layout, centre)])[0, 1]
        for cluster, centre in centres.items()
    }
    return min(apart, key=lambda cluster: (apart[cluster], cluster))


def _mean(updates: Sequence[tuple[float, ClientUpdate]]) -> torch.Tensor:
    total = sum(weight for weight, _ in updates)
    parts = [weight / total * update.update.vector.double() for weight, update in updates]
    return torch.stack(parts).sum(dim=0).float()


def _figures(state: Tree) -> dict[str, float]:
    return {"clusters": float(max(1, len(state["adapters"])))}
