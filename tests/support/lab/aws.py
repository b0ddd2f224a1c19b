"""AWS on one machine, for tests: moto's server, and beside it what moto lacks.

One process, so that all see the same keys:
* moto's HTTP API (IAM, SES, Secrets Manager, SSM) on a free port;
* a front on another port that adds what AWS does and moto does not: an inactive key is refused, SES tells whether the account sends;
  at /lab it is told to refuse calls, and tells how many keys a user has had at most;
* an SMTP endpoint that takes SES's logins: the access key id and the password that AWS derives for the region.

Prints one JSON line with the ports, then serves until stdin ends. Mails go to a Maildir.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import ssl
import sys
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from moto.iam.models import iam_backends
from moto.server import ThreadedMotoServer

REGION, CERT, KEY, MAILDIR = sys.argv[1:5]
ACCOUNT = "123456789012"


def derive(secret, region):
    key = ("AWS4" + secret).encode()
    for part in ("11111111", region, "ses", "aws4_request", "SendRawEmail"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return base64.b64encode(b"\x04" + key).decode()


def keys():
    backend = iam_backends[ACCOUNT]["aws"]
    return {key.access_key_id: key for user in backend.users.values() for key in user.access_keys}


class Front(BaseHTTPRequestHandler):
    """Passes requests on to moto, but for what moto does in another way than AWS."""

    protocol_version = "HTTP/1.1"
    inner = 0
    refused = []
    most_keys = 0

    def log_message(self, *args):
        pass

    def answer(self, status, body, kind="text/xml"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.serve()

    def do_POST(self):
        self.serve()

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/lab":
            told = json.loads(body)
            if told:
                Front.refused.append(told)
            return self.answer(200, json.dumps({"most_keys": Front.most_keys}).encode(), "application/json")
        said = body.decode(errors="replace") + " " + (self.headers.get("X-Amz-Target") or "")
        for told in list(Front.refused):
            # A look whether a parameter may be written is let through: it is the write that is refused.
            if told["words"] in said and b"Action=" not in body and '"Overwrite":false' not in said:
                if not told["always"]:
                    Front.refused.remove(told)
                return self.answer(500 if told["code"].startswith("Internal") else 400, json.dumps({"__type": told["code"]}).encode(), "application/x-amz-json-1.1")
        auth = self.headers.get("Authorization") or ""
        caller = auth.split("Credential=", 1)[1].split("/", 1)[0] if "Credential=" in auth else None
        key = keys().get(caller)
        if key is not None and key.status != "Active":
            name = "InvalidClientTokenId" if b"Action=" in body else "UnrecognizedClientException"
            if b"Action=" in body:
                text = f"<ErrorResponse><Error><Type>Sender</Type><Code>{name}</Code><Message>x</Message></Error></ErrorResponse>"
                return self.answer(403, text.encode())
            return self.answer(400, json.dumps({"__type": name}).encode(), "application/x-amz-json-1.1")
        if b"Action=GetAccountSendingEnabled" in body:
            text = (
                '<GetAccountSendingEnabledResponse xmlns="http://ses.amazonaws.com/doc/2010-12-01/">'
                "<GetAccountSendingEnabledResult><Enabled>true</Enabled></GetAccountSendingEnabledResult>"
                "</GetAccountSendingEnabledResponse>"
            )
            return self.answer(200, text.encode())
        inner = HTTPConnection("127.0.0.1", self.inner)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        inner.request(self.command, self.path, body, headers)
        got = inner.getresponse()
        self.answer(got.status, got.read(), got.headers.get("Content-Type") or "text/xml")
        inner.close()
        users = iam_backends[ACCOUNT]["aws"].users.values()
        Front.most_keys = max([Front.most_keys] + [len(user.access_keys) for user in users])


class Sink:
    """Puts mails into the Maildir, and refuses those whose user may not send."""

    count = 0

    async def handle_DATA(self, server, session, envelope):
        Sink.count += 1
        name = f"{time.time()}.{os.getpid()}_{Sink.count}.lab"
        path = os.path.join(MAILDIR, "tmp", name)
        with open(path, "wb") as out:
            out.write(envelope.content)
        os.rename(path, os.path.join(MAILDIR, "new", name))
        return "250 Ok 0102-000000"


def authenticate(server, session, envelope, mechanism, login):
    refused = AuthResult(success=False, handled=False, message="535 Authentication Credentials Invalid")
    if not isinstance(login, LoginPassword):
        return refused
    key = keys().get(login.login.decode(errors="replace"))
    if key is None or key.status != "Active":
        return refused
    if not hmac.compare_digest(derive(key.secret_access_key, REGION), login.password.decode(errors="replace")):
        return refused
    return AuthResult(success=True)


def main():
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    _, Front.inner = moto.get_host_and_port()
    front = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    front.daemon_threads = True
    threading.Thread(target=front.serve_forever, daemon=True).start()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERT, KEY)
    loop = asyncio.new_event_loop()

    def session():
        return SMTP(
            Sink(),
            authenticator=authenticate,
            auth_required=True,
            auth_require_tls=True,
            tls_context=context,
            require_starttls=True,
            hostname="email-smtp.lab",
            loop=loop,
        )

    server = loop.run_until_complete(loop.create_server(session, "127.0.0.1", 0))
    smtp = server.sockets[0].getsockname()[1]
    threading.Thread(target=loop.run_forever, daemon=True).start()
    print(json.dumps({"moto": Front.inner, "aws": front.server_address[1], "smtp": smtp}), flush=True)
    sys.stdin.read()
    os._exit(0)


main()
