"""The form of a rule: every field that a rule can have, so that a form loses nothing of it."""

from pointledger.api.console.forms import Form, FormField, Group, Table, about
from pointledger.domain.program.awards import Award, Bracket, Formula, PerUnit
from pointledger.domain.program.expiry_policy import Expiry
from pointledger.domain.program.rule import MAX_LIMITS, Limit, Pending, RuleBody, Stacking
from pointledger.domain.program.validity import Validity

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_OF_TABLE = "A line for each bracket, the lowest first, like 1000 = 5: from 1000 of the field, 5 points."


def _same(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple((value, value.replace("_", " ")) for value in values)


_RULE = Group(
    "Rule",
    (
        FormField(
            "name", "Name", "text", "It never changes: a rule of another name is another rule.", fixed=True
        ),
        FormField("event_type", "Event type", "text", about(RuleBody, "event_type")),
        FormField("enabled", "Enabled", "flag", about(RuleBody, "enabled")),
        FormField("priority", "Priority", "whole", about(RuleBody, "priority")),
    ),
)
_AWARD = Group(
    "Points",
    (
        FormField(
            "award.base.kind",
            "Where the number comes from",
            "choice",
            choices=(
                ("fixed", "the same for every event"),
                ("per_unit", "each unit of a field"),
                ("table", "a table by a field"),
                ("formula", "an expression"),
            ),
        ),
        FormField("award.base.field", "Field", "text", about(PerUnit, "field"), only="per_unit table"),
        FormField("award.base.per", "Unit", "whole", about(PerUnit, "per"), only="per_unit"),
        FormField("award.base.points", "Points", "whole", "For each event or unit.", only="fixed per_unit"),
        FormField("award.base.brackets", "Brackets", "lines", _OF_TABLE, only="table"),
        FormField("award.base.expr", "Expression", "area", about(Formula, "expr"), only="formula"),
        FormField("award.multiplier", "Times", "text", "A factor of at most 6 decimals, like 1.5."),
        FormField(
            "award.rounding",
            "Rounding",
            "choice",
            about(Award, "rounding"),
            _same("floor", "ceil", "half_up", "half_even"),
        ),
        FormField("award.min", "At least", "whole", about(Award, "min")),
        FormField("award.max", "At most", "whole", about(Award, "max")),
    ),
)
_WHEN = Group(
    "When",
    (
        FormField("when", "Condition", "area", about(RuleBody, "when")),
        FormField("valid.from", "Valid from", "local", "In the tenant’s time. From the start, if empty."),
        FormField("valid.until", "Valid until", "local", about(Validity, "until")),
        FormField(
            "valid.weekdays",
            "Weekdays",
            "numbers",
            "Every day, if none is chosen.",
            tuple((str(number), day) for number, day in enumerate(_WEEKDAYS, 1)),
        ),
        FormField("valid.hours", "Hours", "list", about(Validity, "hours")),
    ),
)
_THEN = Group(
    "Limits and expiry",
    (
        FormField(
            "on_exceed",
            "Over a limit",
            "choice",
            choices=(("clamp", "grant what is left"), ("refuse", "grant nothing")),
        ),
        FormField("pending.days", "Pending days", "whole", about(Pending, "days") + " At once, if empty."),
        FormField(
            "expiry.mode",
            "The points expire",
            "choice",
            choices=(
                ("", "by the tenant’s policy"),
                ("rolling", "after some days or months"),
                ("fixed_date", "after a date"),
                ("never", "never"),
            ),
        ),
        FormField("expiry.days", "Days", "whole", about(Expiry, "days"), only="rolling"),
        FormField("expiry.months", "Months", "whole", about(Expiry, "months"), only="rolling"),
        FormField(
            "expiry.round",
            "Until the end of",
            "choice",
            about(Expiry, "round"),
            (("none", "that day"), ("end_of_month", "the month"), ("end_of_quarter", "the quarter"),
             ("end_of_year", "the year")),
            only="rolling",
        ),
        FormField("expiry.date", "Last day", "text", about(Expiry, "date"), only="fixed_date"),
    ),
)  # fmt: skip
_BESIDE = Group(
    "Beside other rules",
    (
        FormField(
            "stacking.mode",
            "It grants",
            "choice",
            about(Stacking, "mode"),
            (("stack", "beside others"), ("best_of", "if it wants most"), ("exclusive", "alone")),
        ),
        FormField("stacking.group", "Group", "text", about(Stacking, "group")),
    ),
)
_LIMITS = Table(
    "limits",
    "max",
    (
        FormField("max", "At most", "whole", about(Limit, "max")),
        FormField("unit", "Counted", "choice", choices=_same("points", "times")),
        FormField("period", "In a", "choice", choices=_same("day", "week", "month", "lifetime")),
        FormField(
            "scope",
            "For",
            "choice",
            choices=(("user", "each member"), ("rule", "all members"), ("tenant", "a shared budget")),
        ),
    ),
    MAX_LIMITS,
)

assert set(Bracket.model_fields) == {"starts", "points"}, "a line of the form has all of a bracket"
RULE_FORM = Form(
    (_RULE, _AWARD, _WHEN, _THEN, _BESIDE), switches=("award.base.kind", "expiry.mode"), table=_LIMITS
)
