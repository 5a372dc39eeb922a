"""What a sweep has done so far, in an Optuna journal: it can stop anywhere and go on.

``study.log`` in the study's directory is a ``JournalStorage`` of Optuna, so whatever reads
those reads this. A window's outcome is in it as soon as it is known.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import msgspec
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from bot.sweep.space import Dimension, Space, SweepError, Values, points
from bot.sweep.trial import Outcome, Refused
from domain.time import iso

_NAME = "fundarb"
_IDENTITY, _OPENED, _REFUSED, _WINDOW = "identity", "sealed_opened", "refused", "window "


class Tried(msgspec.Struct, frozen=True):
    """One configuration, and its outcomes by place of window; ``refused`` where it cannot be."""

    number: int
    values: Values
    outcomes: Mapping[int, Outcome]
    refused: str | None

    def over(self, windows: Sequence[int]) -> list[Outcome]:
        return [self.outcomes[place] for place in windows]


class Opened(msgspec.Struct, frozen=True):
    """The one look into the sealed window: when, at which trial's settings, after how many trials.

    ``outcome`` is None while the look is being taken.
    """

    number: int
    trials: int
    time_ns: int
    outcome: Outcome | None = None

    def __str__(self) -> str:
        when = iso(self.time_ns)[:16].replace("T", " ")
        return f"on {when} UTC, on trial {self.number} of {self.trials}"


class Study:
    """The trials of one directory. Only one process at a time has it (``open_study``)."""

    def __init__(self, file: Path, space: Space, seed: int, first: Values) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        _drop_torn_line(file)
        lock = JournalFileOpenLock(str(file))
        # The directory is ours: what a killed process left locked is locked by nobody.
        Path(f"{file}.lock").unlink(missing_ok=True)
        self._storage = JournalStorage(JournalFileBackend(str(file), lock_obj=lock))
        self._study = optuna.create_study(
            storage=self._storage,
            sampler=optuna.samplers.RandomSampler(seed),
            study_name=_NAME,
            direction="maximize",
            load_if_exists=True,
        )
        self._space = {dimension.key: _distribution(dimension) for dimension in space}
        self._points = points(space, seed, first)

    def require(self, identity: Mapping[str, str], directory: Path) -> None:
        """What the study is of, noted at its start and compared ever after.

        Raises:
            SweepError: it is of something else; the message says of what.
        """
        before = self._study.user_attrs.get(_IDENTITY)
        if before is None:
            self._study.set_user_attr(_IDENTITY, dict(identity))
            return
        for what, now in identity.items():
            if before.get(what) != now:
                raise SweepError(
                    f"the study in {directory} is of {_other(what, before.get(what), now)}: its "
                    "trials would not compare. Ask for the same again, or name another --study"
                )

    @property
    def tried(self) -> list[Tried]:
        """Every trial so far, by number."""
        return [_tried(trial) for trial in self._study.get_trials(deepcopy=False)]

    def more(self, count: int) -> Iterator[Tried]:
        """Trials that are not done, up to ``count`` in all: those begun before, then new ones.

        The space may hold fewer than that.
        """
        before = self._study.get_trials(deepcopy=False)
        for trial in before[:count]:
            if not trial.state.is_finished():
                yield _tried(trial)
        for values in islice(self._points, len(before), max(count, len(before))):
            self._study.enqueue_trial(values)
            number = self._study.ask(self._space).number
            yield Tried(number, values, {}, None)

    def keep(self, number: int, place: int, outcome: Outcome | Refused) -> None:
        """Note what came of one window."""
        study_id = self._storage.get_study_id_from_name(_NAME)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, number)
        name, value = f"{_WINDOW}{place}", msgspec.to_builtins(outcome)
        if isinstance(outcome, Refused):
            name, value = _REFUSED, outcome.reason
        self._storage.set_trial_user_attr(trial_id, name, value)

    def finish(self, number: int, score: float | None) -> None:
        """A trial is done, with its score; None: it was refused."""
        if score is None:
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, score)

    @property
    def opened(self) -> Opened | None:
        found = self._study.user_attrs.get(_OPENED)
        return None if found is None else msgspec.convert(found, Opened)

    def open_sealed(self, opened: Opened) -> None:
        """Note that the sealed window is looked into: before it is, and with what was seen."""
        self._study.set_user_attr(_OPENED, msgspec.to_builtins(opened))


@contextmanager
def open_study(directory: Path, space: Space, seed: int, first: Values) -> Iterator[Study]:
    """The study in ``directory``, or a new one there; nobody else has it meanwhile.

    Raises:
        SweepError: another process has it, or its file cannot be read.
    """
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SweepError(f"another sweep is at work in {directory}: wait, or stop it") from None
        file = directory / "study.log"
        try:
            study = Study(file, space, seed, first)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SweepError(
                f"{file} is no study, or is damaged ({error}): name another --study"
            ) from None
        yield study
    finally:
        os.close(descriptor)


def _drop_torn_line(file: Path) -> None:
    """What a kill left half written was never known: the next line must not continue it."""
    if not file.exists():
        return
    with file.open("r+b") as opened:
        content = opened.read()
        opened.truncate(content.rfind(b"\n") + 1)


def _distribution(dimension: Dimension) -> BaseDistribution:
    low, high, step = dimension.low, dimension.high, dimension.step
    if dimension.whole:
        return IntDistribution(int(low), int(high), log=dimension.log, step=int(step or 1))
    return FloatDistribution(low, high, log=dimension.log, step=step)


def _tried(trial: FrozenTrial) -> Tried:
    outcomes = {
        int(name.removeprefix(_WINDOW)): msgspec.convert(value, Outcome)
        for name, value in trial.user_attrs.items()
        if name.startswith(_WINDOW)
    }
    return Tried(trial.number, dict(trial.params), outcomes, trial.user_attrs.get(_REFUSED))


def _other(what: str, before: str | None, now: str) -> str:
    """``other data``, or what it was of where that can be read."""
    if what in ("data", "code", "settings"):
        return f"other {what}"
    return f"{what} {before}, not {now}"
