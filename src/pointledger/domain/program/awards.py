"""Computes the points that a rule awards, exactly, with one rounding at the end."""

from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, assert_never

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from pointledger.domain.program.context import EvaluationContext
from pointledger.domain.program.expressions import Formula as FormulaText
from pointledger.domain.program.expressions import evaluate
from pointledger.domain.program.tenant import Points
from pointledger.domain.values.fields import MAX_AMOUNT, Label
from pointledger.domain.values.models import StrictModel, as_tuple

_MULTIPLIER_DECIMALS = 6
_MULTIPLIER_SCALE = 10**6
_MAX_MULTIPLIER = Decimal(10**6)
_MAX_BRACKETS = 100  # a person can still read such a table


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


# The same checks for JSON schema: a number or its text, with any leading and trailing zeros.
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


class Fixed(StrictModel):
    """The same points for every event."""

    kind: Literal["fixed"] = Field(description="This kind of base.")
    points: Grantable = Field(description="Points per event.")

    def worth(self, _: EvaluationContext) -> int | None:
        return self.points


class PerUnit(StrictModel):
    """Points for each whole unit of a metadata field. The rest counts for nothing."""

    kind: Literal["per_unit"] = Field(description="This kind of base.")
    field: Label = Field(description="The field that is counted: an integer.")
    per: Points = Field(description="How much of the field is one unit.")
    points: Points = Field(description="Points per unit.")

    def worth(self, context: EvaluationContext) -> int | None:
        units = _integer(context.metadata, self.field)
        return None if units is None else units // self.per * self.points


class Bracket(StrictModel):
    """A line of a table. It holds up to where the next bracket begins."""

    starts: Annotated[int, Field(alias="from", ge=-MAX_AMOUNT, le=MAX_AMOUNT)] = Field(
        description="The least number of the bracket. Each is above the one before it."
    )
    points: Grantable = Field(description="Points per event.")


def _ascending(brackets: tuple[Bracket, ...]) -> tuple[Bracket, ...]:
    if any(one.starts >= other.starts for one, other in pairwise(brackets)):
        raise ValueError("each bracket's from must be above the one before it")
    return brackets


class Table(StrictModel):
    """The points of the bracket that a metadata field lies in. Below the first bracket there are none."""

    kind: Literal["table"] = Field(description="This kind of base.")
    field: Label = Field(description="The field that is looked up: an integer.")
    brackets: Annotated[
        tuple[Bracket, ...],
        Field(min_length=1, max_length=_MAX_BRACKETS),
        BeforeValidator(as_tuple),
        AfterValidator(_ascending),
    ] = Field(description="The brackets, the lowest first.")

    def worth(self, context: EvaluationContext) -> int | None:
        units = _integer(context.metadata, self.field)
        if units is None:
            return None
        return next((bracket.points for bracket in reversed(self.brackets) if bracket.starts <= units), 0)


class Formula(StrictModel):
    """The value of an expression. A negative value comes to 0."""

    kind: Literal["formula"] = Field(description="This kind of base.")
    expr: FormulaText = Field(description="An expression whose value is an integer.")

    def worth(self, context: EvaluationContext) -> int | None:
        return int(evaluate(self.expr, "INT", context.facts))


class Award(StrictModel):
    """How many points a rule wants to grant: base × multiplier, exact, rounded once, then bounded. Never
    negative."""

    base: Annotated[Fixed | PerUnit | Table | Formula, Field(discriminator="kind")] = Field(
        description="Where the number comes from."
    )
    multiplier: Multiplier = Field(
        default=Decimal(1), description='A factor of at most 6 decimals, best as text: `"1.15"` is exact.'
    )
    rounding: Literal["floor", "ceil", "half_up", "half_even"] = Field(
        default="floor", description="How the product becomes an integer."
    )
    min: Grantable = Field(default=0, description="The least that is wanted.")
    max: Grantable | None = Field(
        default=None, description="The most that is wanted. No bound, if not given."
    )

    @model_validator(mode="after")
    def _min_is_below_max(self) -> "Award":
        if self.max is not None and self.min > self.max:
            raise ValueError("min is at most max")
        return self

    @cached_property
    def _millionths(self) -> int:
        return int(self.multiplier * _MULTIPLIER_SCALE)

    def points(self, context: EvaluationContext) -> int | None:
        """Compute the points of an event; None if it lacks the integer that the base counts.

        Raises ExpressionFailed.
        """
        base = self.base.worth(context)
        if base is None:
            return None
        points = _rounded(base * self._millionths, self.rounding)
        if points < self.min:
            return self.min
        return min(points, MAX_AMOUNT if self.max is None else self.max)


def _integer(metadata: dict[str, Any], field: str) -> int | None:
    value: object = metadata.get(field)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _rounded(scaled: int, how: Literal["floor", "ceil", "half_up", "half_even"]) -> int:
    """Round millionths to whole points. Of two equally near numbers, half_even takes the even one."""
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
