"""Money: whole minor units of a currency, exact. As text it is a plain decimal number.

How many decimals a currency has is a table of ours (ISO 4217 as of 2026-01-01), not a library's: an update
must not move the point in amounts that are stored.
"""

import re

MAX_MONEY = 10**20 - 1  # minor units: the twenty digits of a wallet's columns, and of an amount


MAX_MONEY_TOTAL = 10**30 - 1  # of all that ever came to a wallet, or left it, in one way


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


# ASCII digits only, no sign, no exponent, no spaces, no superfluous zero in front: one way to write a number.
_NUMBER = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


_MOST_DIGITS = 20


# The same, and the codes, as JSON schema tells them.
NUMBER_SCHEMA = {
    "type": "string",
    "pattern": rf"^(?=[0.]*[1-9])(?=(\.?[0-9]){{1,{_MOST_DIGITS}}}$)(0|[1-9][0-9]*)(\.[0-9]+)?$",
    "examples": ["100.00"],
}


CURRENCY_SCHEMA = {"type": "string", "enum": sorted(SCALES)}


def number_text(text: str) -> str:
    """The text, if it writes a number above 0. Raises ValueError."""
    if not _NUMBER.fullmatch(text):
        raise ValueError("an amount is decimal digits, at most one point between them, like 100.00")
    if len(text.replace(".", "")) > _MOST_DIGITS:
        raise ValueError("an amount has at most 20 digits, its decimals included")
    if not text.strip("0."):
        raise ValueError("an amount is more than 0")
    return text


def minor_units(text: str, scale: int) -> int:
    """What the text is worth in minor units of a currency with so many decimals. Raises ValueError."""
    whole, _, decimals = number_text(text).partition(".")
    if len(decimals) > scale:
        raise ValueError(f"an amount has at most {scale} decimals in this currency")
    minor = int(whole + decimals.ljust(scale, "0"))
    if minor > MAX_MONEY:
        raise ValueError("an amount has at most 20 digits, its decimals included")
    return minor


def show_money(minor: int, scale: int) -> str:
    """Minor units as text, with all decimals of the currency."""
    if scale == 0:
        return str(minor)
    sign, digits = "-" if minor < 0 else "", str(abs(minor)).rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def worth(points: int, exchange_rate: int, scale: int) -> int:
    """What points are worth: whole minor units, rounded down. `exchange_rate`: points per currency unit."""
    return points * _units(scale) // exchange_rate


def price(minor: int, exchange_rate: int, scale: int) -> int:
    """The fewest points that are worth so many minor units."""
    return -(-minor * exchange_rate // _units(scale))


def _units(scale: int) -> int:
    """The minor units of one currency unit."""
    return int(10**scale)


def currency_code(code: str) -> str:
    """A code of ISO 4217. Raises ValueError."""
    if code not in SCALES:
        raise ValueError("not a currency of ISO 4217, like CNY")
    return code


def cash_value(balance: int, exchange_rate: int, scale: int = 2) -> tuple[str, bool]:
    """Points as currency units with the currency's decimals, rounded down to whole minor units as an exchange
    is, and whether that is exact. `exchange_rate`: points per currency unit."""
    minor = worth(balance, exchange_rate, scale)
    return show_money(minor, scale), minor * exchange_rate == balance * 10**scale
