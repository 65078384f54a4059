"""`reception call`: one call to any server, from a file or from typed words."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli.app import FAULT, SERVER, AsJson, Key, Server, app, console, fail, print_json
from cluster.loop import run

if TYPE_CHECKING:
    from rich.console import Console

    from cluster.caller import Outcome, Step


@app.command()
def call(
    file: Annotated[Path | None, typer.Argument(help="WAV file, 16-bit, any rate.")] = None,
    say: Annotated[
        list[str] | None,
        typer.Option(help="Words to be spoken instead; repeat it to say more after the answer."),
    ] = None,
    server: Server = SERVER,
    key: Key = "",
    to: Annotated[str, typer.Option(help="Number that is called.")] = "+15550123",
    from_: Annotated[str, typer.Option("--from", help="Number that calls.")] = "+15550100",
    profile: Annotated[str, typer.Option(help="Receptionist; empty for the number's.")] = "",
    voice: Annotated[int, typer.Option(min=0, max=3, help="Which caller's voice.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="WAV file: caller left, receptionist right.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Places a call, shows what is said, and saves how it sounded."""
    if (file is None) == (not say):
        fail('give either a WAV file or --say "words"')
    utterances = _utterances(file, say or [], voice)
    from cluster.caller import Caller, HangUp, Listen, Say
    from cluster.wav import write_stereo
    from protos.reception.v1 import reception_pb2 as rv

    steps: list[Step] = [Listen()]
    for audio, text in utterances:
        steps += [Say(audio, text), Listen()]
    start = rv.CallStart(
        to=to,
        profile=profile,
        format=rv.LegFormat(codec=rv.CODEC_PCMU),
        sends_marks=True,
    )
    setattr(start, "from", from_)
    live = _Live(console(stderr=as_json))
    caller = Caller(server, [*steps, HangUp()], key=key, start=start, on_change=live.show)
    outcome = run(caller.call())
    place = out or Path("out") / f"{outcome.call_id or 'call'}.wav"
    if outcome.call_id:
        write_stereo(place, bytes(outcome.caller_audio), bytes(outcome.reception_audio))
    if as_json:
        print_json(_plain(outcome, place))
    if outcome.status != "OK":
        fail(f"the call ended with {outcome.status}: {outcome.error}")
    if not as_json:
        console().print(f"{_summary(outcome)}; recording: {place}", markup=False, soft_wrap=True)
    if outcome.summary is None:
        raise typer.Exit(FAULT)


def _utterances(file: Path | None, say: list[str], voice: int) -> list[tuple[bytes, str]]:
    from cluster.wav import mulaw, read_as_mulaw

    if file is not None:
        return [(read_as_mulaw(file), file.name)]
    from voice.speech.callers import caller_speech

    return [(mulaw(caller_speech(text, voice)), text) for text in say]


class _Live:
    """Prints each thing said once, and what became of the call."""

    def __init__(self, out: "Console") -> None:
        self._out, self._said, self._transferred = out, 0, False

    def show(self, outcome: "Outcome") -> None:
        """Prints what is new in `outcome`."""
        for who, text in outcome.transcript[self._said :]:
            colour = "cyan" if who == "caller" else "green"
            self._out.print(f"[bold {colour}]{who:9}[/] ", end="")
            self._out.print(text, markup=False)
        self._said = len(outcome.transcript)
        if outcome.transfer is not None and not self._transferred:
            self._transferred = True
            self._out.print(
                f"[yellow]transfer[/]  to {outcome.transfer.name} {outcome.transfer.destination}"
            )


def _summary(outcome: "Outcome") -> str:
    parts = [f"call {outcome.call_id}", f"accepted in {outcome.setup_ms:.0f} ms"]
    if outcome.answer_ms:
        parts.append(f"answers after {', '.join(f'{each:.0f}' for each in outcome.answer_ms)} ms")
    if outcome.summary is not None:
        parts.append(f"ended {outcome.summary.end_reason}")
        parts.append(f"cost ${outcome.summary.cost_micros / 1_000_000:.4f}")
    return ", ".join(parts)


def _plain(outcome: "Outcome", place: Path) -> dict[str, Any]:
    summary = outcome.summary
    return {
        "call_id": outcome.call_id,
        "status": outcome.status,
        "error": outcome.error,
        "setup_ms": round(outcome.setup_ms, 1),
        "answer_ms": [round(each) for each in outcome.answer_ms],
        "transcript": [{"who": who, "text": text} for who, text in outcome.transcript],
        "transferred_to": outcome.transfer.destination if outcome.transfer else "",
        "end_reason": summary.end_reason if summary else "",
        "cost_micros": summary.cost_micros if summary else 0,
        "recording": str(place) if outcome.call_id else "",
    }
