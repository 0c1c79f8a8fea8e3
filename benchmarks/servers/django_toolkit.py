"""django-oauth-toolkit as it comes: hashed secrets (Django's default, PBKDF2), tokens in SQLite."""

from __future__ import annotations

import os

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.urls import include, path

settings.configure(
    SECRET_KEY="made up, for one run",  # noqa: S106
    DEBUG=False,
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "oauth2_provider",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["DATABASE"]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    OAUTH2_PROVIDER={"SCOPES": {"demo/read": "read"}, "DEFAULT_SCOPES": ["demo/read"]},
    USE_TZ=True,
)
django.setup()
urlpatterns = [path("oauth2/", include("oauth2_provider.urls"))]
application = get_wsgi_application()


def prepare() -> None:
    """Make the database and its one client; run once, before the server."""
    from oauth2_provider.models import Application  # noqa: PLC0415 - needs the settings

    call_command("migrate", verbosity=0)
    Application.objects.create(
        name="benchmark",
        client_id=os.environ["CLIENT_ID"],
        client_secret=os.environ["CLIENT_SECRET"],
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )


if __name__ == "__main__":
    prepare()
