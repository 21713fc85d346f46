"""Uses the five specified routes with the generated client `pointledger_client`.

mypy checks this module together with the client.
"""

import sys

from pointledger_client import AuthenticatedClient
from pointledger_client.api.commands import adjust_wallet, apply_rule, earn, expire, transfer
from pointledger_client.api.points import list_transactions
from pointledger_client.models import (
    AdjustBalanceResponse,
    ApplyRuleRequest,
    ApplyRuleRequestMetadata,
    EarnRequest,
    ExpireRequest,
    PointOperationResponse,
    PointTransactionListResponse,
    Reason,
    SimpleResponse,
    TransactionType,
    TransferRequest,
    WalletAdjustRequest,
    WalletAdjustRequestType,
)

url, token, anna, ben = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=token)

metadata = ApplyRuleRequestMetadata.from_dict({"amount_minor": 1999})
event = ApplyRuleRequest(user_id=anna, event_type="basket.paid", metadata=metadata)
applied = apply_rule.sync(client=client, body=event)
assert isinstance(applied, PointOperationResponse), applied
assert applied.data.points_earned == 19
assert applied.data.account.balance == 19

assert earn.sync(ben, client=client, body=EarnRequest(amount=1))
present = TransferRequest(to_user_id=ben, amount=4)
for _ in range(2):  # the second response is the first one again
    given = transfer.sync_detailed(anna, client=client, body=present, x_idempotency_key=f"present {anna}")
    assert isinstance(given.parsed, PointOperationResponse), given.parsed
    assert given.parsed.data.account.balance == 15
assert given.headers["Idempotent-Replayed"] == "true"

expired = expire.sync(anna, client=client, body=ExpireRequest(amount=100))
assert isinstance(expired, PointOperationResponse), expired
assert (expired.data.settled, expired.data.account.balance) == (15, 0)

page = list_transactions.sync(anna, client=client, type_=TransactionType.SPEND, page_size=5)
assert isinstance(page, PointTransactionListResponse), page
assert [item.amount for item in page.items] == [4]
assert page.items[0].created_at.tzinfo is not None
assert (page.total, page.pagination.next_cursor) == (1, None)

deposit = WalletAdjustRequest(type_=WalletAdjustRequestType.DEPOSIT, amount="5.00", reason="a complaint")
adjusted = adjust_wallet.sync(anna, client=client, body=deposit)
assert isinstance(adjusted, AdjustBalanceResponse), adjusted
assert (adjusted.data.wallet.balance, adjusted.data.transaction.amount) == ("5.00", "5.00")

refused = transfer.sync(anna, client=client, body=present)
assert isinstance(refused, SimpleResponse), refused
assert (refused.code, refused.reason) == (409, Reason.INSUFFICIENT_BALANCE)
print("all five")
