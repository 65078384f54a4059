"""Side by side: the same calls through this gateway and through other bridges.

    make bench ARGS=bridges                      10 and 50 calls, all bridges
    python -m benchmarks.bridges --help          other sizes, fewer bridges, ...

A bridge carries a call between a telephone leg (G.711, frames of 20 ms) and a voice
provider that speaks the OpenAI Realtime protocol. Four are measured in one run:

| bridge | what | file |
|---|---|---|
| echo | a bare grpc.aio stream that sends every frame back: the floor | `echo.py` |
| minimal | one FastAPI process, Twilio's messages to Realtime, no features | `minimal.py` |
| gateway | this project as `reception serve` starts it, everything at its defaults | `gateway.py` |
| pipecat | Pipecat's FastAPI transport, Twilio serializer and Realtime service | `pipecat_bot.py` |

Each runs in processes of its own and is fresh for every number of calls. So do the
callers (`callers.py`: real time, each call with a phase of its own) and the one
scripted provider of all (`provider.py`: an answer of 2 s every 4 s in 20 ms deltas,
with the events of a caller's turn around it; `--answers burst`: each answer at once).

How delay is measured: every fifth frame, on both ways, is a tone burst; six bursts
spell who sent which word (`tones.py`). A receiver finds the bursts in whatever comes
out, transcoded or cut up anew as it may be, and so knows for each when it was sent.
  - up: from handing the frame to the caller's socket to the provider's receiving the
    message that contains the burst's first sample; down: the same the other way.
  - All processes are on one machine and read one clock (CLOCK_MONOTONIC).
  - What callers and provider themselves need is in every figure, the echo's too.
  - With `--answers burst`, down is that of each answer's first frame.

How cost is measured: user and system time of the bridge's whole process tree, and PSS
(memory shared by n processes counts 1/n in each), by kind of process, over a window that
begins when all calls are up and no process has come or gone for a while. Nothing else
should run on the machine: CPU used by others is reported, and warned of.

A call is served when it was up from the window's begin to its end, and at least 98 % of
the words came through, both ways.

Pipecat is installed from PyPI into an environment of its own on first use, pinned and
hashed (`pipecat.txt`); without a package index, leave it out: `--bridges echo minimal
gateway`.

Figures go to the terminal and to `out/bench.json`: one object per bridge and number of
calls; cpu_pct_per_call is in per cent of one core, pss_mb_per_call in MB of 10^6 bytes.
"""
