"""Brains: rules for a receptionist, or a language model over a chat URL."""

from __future__ import annotations

from voice.brain.chat import ChatBrain
from voice.brain.reception import ReceptionBrain

__all__ = ["ChatBrain", "ReceptionBrain"]
