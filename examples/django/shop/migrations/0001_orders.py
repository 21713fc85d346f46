"""Makes the table of orders."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """The first state."""

    initial = True
    operations = (
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.TextField(primary_key=True, serialize=False)),
                ("user_id", models.TextField()),
                ("amount_minor", models.IntegerField()),
                ("task_id", models.TextField()),
            ],
        ),
    )
