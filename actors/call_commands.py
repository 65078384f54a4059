"""Carries out what a call's conversation commands, on its session."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from ray.exceptions import RayError

from actors import caller_messages
from actors.call_parts import CallParts
from actors.log import log
from actors.spawn import in_time
from protos.link.v1 import link_pb2 as lk
from reception.call import messages as m
from reception.call import tools
from reception.errors import ReceptionError

TELL_STATE_EVERY = 32  # events of which nothing followed


class CallCommands:
    """One call's."""

    def __init__(self, parts: CallParts) -> None:
        self._parts = parts
        self._assignment, self._spec, self._agent = parts.assignment, parts.spec, parts.agent
        self._worker, self._inbox, self._money = parts.worker, parts.inbox, parts.money
        self._conversation, self._tasks = parts.conversation, parts.tasks

    def carry_out(self, commands: list[m.ConversationCommand]) -> None:
        """All of it, or after this session's death nothing."""
        step = lk.Step()
        for command in commands:
            match command:
                case m.ToProvider(event):
                    step.messages.add(provider_event=self._worker.encode(event).encode())
                case m.StopPlayout():
                    step.messages.add(stop_playout=lk.StopPlayout())
                case m.PlayPhrase(item_id, text):
                    path = self._assignment.phrases[text].path
                    step.messages.add(play=lk.Play(item_id=item_id, path=path, text=text))
                case m.Listen(on):
                    self._worker.listening = on
                    step.messages.add(listen=lk.Listen(on=on))
                case m.RunTool() | m.ReportUsage() | m.ReportTranscription() | m.Redial():
                    self.begin(command)
                case m.Renew(opening, model):
                    renew = lk.Renew(dial_plan=self._worker.dial_plan(opening, model))
                    step.messages.add(renew=renew)
                case m.UsageDiffers(difference):
                    log.warning(
                        "usage differs from our own count",
                        call_id=self._spec.call_id,
                        **asdict(difference),
                    )
                    self._tasks.begin(self._money.differs(difference))
                case m.FinishCall(drain_ms=drain_ms):
                    step.messages.add(finish=lk.Finish(drain_ms=drain_ms))
                case _:
                    step.messages.add(to_caller=caller_messages.encode(command))
        if commands or self._inbox.untold >= TELL_STATE_EVERY:
            step.checkpoint, step.events = self._parts.checkpoint(), self._inbox.handled
            self._inbox.told()
            self._worker.send(step=step)

    def begin(self, work: m.Work) -> None:
        """What happens elsewhere; the conversation's state has it until it is done."""
        match work:
            case m.RunTool():
                self._tasks.begin(self._run_tool(work))
            case m.ReportUsage() | m.ReportTranscription():
                self._tasks.begin(self._bill(work))
            case m.Redial():
                self._tasks.begin(self._redial(work))

    # ------------------------------------------------------------- elsewhere

    async def _run_tool(self, command: m.RunTool) -> None:
        """A function that is run again by another session has the same time, and so its
        message the same id: it is kept once."""
        at_s = self._spec.accepted_at_s + command.at_ms / 1000
        outcome = tools.run(
            command.name, command.arguments, self._assignment.profile, at_s, self._spec
        )
        output, effect = outcome.output, outcome.effect
        if isinstance(effect, tools.Message):
            try:
                async with in_time():
                    await self._agent.save_message(effect.message)
            except (RayError, ReceptionError, TimeoutError):
                log.exception("message not saved", call_id=self._spec.call_id)
                outcome = tools.failed("the message could not be kept")
                output, effect = outcome.output, outcome.effect
        elif isinstance(effect, tools.FullModel) and not await self._money.allows(
            self._assignment.asked_model
        ):
            outcome = tools.not_now()
            output, effect = outcome.output, outcome.effect
        self._inbox.put(m.ToolFinished(command.call_id, output, effect))

    async def _bill(self, command: m.ReportUsage | m.ReportTranscription) -> None:
        await self._money.charge(command)
        self._inbox.put(m.Billed(command.key))

    async def _redial(self, command: m.Redial) -> None:
        await asyncio.sleep(command.delay_s)
        if not self._conversation.awaits(command):
            return
        try:
            if not self._worker.linked:
                link = await self._worker.move()
                self._inbox.count_from(0)  # it counts for itself
                self._inbox.follow(link)
        except ReceptionError as error:
            log.warning("no other worker", call_id=self._spec.call_id, error=error.message)
            self._inbox.put(m.EndRequested("internal", polite=False))
            return
        self._worker.send(attach=self._parts.attach(command.opening, command.model))
