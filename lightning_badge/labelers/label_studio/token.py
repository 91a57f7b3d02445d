"""The token that admits to Label Studio: read from the environment, and never shown."""

import os

from lightning_badge.exceptions import LabelError

VARIABLE = "LABEL_STUDIO_API_KEY"
_HIDDEN = "(the token)"


class Token:
    """A legacy token, or a personal access token: a JWT that is exchanged for short-lived ones.

    Args:
        text: The token.

    Attributes:
        is_refreshed: Whether it is a personal access token.
        access: The short-lived token that it was exchanged for; None before.

    Raises:
        LabelError: The text cannot be a token. The message does not contain it.
    """

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        if not self.text.isascii() or not self.text.isprintable() or " " in self.text:
            raise LabelError(
                f"{VARIABLE}: expected a token of printable ASCII characters without spaces; copy "
                "it again from the account settings of Label Studio"
            )
        self.is_refreshed = self.text.count(".") == 2
        self.access: str | None = None

    def __repr__(self) -> str:
        return f"Token({_HIDDEN})"

    @classmethod
    def of_environment(cls) -> "Token":
        """Returns the token that the environment variable `VARIABLE` holds.

        Raises:
            LabelError: It is not set.
        """
        text = os.environ.get(VARIABLE, "")
        if not text.strip():
            raise LabelError(
                f"labelers=label_studio: expected a token in the environment variable {VARIABLE}, "
                "got none; copy one from the account settings of Label Studio"
            )
        return cls(text)

    def header(self) -> dict[str, str]:
        """Returns the header of a request."""
        if self.is_refreshed:
            return {"Authorization": f"Bearer {self.access}"} if self.access else {}
        return {"Authorization": f"Token {self.text}"}

    def hidden_in(self, text: str) -> str:
        """Returns a text of the server in which the token cannot be read."""
        for secret in (self.text, self.access):
            if secret:
                text = text.replace(secret, _HIDDEN)
        return text
