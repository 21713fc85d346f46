"""Tests of the shop: `python -m examples.django.manage test examples.django.shop.tests`."""

from django.test import TransactionTestCase

from examples.django.shop.models import Order
from pointledger.frameworks.django import points


class PayingTest(TransactionTestCase):
    """No worker runs, so what is accepted stays pending."""

    def pay(self, order_id: str, card: str) -> int:
        """Pay an order, and return the HTTP status."""
        payment = {"user_id": "anna", "amount_minor": 1999, "card": card}
        path = f"/orders/{order_id}/pay"
        return int(self.client.post(path, payment, content_type="application/json").status_code)

    def test_a_paid_order_has_its_command(self) -> None:
        """The order and the command are committed together."""
        self.assertEqual(self.pay("order-1", "visa"), 200)
        self.assertEqual(points.client.outcome(Order.objects.get().task_id).state, "pending")

    def test_a_declined_card_leaves_no_order(self) -> None:
        """Both are rolled back."""
        self.assertEqual(self.pay("order-2", "declined"), 402)
        self.assertFalse(Order.objects.exists())
