"""What a call's session is given: who answers, at which provider, with which recordings."""

from __future__ import annotations

from math import inf

from actors.assignment import Assignment, NodeConfig, ProviderConfig
from actors.phrase_files import recordings
from actors.worker_pool import WorkerPool
from reception.call.phrases import Recorded, fixed
from reception.call.profile import Profile, ProfileBook
from reception.call.record import CallSpec
from reception.errors import Unavailable
from reception.media.codecs import AudioFormat
from reception.media.speech import speech_ms
from reception.money.savings.levels import LEVELS, Decisions, Level
from reception.placement.admission.priority import Priority, priority_of

# What sessions are warmed up with; it never reaches a provider.
_REHEARSAL = CallSpec(
    call_id="rehearsal",
    session_id="rehearsal",
    lease_id="rehearsal",
    from_uri="",
    to_uri="",
    direction="inbound",
    codec="pcmu",
    rate_hz=8_000,
    ptime_ms=20,
    sends_marks=False,
    profile="",
    metadata={},
    tenant="",
    key_id="",
    node_id="",
    accepted_at_s=0.0,
)


class Assigner:
    """Makes assignments.

    Attributes:
        profiles: of the node; None until they are read.
        provider: with an empty name until it is known.
    """

    def __init__(self, config: NodeConfig, workers: WorkerPool) -> None:
        self._config, self._workers = config, workers
        self.profiles: ProfileBook | None = None
        self.provider = ProviderConfig("", "", "")

    @property
    def book(self) -> ProfileBook:
        """Raises Unavailable while the profiles are not read."""
        if self.profiles is None:
            raise Unavailable("this node is still starting", retry_after_s=1.0)
        return self.profiles

    def profile(self, spec: CallSpec) -> Profile:
        """Who answers a call. Raises InvalidRequest when there is no such profile."""
        return self.book.choose(spec.profile, spec.to_uri)

    def assignment(self, spec: CallSpec, profile: Profile, worker_id: str) -> Assignment:
        """For a call that this profile answers, at this worker."""
        level = profile.savings or self.provider.savings
        if LEVELS[level].text_answers and not self._config.synthesizer:
            level = Level.THRIFTY  # of a node where calls are at economy, and which is lost
        emergency = priority_of(spec.metadata) is Priority.EMERGENCY
        leg = AudioFormat(spec.codec, spec.rate_hz)
        return Assignment(
            spec,
            profile,
            profile.speaks(self.provider.model, level, full_asked=spec.full_model),
            self._workers.socket(worker_id),
            self.provider,
            self._workers.provider_format(worker_id, leg),
            self._config.agent_socket,
            unbilled_s=inf if emergency else self._config.unbilled_s,
            level=level,
            phrases=self._phrases(profile, LEVELS[level]),
            synthesizer=self._config.synthesizer,
        )

    def rehearsal(self) -> Assignment | None:
        """What a session is warmed up with, once provider and worker are there."""
        workers = self._workers.names()
        if not (self.provider.provider and workers):
            return None
        return self.assignment(_REHEARSAL, self.profile(_REHEARSAL), workers[0])

    def _phrases(self, profile: Profile, decisions: Decisions) -> dict[str, Recorded]:
        """Recordings are looked for at each call: whoever makes them need not restart
        anything. Where answers are spoken here, fixed words are too, in the same voice."""
        if decisions.text_answers:
            return {text: Recorded("", round(speech_ms(len(text)))) for text in fixed(profile)}
        if not decisions.premade_phrases:
            return {}
        provider = self.provider
        return recordings(self._config.phrases_path, provider.provider, provider.voice, profile)
