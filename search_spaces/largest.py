"""Which of a space's configurations takes the most memory, as far as its names tell.

Memory follows the batch size, the size of the inputs and the widths of the model; all of them are whole numbers.
"""

from search_spaces.space import SearchSpace, Value

_BATCH = "batch_size"
_GROUPS = ("model.", "input.")


def largest_values(space: SearchSpace) -> dict[str, Value]:
    """The largest value of every searched whole number that memory follows; all else stays as in the default.

    Learning rates, decays and probabilities change no shape. A choice between words (`model.head`: linear or mlp) has
    no larger one that a name would tell.
    """
    found: dict[str, Value] = {}
    for name, distribution in space.distributions.items():
        if name != _BATCH and not name.startswith(_GROUPS):
            continue
        values = getattr(distribution, "choices", None) or (getattr(distribution, "high", None),)
        if all(type(value) is int for value in values):
            found[name] = max(values)
    return found
