"""Names of the people who label."""

from typing import Any

from lightning_badge.labelers.label_studio.client import Client


class Users:
    """The users of a server, by id.

    Args:
        client: The connection.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._names: dict[int, str] = {}

    def name_of(self, user: Any) -> str:
        """Returns the e-mail address of a user, which is unique; else the user's number.

        Args:
            user: An id, or what an API says of a user.
        """
        if isinstance(user, dict):
            return str(user.get("email") or f"user {user.get('id')}")
        if user is None:
            return "a user who was deleted"
        if int(user) not in self._names:
            self._names |= {int(facts["id"]): facts.get("email") or "" for facts in self._read()}
        return self._names.setdefault(int(user), "") or f"user {user}"

    def _read(self) -> list[dict[str, Any]]:
        found = self._client.get("/api/users/")
        users: list[dict[str, Any]] = found if isinstance(found, list) else found["results"]
        return users
