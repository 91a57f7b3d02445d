"""`lightning-badge loop labelers=page`: one process trains, another one serves the page."""
