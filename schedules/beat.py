"""Runs Celery's beat, also while the disk with its log is full."""

from celery.apps.beat import Beat as CelerysBeat

from pointledger.observability.log_lines import survive_full_disks

from .celery import heartbeat


class Beat(CelerysBeat):
    """Celery's beat, whose banner does not end it."""

    def run(self) -> None:
        """Run until stopped. Raises HealthFolderUnusable."""
        heartbeat.beat()
        survive_full_disks()
        super().run()
