"""PyPI `evocloud-sdk` against our sandbox of EGMS.

    evocloud.py FOLDER BASE_URL
"""

import json
import sys
from datetime import datetime

import requests
from evocloud_sdk.common.signature import SignatureGenerator
from project import Project, check

folder, base_url = sys.argv[1:]
project = Project(folder)
signer = SignatureGenerator(project.read("keys/egms/sign_key.txt").strip())
payment = f"/g2/v1/payment/mer/{project.field('sid')}/evo.e-commerce.payment"
http = requests.Session()
http.trust_env = False  # No proxy: everything is on loopback.


def call(method, target, body="", send=None):
    """A signed request; `send` is sent in the signed body's place."""
    headers = signer.generate_headers(method, target, body)
    return http.request(method, base_url + target, data=(send or body).encode(), headers=headers, timeout=10)


def verifies(reply, method, target, body):
    """Whether a reply is signed as the answer to this request, with this body."""
    head = reply.headers
    return signer.verify_signature(head["Authorization"], method, target, head["DateTime"], head["MsgID"], body)


target = f"{payment}?merchantTransID=py{datetime.now():%H%M%S%f}"
reply = call("GET", target)
check("EGMS: a signed query is let in, and says that there is no such order", reply.json()["result"]["code"] == "C0004")
check("EGMS: its reply verifies", verifies(reply, "GET", target, reply.text))
altered = reply.text.replace("C0004", "S0000")
check("EGMS: the same reply with another code does not", not verifies(reply, "GET", target, altered))
body = json.dumps({"merchantTransInfo": {"merchantTransID": "a"}})
reply = call("POST", payment, body)
check("EGMS: a signed body gets past the signature", reply.json()["result"]["code"] not in ("V0010", "S0000"))
check("EGMS: its reply verifies", verifies(reply, "POST", payment, reply.text))
reply = call("POST", payment, body, send=body.replace('"a"', '"b"'))
check("EGMS: a body that was changed after signing is refused with V0010", reply.json()["result"]["code"] == "V0010")
