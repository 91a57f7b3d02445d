"""Labeling services over HTTP, and models that label.

`ServiceLabelers` hands out samples and commits answers; an `Asker` knows how to ask: a service that
speaks the protocol of ``docs/services.md``, or a chat endpoint.
"""
