"""The verb `byrote audit`: parses and prints; the work is that of `byrote run`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from byrote.auc_table import number
from byrote.cli_print import (
    Json,
    Options,
    Quiet,
    err_console,
    listener_of,
    out_console,
    power_table,
    print_json,
    print_not_logged,
    print_results,
)
from byrote.errors import StudyError
from byrote.study.audit import AuditOptions, audit_study
from byrote.study.load import packaged_studies

if TYPE_CHECKING:
    from byrote.running.first_look import FirstLook

Several = Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")]


def audit(
    *words: Options,
    adapter: Several = None,
    model: Several = None,
    base: str | None = None,
    members: str | None = None,
    nonmembers: str | None = None,
    calibration: str | None = None,
    text: str | None = None,
    id_column: Annotated[str | None, Parameter(name="--id")] = None,
    group: str | None = None,
    prompt: str | None = None,
    completion: str | None = None,
    messages: str | None = None,
    canaries: str | None = None,
    shadow: Annotated[bool, Parameter(negative="")] = False,
    max_tpr_at_fpr: Several = None,
    max_auc: float | None = None,
    max_verbatim: int | None = None,
    max_epsilon: float | None = None,
    equivalent_within: float | None = None,
    draws: int | None = None,
    minutes: float | None = None,
    name: str | None = None,
    out: str | None = None,
    replace: Annotated[bool, Parameter(negative="")] = False,
    check: Annotated[bool, Parameter(negative="")] = False,
    show_tokens: Annotated[bool, Parameter(negative="")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Measure a model that was fine-tuned elsewhere, and decide by rules that you fix beforehand.

    `byrote audit --adapter out/checkpoint-900 --members train.jsonl --nonmembers heldout.jsonl --max-auc 0.6`, or
    `byrote audit STUDY.yaml` with what options add to it. Every setting of a study is an option too, under its dotted
    name. Exit status: 0 held or nothing asked, 1 exceeded, 3 undecided, 2 an error, 130 interrupted.

    Parameters
    ----------
    adapter
        A PEFT adapter: a folder or hub id; several, or a pattern such as 'out/checkpoint-*', are measured side by side.
    model
        A merged or fully tuned model: a folder, hub id or .gguf file; several too.
    base
        The base model; by default the one that the adapter's configuration names. none: do without.
    members
        File of records that the model was trained on: JSONL, JSON, CSV, TSV, Parquet or text, also .gz or .zip.
    nonmembers
        File of records that were kept out.
    calibration
        File of further records that were kept out, to set thresholds; without it, half of the non-members' documents.
    text
        The column that holds texts; text by default.
    id_column
        The column with unique ids.
    group
        The column with documents or patients, on whom intervals rest.
    prompt
        The column of prompts; goes with --completion.
    completion
        The column of completions.
    messages
        The column of conversations.
    canaries
        The manifest that `byrote canaries make` wrote.
    shadow
        Tune an adapter like each subject on half of the calibration documents: as control, and for the attacks of
        somebody who has such documents. Takes as long as a training of that kind.
    max_tpr_at_fpr
        F=T: at a false-positive rate of F, at most a true-positive rate of T; several may be given.
    max_auc
        The highest AUC allowed.
    max_verbatim
        The most records whose second half the model may give within --draws draws, where the base does not.
    max_epsilon
        The highest epsilon allowed.
    equivalent_within
        Margin about 0.5 in which every AUC must lie.
    draws
        Draws of --max-verbatim; 10,000 by default.
    minutes
        Draw as many documents at random as a forecast says can be measured in this time; without it, all of them. More
        minutes later go on in the same folder.
    name
        What the audit is called.
    out
        The run folder, or a URL such as s3://bucket/runs/first; runs/NAME by default.
    replace
        Reuse a run folder that was of other subjects, records or base model.
    check
        Look at the files alone and say what an audit could show; loads no weights.
    show_tokens
        Show the first record as the model sees it, and which of its tokens the loss was on; loads no weights.
    """
    options = AuditOptions(
        adapters=adapter or (),
        models=model or (),
        base=base,
        members=members,
        nonmembers=nonmembers,
        calibration=calibration,
        text=text,
        id=id_column,
        group=group,
        prompt=prompt,
        completion=completion,
        messages=messages,
        canaries=canaries,
        shadow=shadow,
        rates=max_tpr_at_fpr or (),
        max_auc=max_auc,
        max_verbatim=max_verbatim,
        max_epsilon=max_epsilon,
        equivalent_within=equivalent_within,
        draws=draws,
        minutes=minutes,
        name=name,
    )
    study, listener = audit_study(options, *_study_and_rest(words, options)), listener_of(quiet)
    listener.say("checking the study and reading its records")
    from byrote.running.checks import check_study
    from byrote.store.remote import check_usable

    check_usable(out)
    checked = check_study(study)  # before torch is imported, so that mistakes are reported at once
    listener.say("loading torch")
    from byrote.running import pipeline
    from byrote.running.first_look import first_look
    from byrote.running.planning import Prepared, prepare
    from byrote.running.sampling import within_minutes
    from byrote.running.shown import print_tokens

    if show_tokens:
        prepared = prepare(checked, listener)
        print_tokens(out_console, prepared.records[0], prepared.tokenizer)
        return 0
    if check:
        look = first_look(within_minutes(prepare(checked, listener_of(quiet=True))))
        print_json({**asdict(look)}) if as_json else _print_look(look)
        return 0

    def show(prepared: Prepared) -> None:
        if not quiet:
            _print_look(first_look(prepared), findings=False, to_error=True)

    outcome = pipeline.run(checked, out, listener=listener, replace=replace, on_prepared=show)
    print_results(outcome.path, outcome.report, as_json, outcome.failures)
    for failure in outcome.failures:
        err_console.print(f"failed: {failure['stage']}: {failure['error']}", style="red", markup=False)
    print_not_logged(outcome.not_logged)
    from byrote.store import Run
    from byrote.verdict import status_of

    return status_of(Run.open(outcome.path))


def _study_and_rest(words: Sequence[str], options: AuditOptions) -> tuple[str | None, Sequence[str]]:
    """The study, where the first word is no option, and the settings under their dotted names. StudyError where that
    word is no study, and the options need none: it was meant as a second value."""
    if not words or words[0].startswith("-"):
        return None, words
    complete = (options.adapters or options.models) and options.members and options.nonmembers
    if complete and Path(words[0]).suffix not in (".yaml", ".yml") and words[0] not in packaged_studies():
        raise StudyError(
            f"{words[0]!r} belongs to no option: only --adapter, --model and --max-tpr-at-fpr take several values; "
            "leave it out (a study is a .yaml file)"
        )
    return words[0], words[1:]


def _print_look(look: "FirstLook", findings: bool = True, to_error: bool = False) -> None:
    console: Any = err_console if to_error else out_console
    table = Table("subject", box=None)
    for label in look.trials:
        table.add_row(escape(label))
    console.print(table)
    console.print(power_table(look.power))
    blind = look.blind
    told = blind.reason or f"AUC {number(blind.auc)}, p = {blind.p_value:.3f}"
    shift = "" if blind.reason or blind.p_value > SHIFT else ": members and non-members are of different kinds"
    console.print(f"told apart by their texts alone: {told}{shift}", markup=False, highlight=False)
    for message in look.findings if findings else ():
        console.print(f"- {message}", markup=False, highlight=False, soft_wrap=True)


SHIFT = 0.01  # a p-value of the blind classifier that is worth a warning
