"""Mutual TLS for pynetdicom (PS3.15, annex B): of an argument --tls=CERTIFICATE,KEY,AUTHORITY, which it takes out of the list."""

import ssl


def contexts(arguments):
    """Returns the context of a server, and the one of a client with the name it expects; None of each without the argument."""
    for argument in arguments:
        if argument.startswith("--tls="):
            arguments.remove(argument)
            certificate, key, authority = argument.removeprefix("--tls=").split(",")
            server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
            server.verify_mode = ssl.CERT_REQUIRED
            client = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=authority)
            for context in server, client:
                context.load_cert_chain(certificate, key)
            return server, (client, "127.0.0.1")
    return None, None
