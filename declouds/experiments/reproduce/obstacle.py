"""Why a row cannot be measured yet."""

READY, TO_TRAIN, MISSING, WRONG = "ready", "to train", "missing", "wrong"


class Obstacle(Exception):
    """Something that a row needs is missing (``missing``), untrained (``to train``), or something else (``wrong``)."""

    def __init__(self, state: str, why: str) -> None:
        super().__init__(why)
        self.state, self.why = state, why
