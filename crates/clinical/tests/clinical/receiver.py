"""What a receiver of notices checks (RFC 9421, RFC 9530): reads {"keys", "told", "base"} and, where it knows it, "subscription", and says
whether the notice is the hub's, and for this Subscription."""

import base64
import hashlib
import json
import re
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature


def number(text):
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


asked = json.load(sys.stdin)
told, headers = asked["told"], asked["told"]["headers"]
digest = "sha-256=:" + base64.b64encode(hashlib.sha256(told["body"].encode()).digest()).decode() + ":"
assert headers["content-digest"] == digest, "the body is another one"
covered = headers["signature-input"].removeprefix("hub=")
form = r'\("@method" "@target-uri" "content-digest" "medlock-subscription"\);created=(\d+);keyid="([^"]+)";alg="ecdsa-p256-sha256";tag="medlock-notice"'
created, name = re.fullmatch(form, covered).groups()
base = "\n".join([
    f'"@method": {told["method"]}',
    f'"@target-uri": {asked["base"]}{told["path"]}',
    f'"content-digest": {digest}',
    f'"medlock-subscription": {headers["medlock-subscription"]}',
    f'"@signature-params": {covered}',
])
[key] = [key for key in asked["keys"]["keys"] if key["kid"] == name]
public = ec.EllipticCurvePublicNumbers(number(key["x"]), number(key["y"]), ec.SECP256R1()).public_key()
signature = base64.b64decode(headers["signature"].removeprefix("hub=:").removesuffix(":"))
halves = [int.from_bytes(half, "big") for half in (signature[:32], signature[32:])]
public.verify(encode_dss_signature(*halves), base.encode(), ec.ECDSA(hashes.SHA256()))
if "subscription" in asked:
    assert headers["medlock-subscription"] == asked["subscription"], "it is another one's"
print(created, end="")
