"""Converts money between text and whole minor units, exactly.

The table of decimals per currency is part of this module (ISO 4217 as of 2026-01-01). A library's update must
not move the decimal point in stored amounts.
"""

import re

MAX_MONEY = 10**20 - 1  # minor units: a wallet's columns and an amount have twenty digits
MAX_MONEY_TOTAL = 10**30 - 1  # minor units: each lifetime total of a wallet has thirty digits

_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF
        CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ
        GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD
        MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON
        RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS
        UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG""",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

SCALES = {code: scale for scale, codes in _DECIMALS.items() for code in codes.split()}

# ASCII digits only, without sign, exponent, spaces or leading zeros: each number has one spelling.
_NUMBER = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_MAX_DIGITS = 20

# The same checks for JSON schema.
NUMBER_SCHEMA = {
    "type": "string",
    "pattern": rf"^(?=[0.]*[1-9])(?=(\.?[0-9]){{1,{_MAX_DIGITS}}}$)(0|[1-9][0-9]*)(\.[0-9]+)?$",
    "examples": ["100.00"],
}

CURRENCY_SCHEMA = {"type": "string", "enum": sorted(SCALES)}


def number_text(text: str) -> str:
    """Return the text if it is a decimal number above 0. Raises ValueError."""
    if not _NUMBER.fullmatch(text):
        raise ValueError("an amount is decimal digits, at most one point between them, like 100.00")
    if len(text.replace(".", "")) > _MAX_DIGITS:
        raise ValueError("an amount has at most 20 digits, its decimals included")
    if not text.strip("0."):
        raise ValueError("an amount is more than 0")
    return text


def minor_units(text: str, scale: int) -> int:
    """Convert text to minor units of a currency with `scale` decimals. Raises ValueError."""
    whole, _, decimals = number_text(text).partition(".")
    if len(decimals) > scale:
        raise ValueError(f"an amount has at most {scale} decimals in this currency")
    minor = int(whole + decimals.ljust(scale, "0"))
    if minor > MAX_MONEY:
        raise ValueError("an amount has at most 20 digits, its decimals included")
    return minor


def show_money(minor: int, scale: int) -> str:
    """Format minor units with all decimals of the currency."""
    if scale == 0:
        return str(minor)
    sign, digits = "-" if minor < 0 else "", str(abs(minor)).rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def worth(points: int, exchange_rate: int, scale: int) -> int:
    """Convert points to whole minor units, rounded down. `exchange_rate` is in points per currency unit."""
    return points * _units(scale) // exchange_rate


def price(minor: int, exchange_rate: int, scale: int) -> int:
    """Return the fewest points that are worth so many minor units."""
    return -(-minor * exchange_rate // _units(scale))


def _units(scale: int) -> int:
    """Return the number of minor units in one currency unit."""
    return int(10**scale)


def currency_code(code: str) -> str:
    """Return the code if ISO 4217 has it. Raises ValueError."""
    if code not in SCALES:
        raise ValueError("not a currency of ISO 4217, like CNY")
    return code


def cash_value(balance: int, exchange_rate: int, scale: int = 2) -> tuple[str, bool]:
    """Return the value of points as text, and whether it is exact.

    The value is rounded down to whole minor units, as in an exchange. `exchange_rate` is in points per
    currency unit.
    """
    minor = worth(balance, exchange_rate, scale)
    return show_money(minor, scale), minor * exchange_rate == balance * 10**scale
