"""People who label in a project of Label Studio (https://labelstud.io)."""
