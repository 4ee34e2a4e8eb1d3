"""How long something takes, in words."""


def duration(seconds: float) -> str:
    """`8 s`, `12 min`, `3 h 05 min`, `2 d 4 h`; what is negative, as clocks differ, is none."""
    seconds = max(seconds, 0.0)
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if minutes < 2:
        return f"{seconds:.0f} s"
    if hours < 1:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60:02d} min"
    return f"{hours // 24} d {hours % 24} h"
