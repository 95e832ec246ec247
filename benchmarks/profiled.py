"""Where the time of a piece of work goes, by torch's profiler, which takes some of it itself."""

from collections import defaultdict
from collections.abc import Callable

from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile


def seconds_of_places(
    run: Callable[[], object], times: int, place_of: Callable[[FunctionEvent], str]
) -> dict[str, float]:
    """Return the seconds of a run in each place, from most to least; the host's own time.

    Args:
        run: the work.
        times: how often it is run.
        place_of: names the place of an operation.
    """
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        for _ in range(times):
            run()
    seconds: dict[str, float] = defaultdict(float)
    for event in profiler.events():
        seconds[place_of(event)] += event.self_cpu_time_total / 1e6 / times
    return dict(sorted(seconds.items(), key=lambda place: -place[1]))


def shares(seconds: dict[str, float]) -> list[tuple[str, str, str]]:
    """Return (place, milliseconds, percent) of each place."""
    whole = sum(seconds.values())
    return [
        (place, f"{1000 * value:,.1f} ms", f"{100 * value / whole:.1f} %")
        for place, value in seconds.items()
    ]
