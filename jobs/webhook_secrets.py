"""The secrets under which webhooks are signed: drawn, kept encrypted, and used.

They must be readable to sign, so they are encrypted under a key that is derived from the server's pepper.

Sources: Standard Webhooks 1.0.0 (signatures); RFC 5869 (HKDF); NIST SP 800-38D (AES-GCM).
"""

import base64
import hmac
import secrets
from collections.abc import Iterable
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from jobs.webhook_errors import WebhookSecretError

SECRET_BYTES = 32
NONCE_BYTES = 12
PREFIX = "whsec_"


def new_secret() -> bytes:
    """Draw a secret."""
    return secrets.token_bytes(SECRET_BYTES)


def shown(secret: bytes) -> str:
    """Write a secret as its receiver needs it."""
    return PREFIX + base64.b64encode(secret).decode()


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Sign a message as one word of the header `webhook-signature`."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return f"v1,{base64.b64encode(hmac.digest(secret, signed, sha256)).decode()}"


def signatures(secrets_: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """Write the header `webhook-signature`: one word for each secret that lives."""
    return " ".join(sign(secret, message_id, timestamp, body) for secret in secrets_)


class Vault:
    """Encrypts and decrypts secrets; each is bound to its endpoint's id."""

    def __init__(self, pepper: SecretStr) -> None:
        derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"ddoq webhook secrets")
        self._cipher = AESGCM(derive.derive(pepper.get_secret_value().encode()))

    def encrypt(self, secret: bytes, endpoint_id: str) -> bytes:
        """Encrypt the secret of an endpoint."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, endpoint_id.encode())

    def decrypt(self, kept: bytes, endpoint_id: str) -> bytes:
        """Decrypt the secret of an endpoint.

        Raises:
            WebhookSecretError: it was encrypted under another pepper, or for another endpoint.
        """
        try:
            return self._cipher.decrypt(kept[:NONCE_BYTES], kept[NONCE_BYTES:], endpoint_id.encode())
        except InvalidTag:
            raise WebhookSecretError("the secret cannot be read under this installation's pepper; rotate it") from None
