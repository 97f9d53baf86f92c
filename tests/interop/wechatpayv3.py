"""PyPI `wechatpayv3` against our sandbox, and our client's signatures before its verifier.

    wechatpayv3.py FOLDER BASE_URL PAYRUN

The package signs, verifies, decrypts and encrypts; only the requests are put together here.
"""

import sys

# This file has the package's name, and its folder comes first.
here = sys.path.pop(0)
from wechatpayv3 import utils  # noqa: E402

sys.path.insert(0, here)

import base64  # noqa: E402
import hashlib  # noqa: E402
import json  # noqa: E402
import re  # noqa: E402
import subprocess  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from datetime import datetime, timedelta, timezone  # noqa: E402
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # noqa: E402

import requests  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import padding  # noqa: E402
from project import Project, check  # noqa: E402

folder, base_url, payrun = sys.argv[1:]
project = Project(folder)
mchid, appid, serial = (project.field(name) for name in ("mchid", "appid", "merchant_serial"))
merchant_key = utils.load_private_key(project.read("keys/merchant_key.pem"))
merchant_public = utils.load_certificate(project.read("keys/merchant_cert.pem")).public_key()
http = requests.Session()
http.trust_env = False  # No proxy: everything is on loopback.


def call(method, path, body=None, send=None, **headers):
    """A signed request; `send` is sent in the signed body's place."""
    text = "" if body is None else json.dumps(body, ensure_ascii=False)
    headers["Authorization"] = utils.build_authorization(path, method, mchid, serial, merchant_key, data=text)
    headers["Accept"] = "application/json"
    if text:
        headers["Content-Type"] = "application/json"
    sent = (text if send is None else send).encode()
    return http.request(method, base_url + path, data=sent, headers=headers, timeout=10)


def verifies(reply, key, body=None):
    """Whether a reply's signature is of this body, or of its own."""
    head = reply.headers
    text = reply.content.decode() if body is None else body
    return head["Wechatpay-Signature-Type"] == "WECHATPAY2-SHA256-RSA2048" and utils.rsa_verify(
        head["Wechatpay-Timestamp"], head["Wechatpay-Nonce"], text, head["Wechatpay-Signature"], key
    )


def signed_by_us(method, target, authorization, body):
    """Whether a request's Authorization is the merchant's."""
    scheme, items = authorization.split(" ", 1)
    items = dict(re.findall(r'(\w+)="([^"]*)"', items))
    ours = (scheme, items["mchid"], items["serial_no"]) == ("WECHATPAY2-SHA256-RSA2048", mchid, serial)
    head = f"{method}\n{target}\n{items['timestamp']}"
    return ours and utils.rsa_verify(head, items["nonce_str"], body, items["signature"], merchant_public)


# The platform's certificate, which vouches for the reply that brings it.
reply = call("GET", "/v3/global/certificates")
check("the sandbox accepts the signature of GET /v3/global/certificates", reply.status_code == 200)
(sealed,) = [one["encrypt_certificate"] for one in reply.json()["data"]]
api_key = project.read("keys/api_v3_key.txt").strip()
pem = utils.aes_decrypt(sealed["nonce"], sealed["ciphertext"], sealed["associated_data"], api_key)
certificate = utils.load_certificate(pem or "")
check("the platform certificate decrypts by AES-GCM", certificate is not None)
platform, platform_serial = certificate.public_key(), f"{certificate.serial_number:X}"
check("the platform certificate has the serial of the reply", reply.headers["Wechatpay-Serial"] == platform_serial)
check("the reply with the certificates verifies", verifies(reply, platform))

# A deduction, a query of it, a refund and a query of that.
number = f"py{datetime.now():%H%M%S%f}"
day = f"{datetime.now(timezone(timedelta(hours=8))):%Y%m%d}"
deduction = {
    "appid": appid,
    "description": "連携テスト · interop",
    "notify_url": "https://example.com/payrun/notify/hk",
    "out_trade_no": number,
    "merchant_category_code": "4900",
    "contract_id": f"Interop{number}",
    "amount": {"total": 3850, "currency": "HKD"},
}
changed = json.dumps(deduction).replace("3850", "1")
reply = call("POST", "/v3/global/papay/transactions", deduction, send=changed)
refused = (reply.status_code, reply.json()["code"]) == (401, "SIGN_ERROR")
check("a deduction that was changed after signing is refused with 401 SIGN_ERROR", refused)
reply = call("POST", "/v3/global/papay/transactions", deduction)
check("a deduction is accepted", reply.status_code == 200 and reply.json()["trade_state"] == "SUCCESS")
check("the reply to the deduction verifies", verifies(reply, platform))
altered = reply.content.decode().replace("3850", "3851")
check("the same reply with another amount does not", not verifies(reply, platform, altered))
theirs = reply.json().get("transaction_id") or reply.json()["id"]
query = f"/v3/global/papay/transactions/out-trade-no/{number}"
reply = call("GET", f"{query}?mchid={mchid}")
refused = (reply.status_code, reply.json()["code"], reply.json()["detail"]["field"]) == (400, "PARAM_ERROR", "mchid")
check("a query of the deduction with an id that its page does not list is refused by name", refused)
reply = call("GET", query)
check("a query of the deduction is answered", reply.status_code == 200 and reply.json()["amount"]["total"] == 3850)
check("the reply to the query verifies", verifies(reply, platform))
refund = {
    "mchid": mchid,
    "appid": appid,
    "out_trade_no": number,
    "out_refund_no": f"{number}R",
    "reason": "interop",
    "amount": {"refund": 850, "total": 3850, "currency": "HKD"},
}
reply = call("POST", "/v3/global/refunds", refund)
check("a refund is accepted", reply.status_code == 200 and reply.json()["amount"]["refund"] == 850)
check("the reply to the refund verifies", verifies(reply, platform))
reply = call("GET", f"/v3/global/refunds/out-refund-no/{number}R?mchid={mchid}")
check("a query of the refund is answered", reply.status_code == 200 and reply.json()["out_refund_no"] == f"{number}R")
check("the reply to the query of the refund verifies", verifies(reply, platform))

# The statement, which is vouched for by its SHA-1.
reply = call("GET", f"/v3/global/statements?date={day}&mchid={mchid}")
sha1 = hashlib.sha1(reply.content).hexdigest()
check("the statement's SHA-1 is what its header says", reply.headers["Wechatpay-Statement-Sha1"] == sha1)
check("its signature is of the SHA-1", verifies(reply, platform, f'{{"sha1":"{sha1}"}}'))
check("it lists the deduction and the refund", reply.content.decode().count(f",`{number},") == 2)

# A declaration, and then its buyer, encrypted for the platform by RSAES-PKCS1-v1_5: by `cryptography`, on which the package
# stands, since its own `rsa_encrypt` knows OAEP only, which this call refuses.


def sealed_for_platform(text):
    return base64.b64encode(platform.encrypt(text.encode(), padding.PKCS1v15())).decode()


def identity_check(person):
    return call("POST", "/v3/global/customs/verify-certificate", person, **{"Wechatpay-Serial": platform_serial})


order = {
    "mchid": mchid,
    "appid": appid,
    "out_trade_no": number,
    "transaction_id": theirs,
    "customs": "SHENZHEN",
    "merchant_customs_no": "4403169D3W",
}
person = order | {
    "certificate_type": "IDCARD",
    "certificate_id": sealed_for_platform("11010119900307002X"),
    "certificate_name": sealed_for_platform("張三"),
}
reply = identity_check(person)
early = reply.status_code >= 400 and reply.headers["Request-ID"].endswith("-35312011")
check("a buyer of what is not declared is refused, with the sub-code for it", early)
reply = call("POST", "/v3/global/customs/orders", order)
check("an order that is not split is declared", reply.status_code == 200 and reply.json()["state"] == "UNDECLARED")
asked = f"appid={appid}&mchid={mchid}&order_type=out_trade_no&order_no={number}&customs=SHENZHEN"
for _ in range(50):
    reply = call("GET", f"/v3/global/customs/orders?{asked}")
    if reply.status_code == 200 and reply.json()["data"][0]["state"] == "SUCCESS":
        break
    time.sleep(0.1)
check("the declaration is followed to its end", reply.json()["data"][0]["state"] == "SUCCESS")
reply = identity_check(person)
same = reply.status_code == 200 and reply.json()["certificate_check_result"] == "SAME"
check("a certificate number that was encrypted by PKCS#1 v1.5 is decrypted", same)
check("the reply to the identity check verifies", verifies(reply, platform))
reply = identity_check(person | {"certificate_id": utils.rsa_encrypt("11010119900307002X", platform)})
check("one that was encrypted by OAEP is refused", reply.status_code == 400)
reply = identity_check(person | {"certificate_id": sealed_for_platform("no number")})
check("one that is no certificate number is refused", reply.status_code == 400)

# What payrun itself signs, on its way to the sandbox.
seen = []


class Between(BaseHTTPRequestHandler):
    """Verifies each request of payrun's, and each reply of the sandbox's to it."""

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        authorization = self.headers["Authorization"]
        holds = signed_by_us(self.command, self.path, authorization, body.decode())
        another = signed_by_us(self.command, self.path, authorization, body.decode() + " ")
        names = ("Authorization", "Accept", "User-Agent", "Content-Type")
        head = {name: self.headers[name] for name in names if name in self.headers}
        reply = http.request(self.command, base_url + self.path, data=body, headers=head, timeout=10)
        seen.append((self.command, holds and not another, verifies(reply, platform)))
        self.send_response(reply.status_code)
        for name, value in reply.headers.items():
            if name.lower().startswith("wechatpay-") or name.lower() in ("content-type", "request-id"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.content)))
        self.end_headers()
        self.wfile.write(reply.content)

    do_POST = do_GET

    def log_message(self, *_):
        """Says nothing."""


between = ThreadingHTTPServer(("127.0.0.1", 0), Between)
threading.Thread(target=between.serve_forever, daemon=True).start()
config = project.configure("between-python", f"http://127.0.0.1:{between.server_port}")
rows = "".join(f"InteropPy{n},basic,{n}.50,HKD,yes\n" for n in range(1, 4))
(project.folder / "data/python.csv").write_text("contract_id,plan,amount,currency,active\n" + rows)
command = [payrun, "run", "workflows/monthly-deductions.yaml", "--config", config, "--input", "data/python.csv"]
ended = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, timeout=40)
between.shutdown()
check(f"payrun run ends well\n{ended.stderr if ended.returncode else ''}".rstrip(), ended.returncode == 0)
posts, gets = (sum(method == word for method, _, _ in seen) for word in ("POST", "GET"))
check("payrun sent a deduction a row, and asked for the certificates", posts == 3 and gets >= 1)
check("each request of payrun's verifies with the merchant's key, and no changed one", all(ours for _, ours, _ in seen))
check("each reply to payrun verifies with the platform's key", all(reply for _, _, reply in seen))
