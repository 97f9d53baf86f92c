"""A real SMTP server (aiosmtpd) on loopback for the tests: with TLS, STARTTLS and AUTH, and with the moods of real ones.

    server.py OUT SETTINGS    writes every mail it takes to OUT, a JSON object a line; prints its port

SETTINGS is JSON: security (tls, starttls, none), cert, key, user, password; refuse (recipients that get 550), greylist (how
many recipients get 451 first), die (how many mails it takes, and is gone before it says so).
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

out, settings = sys.argv[1], json.loads(sys.argv[2])


class Moods:
    def __init__(self):
        self.greylist = settings.get("greylist", 0)
        self.die = settings.get("die", 0)

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in settings.get("refuse", []):
            return "550 5.1.1 nobody of that name"
        if self.greylist > 0:
            self.greylist -= 1
            return "451 4.7.1 greylisted, come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        taken = {
            "to": envelope.rcpt_tos,
            "from": envelope.mail_from,
            "headers": {name.lower(): value for name, value in message.items()},
            "text": message.get_body(("plain",)).get_content(),
            "html": message.get_body(("html",)).get_content(),
            "attachments": [
                {"name": part.get_filename(), "type": part.get_content_type(), "bytes": len(part.get_payload(decode=True))}
                for part in message.iter_attachments()
            ],
            "tls": session.ssl is not None or settings["security"] == "tls",
            "user": session.auth_data.login.decode() if session.auth_data else None,
        }
        with open(out, "a", encoding="utf-8") as mails:
            mails.write(json.dumps(taken) + "\n")
        if self.die > 0:
            self.die -= 1
            server.transport.abort()
        return "250 taken"


def let_in(server, session, envelope, mechanism, data):
    if not isinstance(data, LoginPassword):
        return AuthResult(success=False, handled=False)
    right = (settings["user"].encode(), settings["password"].encode())
    if (data.login, data.password) != right:
        return AuthResult(success=False, handled=False)
    return AuthResult(success=True, auth_data=data)


def context():
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(settings["cert"], settings["key"])
    return made


security = settings["security"]
kwargs = {}
if settings.get("user"):
    kwargs.update(auth_required=True, authenticator=let_in, auth_require_tls=security == "starttls")
if security == "starttls":
    kwargs.update(tls_context=context(), require_starttls=True)


async def serve():
    certificate = context() if security == "tls" else None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Moods.only, **kwargs), "127.0.0.1", 0, ssl=certificate)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Until whoever started it is gone.
    await loop.run_in_executor(None, sys.stdin.read)


Moods.only = Moods()
asyncio.run(serve())
