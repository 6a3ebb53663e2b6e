# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""Tables that a spreadsheet opens without running what stands in them."""

import pyarrow as pa


def without_formulas(table: pa.Table) -> pa.Table:
    """The same table with an apostrophe before words that a spreadsheet would take for a formula: an id of a record is
    the user's, and may start with = or + or - or @."""
    for place, field in enumerate(table.schema):
        words = table.column(place)
        if pa.types.is_string(field.type) and any(map(_is_formula, words.unique().to_pylist())):
            quoted = [f"'{word}" if _is_formula(word) else word for word in words.to_pylist()]
            table = table.set_column(place, field, pa.array(quoted, pa.string()))
    return table


def _is_formula(word: str | None) -> bool:
    return bool(word) and word[0] in "=+-@\t\r"
