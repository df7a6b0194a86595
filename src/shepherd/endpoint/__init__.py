"""Talking to any server that speaks OpenAI's chat completions: safely, quickly, and never paying twice."""

from shepherd.endpoint.client import ask, check
from shepherd.endpoint.prices import Estimate, Spent, cost, estimate
from shepherd.endpoint.replies import Reply, ReplyStore
from shepherd.endpoint.request import Message, Request
from shepherd.endpoint.settings import EndpointSettings

__all__ = [
    "EndpointSettings",
    "Estimate",
    "Message",
    "Reply",
    "ReplyStore",
    "Request",
    "Spent",
    "ask",
    "check",
    "cost",
    "estimate",
]
