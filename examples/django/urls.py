"""The shop's addresses."""

from django.urls import path

from examples.django.shop import views

urlpatterns = [
    path("orders/<order_id>/pay", views.pay),
    path("orders/<order_id>", views.show),
]
