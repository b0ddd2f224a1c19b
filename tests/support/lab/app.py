"""Services that send mail with a login that they read from a store, as programs out there do. Nothing of it is Handover's.

Reads its configuration from stdin: {"smtp": {host, port, ca}, "from": ..., "services": {NAME: SOURCE}}. A service reads its SOURCE
when it starts and when it is told to, at /NAME/reload; it sends a mail at /NAME/test-send, and answers a challenge at /NAME/attest.
Prints one JSON line with its port.
"""

import base64
import hashlib
import hmac
import json
import smtplib
import ssl
import sys
import urllib.parse
import urllib.request
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONFIG = json.loads(sys.stdin.readline())
LOGINS = {}


def fetch(url, body=None, headers=None, ca=None):
    request = urllib.request.Request(url, data=body, headers=headers or {})
    context = ssl.create_default_context(cafile=ca) if ca else None
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return answer.read()


def amazon(source, service, target, body):
    scope = f"AWS4-HMAC-SHA256 Credential=lab/20261126/{source['region']}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target, "Authorization": scope}
    return json.loads(fetch(source["url"], json.dumps(body).encode(), headers))


def pair(fields):
    return fields["SMTP_USERNAME"], fields["SMTP_PASSWORD"]


def read(source):
    kind = source["kind"]
    if kind == "env":
        with open(source["path"]) as file:
            lines = [line.rstrip("\n").split("=", 1) for line in file if "=" in line and not line.startswith("#")]
        return pair({key: value.strip("'\"") for key, value in lines})
    if kind == "secrets-manager":
        got = amazon(source, "secretsmanager", "secretsmanager.GetSecretValue", {"SecretId": source["path"], "VersionStage": "AWSCURRENT"})
        return pair(json.loads(got["SecretString"]))
    if kind == "ssm":
        got = amazon(source, "ssm", "AmazonSSM.GetParameter", {"Name": source["path"], "WithDecryption": True})
        return pair(json.loads(got["Parameter"]["Value"]))
    if kind == "vault":
        got = json.loads(fetch(f"{source['url']}/v1/{source['mount']}/data/{source['path']}", headers={"X-Vault-Token": source["token"]}))
        return pair(got["data"]["data"])
    if kind == "conjur":
        login = urllib.parse.quote(source["login"], safe="")
        token = fetch(f"{source['url']}/authn/{source['account']}/{login}/authenticate", source["key"].encode())
        headers = {"Authorization": 'Token token="%s"' % base64.b64encode(token).decode()}
        ids = {name: urllib.parse.quote(source["path"] + "/" + name, safe="") for name in ("SMTP_USERNAME", "SMTP_PASSWORD")}
        return pair({n: fetch(f"{source['url']}/secrets/{source['account']}/variable/{i}", headers=headers).decode() for n, i in ids.items()})
    raise ValueError(kind)


def send(name, nonce, to):
    smtp = CONFIG["smtp"]
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = CONFIG["from"], to, f"test of {name} {nonce}"
    mail.set_content("sent by a service of the lab")
    client = smtplib.SMTP(smtp["host"], smtp["port"], timeout=10)
    try:
        client.starttls(context=ssl.create_default_context(cafile=smtp["ca"]))
        client.login(*LOGINS[name])
        client.send_message(mail)
    finally:
        client.close()


class Services(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def name(self):
        return urllib.parse.urlparse(self.path).path.split("/")[1:3]

    def do_GET(self):
        name, what = self.name()
        challenge = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)["challenge"][0]
        username, password = LOGINS[name]
        proof = hmac.new(password.encode(), challenge.encode(), hashlib.sha256).hexdigest()
        self.answer(200, {"username": username, "proof": proof})

    def do_POST(self):
        name, what = self.name()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if what == "reload":
            try:
                LOGINS[name] = read(CONFIG["services"][name])
            except Exception as error:
                return self.answer(500, {"error": type(error).__name__})
            return self.answer(200, {})
        asked = json.loads(body)
        try:
            send(name, asked["nonce"], asked["to"])
        except smtplib.SMTPAuthenticationError as refused:
            reply = f"{refused.smtp_code} {refused.smtp_error.decode(errors='replace')}"
            return self.answer(502, {"accepted": False, "reply": reply})
        except (OSError, smtplib.SMTPException) as error:
            return self.answer(503, {"error": type(error).__name__})
        self.answer(200, {"accepted": True})


for service, source in CONFIG["services"].items():
    LOGINS[service] = read(source)
server = ThreadingHTTPServer(("127.0.0.1", 0), Services)
server.daemon_threads = True
print(json.dumps({"port": server.server_address[1]}), flush=True)
server.serve_forever()
