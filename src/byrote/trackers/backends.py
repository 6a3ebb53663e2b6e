# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingImports=false
"""The trackers that there are, each behind the same two calls: open a tracker's run for a trial, log figures to it.

Where they keep or send what they are told is their own setting (WANDB_MODE, MLFLOW_TRACKING_URI, TRACKIO_DIR …), but
for TensorBoard, whose files lie in the run folder. Each is imported when it is asked for.
"""

import contextlib
import contextvars
import io
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from byrote.errors import StudyError

Setting = float | str


class TrackerRun(Protocol):
    """A tracker's run: that of one trial."""

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Figures by name, after an optimizer step."""

    def close(self, finished: bool) -> None:
        """Nothing more comes; finished: whether the trial's results were logged."""


class Backend(Protocol):
    """A tracker. It is made of a study's name and a folder for files of its own, and reaches what it writes to then."""

    def open(self, name: str, settings: Mapping[str, Setting]) -> TrackerRun:
        """Begin a run of that name, with the settings of its trial."""
        ...


def check_installed(names: Sequence[str]) -> None:
    """StudyError where a tracker is named whose package is missing."""
    for name in names:
        spec = find_spec(name)
        if spec is None or spec.origin is None:  # a folder of that name, such as W&B leaves, has no origin
            raise StudyError(
                f"report_to names {name}, which is not installed: pip install 'byrote[{name}]', or take it out of "
                "report_to"
            )


def connect(name: str, study: str, folder: Path) -> Backend:
    """A tracker by name. StudyError where it cannot be reached: said before anything is trained."""
    check_installed([name])
    try:
        return BACKENDS[name](study, folder)
    except Exception as error:
        raise StudyError(
            f"report_to: {name} cannot be used: {in_words(error)}; put that right, or take it out of report_to"
        ) from error


def in_words(error: Exception) -> str:
    """An error in one line, without the password of an address in it."""
    return f"{type(error).__name__}: {re.sub(r'//[^/@ ]+@', '//…@', ' '.join(str(error).split()))}"


class TensorBoard:
    """Event files in RUN/tensorboard, a folder for each trial."""

    def __init__(self, study: str, folder: Path) -> None:  # noqa: ARG002
        from torch.utils.tensorboard import SummaryWriter

        self._folder, self._writer = folder / "tensorboard", SummaryWriter

    def open(self, name: str, settings: Mapping[str, Setting]) -> TrackerRun:
        """A folder of the run's name; settings are a text there."""
        writer = self._writer(str(self._folder / name))
        writer.add_text("settings", "  \n".join(f"{key}: {value}" for key, value in settings.items()))
        return _TensorBoardRun(writer)


class _TensorBoardRun:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def log(self, figures: Mapping[str, float], step: int) -> None:
        for name, figure in figures.items():
            self._writer.add_scalar(name, figure, step)
        self._writer.flush()

    def close(self, finished: bool) -> None:  # noqa: ARG002
        self._writer.close()


class WandB:
    """Weights & Biases: a project for each study. Nothing of the machine, the code or the packages is recorded."""

    def __init__(self, study: str, folder: Path) -> None:  # noqa: ARG002
        import wandb

        self._wandb, self._project = wandb, study
        self._settings = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            disable_job_creation=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )
        if wandb.setup().settings.mode in (None, "online", "shared"):
            wandb.login()

    def open(self, name: str, settings: Mapping[str, Setting]) -> TrackerRun:
        """A run of its own, though others are open."""
        run = self._wandb.init(
            project=self._project,
            name=name,
            config=dict(settings),
            reinit="create_new",
            settings=self._settings,
        )
        return _WandBRun(run)


class _WandBRun:
    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._run.log(dict(figures), step=step)

    def close(self, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


class MLflow:
    """MLflow: an experiment for each study."""

    def __init__(self, study: str, folder: Path) -> None:  # noqa: ARG002
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # its 7 hold a training for minutes
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient()
        experiment = self._client.get_experiment_by_name(study)
        self._experiment: str = experiment.experiment_id if experiment else self._client.create_experiment(study)

    def open(self, name: str, settings: Mapping[str, Setting]) -> TrackerRun:
        """A run with its settings as parameters. No tags: MLflow's own would name the user and the script."""
        from mlflow.entities import Param

        run = self._client.create_run(self._experiment, run_name=name)
        identity: str = run.info.run_id
        self._client.log_batch(identity, params=[Param(key, str(value)) for key, value in settings.items()])
        return _MLflowRun(self._client, identity)


class _MLflowRun:
    _MOST = 1000  # metrics that MLflow takes at once

    def __init__(self, client: Any, identity: str) -> None:
        self._client, self._identity = client, identity

    def log(self, figures: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, figure, now, step) for name, figure in figures.items()]
        for first in range(0, len(metrics), self._MOST):
            self._client.log_batch(self._identity, metrics=metrics[first : first + self._MOST])

    def close(self, finished: bool) -> None:
        self._client.set_terminated(self._identity, "FINISHED" if finished else "KILLED")


class Trackio:
    """Trackio: a project for each study."""

    def __init__(self, study: str, folder: Path) -> None:  # noqa: ARG002
        import trackio

        self._trackio, self._project = trackio, study

    def open(self, name: str, settings: Mapping[str, Setting]) -> TrackerRun:
        """A run in a context of its own: trackio ends the one that is open in the same."""

        def begin() -> Any:
            return self._trackio.init(
                self._project, name, config=dict(settings), embed=False, auto_log_gpu=False, auto_log_cpu=False
            )

        with _unprinted():
            return _TrackioRun(contextvars.Context().run(begin))


class _TrackioRun:
    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._run.log(dict(figures), step=step)

    def close(self, finished: bool) -> None:  # noqa: ARG002
        with _unprinted():
            self._run.finish()


def _unprinted() -> contextlib.AbstractContextManager[Any]:
    """Keeps what a library prints off standard output, which is for results."""
    return contextlib.redirect_stdout(io.StringIO())


BACKENDS: dict[str, Callable[[str, Path], Backend]] = {
    "mlflow": MLflow,
    "tensorboard": TensorBoard,
    "trackio": Trackio,
    "wandb": WandB,
}
"""Every tracker by the name that report_to and its extra have."""
