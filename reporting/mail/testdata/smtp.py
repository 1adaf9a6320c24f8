"""An SMTP server for tests, by aiosmtpd: takes mail after TLS and a password, and writes each message into a folder as JSON.

Usage: smtp.py PORT FOLDER MODE CERTIFICATE KEY [CODE...]
MODE is starttls, tls, or clear (offers no TLS and takes mail without a password). Each CODE is what one message is answered, "250 OK" for the rest.
Recipients that begin with "nobody" are refused. Whatever a client says before TLS is written to FOLDER/clear.txt.
"""
import asyncio
import json
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

port, folder, mode, certificate, key, *codes = sys.argv[1:]
folder = pathlib.Path(folder)


class Handler:
    count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if codes:
            return codes.pop(0)
        Handler.count += 1
        message = {"to": envelope.rcpt_tos, "from": envelope.mail_from, "tls": session.ssl is not None, "user": session.auth_data, "data": envelope.content.decode()}
        part = folder / f"{Handler.count:03}.part"
        part.write_text(json.dumps(message))
        part.rename(folder / f"{Handler.count:03}.json")
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    login, password = data.login.decode(), data.password.decode()
    return AuthResult(success=(login, password) == ("llamaxr", "a password"), handled=False, auth_data=login)


class Listening(SMTP):
    async def smtp_AUTH(self, arg):
        if self.session.ssl is None:
            with open(folder / "clear.txt", "a") as out:
                out.write(f"AUTH {arg}\n")
        return await super().smtp_AUTH(arg)


def protocol():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    if mode == "clear":
        return Listening(Handler(), hostname="smtp.example", auth_require_tls=False, authenticator=authenticate)
    return Listening(
        Handler(), hostname="smtp.example", authenticator=authenticate, auth_required=True,
        tls_context=context if mode == "starttls" else None, require_starttls=mode == "starttls", auth_require_tls=mode == "starttls",
    )


async def main():
    context = None
    if mode == "tls":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", int(port), ssl=context)
    print("ready", flush=True)
    await server.serve_forever()


asyncio.run(main())
