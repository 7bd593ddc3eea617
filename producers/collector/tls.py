"""The certificate that the collector shows, read again when its files change."""

from __future__ import annotations

import ssl
from pathlib import Path

import structlog

from runfold.schemas.errors import ConfigurationError


class Certificate:
    """A certificate and its private key, as PEM files.

    Shape: `context` is for HTTP; `pem` are the key and the certificate's chain, as gRPC wants them.
    Raises: ConfigurationError where they cannot be read or do not belong together.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            self._seen = self._stamps()
            self.pem = self._read()
            self.context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"the certificate {certificate} with the key {key} cannot be used: {error}"
            ) from error

    def refresh(self) -> None:
        """Show the new certificate to new connections, where the files have changed.

        Shape: a pair that cannot be used, as while it is being replaced, leaves the old one.
        """
        log = structlog.get_logger(__name__)
        try:
            stamps = self._stamps()
            if stamps == self._seen:
                return
            pem = self._read()
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*self._files)
            self.context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            log.warning("the new certificate cannot be used yet", error=str(error))
        else:
            self._seen, self.pem = stamps, pem
            log.info("the certificate was read again", file=str(self._files[0]))

    def _read(self) -> tuple[bytes, bytes]:
        certificate, key = self._files
        return key.read_bytes(), certificate.read_bytes()

    def _stamps(self) -> list[tuple[int, int]]:
        return [(each.stat().st_mtime_ns, each.stat().st_size) for each in self._files]
