"""The shop's pages."""

import json

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from examples.card import CardDeclined, charge
from examples.django.shop.models import Order
from pointledger import ApplyRule
from pointledger.frameworks.django import points


@csrf_exempt
@require_POST
def pay(request: HttpRequest, order_id: str) -> JsonResponse:
    """Mark an order as paid and grant its points: both, or neither."""
    given = json.loads(request.body)
    user_id, amount_minor = given["user_id"], given["amount_minor"]
    try:
        with transaction.atomic():
            task_id = points.enqueue(
                ApplyRule(
                    tenant_id="shop",
                    user_id=user_id,
                    event_type="basket.paid",
                    event_id=order_id,
                    metadata={"amount_minor": amount_minor},
                )
            )
            Order.objects.create(id=order_id, user_id=user_id, amount_minor=amount_minor, task_id=task_id)
            charge(given["card"], amount_minor, key=order_id)
    except CardDeclined:
        return JsonResponse({"error": "the card was declined"}, status=402)
    return JsonResponse({"task_id": task_id})


def show(_: HttpRequest, order_id: str) -> JsonResponse:
    """Show an order and what it earned."""
    order = get_object_or_404(Order, id=order_id)
    outcome = points.client.wait(order.task_id, timeout=10)
    earned = (outcome.data or {}).get("points_earned")
    return JsonResponse({"id": order.id, "state": outcome.state, "points_earned": earned})
