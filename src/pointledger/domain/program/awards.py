"""Awards: how many points a rule wants to grant. Integers and decimals, one rounding at the end."""

from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, assert_never

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from pointledger.domain.program.context import Scene
from pointledger.domain.program.expressions import Formula as FormulaText
from pointledger.domain.program.expressions import evaluate
from pointledger.domain.program.tenant import Points
from pointledger.domain.values.fields import MAX_AMOUNT, Label
from pointledger.domain.values.models import Part, as_tuple

_MULTIPLIER_DECIMALS = 6
_MULTIPLIER_SCALE = 10**6
_MAX_MULTIPLIER = Decimal(10**6)
_MAX_BRACKETS = 100  # a table that a person still reads


def _decimal(value: object) -> object:
    if isinstance(value, bool | float):
        raise ValueError('write it as text, like "1.15": a binary float is not exact')
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, str):
        if not (value.isascii() and value.replace(".", "", 1).isdigit()):
            raise ValueError('a multiplier is written like "1.15"')
        return Decimal(value)
    return value


def _bounded(value: Decimal) -> Decimal:
    if not 0 <= value <= _MAX_MULTIPLIER:
        raise ValueError(f"from 0 to {_MAX_MULTIPLIER}")
    if value != round(value, _MULTIPLIER_DECIMALS):
        raise ValueError(f"at most {_MULTIPLIER_DECIMALS} decimals")
    return value


# The same as JSON schema: a number, or its text; zeros before and behind do not count.
_MULTIPLIER_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": int(_MAX_MULTIPLIER), "multipleOf": 0.000001},
        {
            "type": "string",
            "pattern": r"^(?=\.?[0-9])0*([0-9]{0,6}(\.[0-9]{0,6}0*)?|1000000(\.0*)?)$",
        },
    ]
}
Multiplier = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    AfterValidator(_bounded),
    WithJsonSchema(_MULTIPLIER_SCHEMA, mode="validation"),
]
Grantable = Annotated[int, Field(ge=0, le=MAX_AMOUNT)]


class Fixed(Part):
    """So many points per event."""

    kind: Literal["fixed"]
    points: Grantable

    def worth(self, _: Scene) -> int | None:
        return self.points


class PerUnit(Part):
    """`points` for each whole `per` of a metadata field; what is left over counts for nothing."""

    kind: Literal["per_unit"]
    field: Label
    per: Points
    points: Points

    def worth(self, scene: Scene) -> int | None:
        units = _integer(scene.metadata, self.field)
        return None if units is None else units // self.per * self.points


class Bracket(Part):
    """`points` from this number on, up to where the next bracket begins."""

    starts: Annotated[int, Field(alias="from", ge=-MAX_AMOUNT, le=MAX_AMOUNT)]
    points: Grantable


def _ascending(brackets: tuple[Bracket, ...]) -> tuple[Bracket, ...]:
    if any(one.starts >= other.starts for one, other in pairwise(brackets)):
        raise ValueError("each bracket's from is above the one before it")
    return brackets


class Table(Part):
    """The points of the bracket that a metadata field lies in; below the first bracket, none."""

    kind: Literal["table"]
    field: Label
    brackets: Annotated[
        tuple[Bracket, ...],
        Field(min_length=1, max_length=_MAX_BRACKETS),
        BeforeValidator(as_tuple),
        AfterValidator(_ascending),
    ]

    def worth(self, scene: Scene) -> int | None:
        units = _integer(scene.metadata, self.field)
        if units is None:
            return None
        return next((bracket.points for bracket in reversed(self.brackets) if bracket.starts <= units), 0)


class Formula(Part):
    """What an expression in whole numbers comes to."""

    kind: Literal["formula"]
    expr: FormulaText

    def worth(self, scene: Scene) -> int | None:
        return int(evaluate(self.expr, "INT", scene.facts))


class Award(Part):
    """base × multiplier, rounded once, then held between `min` and `max`."""

    base: Annotated[Fixed | PerUnit | Table | Formula, Field(discriminator="kind")]
    multiplier: Multiplier = Decimal(1)
    rounding: Literal["floor", "ceil", "half_up", "half_even"] = "floor"
    min: Grantable = 0
    max: Grantable | None = None

    @model_validator(mode="after")
    def _min_is_below_max(self) -> "Award":
        if self.max is not None and self.min > self.max:
            raise ValueError("min is at most max")
        return self

    @cached_property
    def _millionths(self) -> int:
        return int(self.multiplier * _MULTIPLIER_SCALE)

    def points(self, scene: Scene) -> int | None:
        """Never negative; None where the event lacks the integer that the base counts.

        Raises ExpressionFailed.
        """
        base = self.base.worth(scene)
        if base is None:
            return None
        points = _rounded(base * self._millionths, self.rounding)
        if points < self.min:
            return self.min
        most = MAX_AMOUNT if self.max is None else self.max
        return most if points > most else points


def _integer(metadata: dict[str, Any], field: str) -> int | None:
    value: object = metadata.get(field)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _rounded(scaled: int, how: Literal["floor", "ceil", "half_up", "half_even"]) -> int:
    """Millionths to whole points. Of two that are equally near, half_even takes the even one."""
    if how == "floor":
        return scaled // _MULTIPLIER_SCALE
    down, rest = divmod(scaled, _MULTIPLIER_SCALE)
    match how:
        case "ceil":
            return down + (rest > 0)
        case "half_up":
            return down + (rest * 2 >= _MULTIPLIER_SCALE)
        case "half_even":
            return down + (rest * 2 > _MULTIPLIER_SCALE - (down & 1))
        case _:
            assert_never(how)
